"""Occlusion against covering patch by patch, and the classifiers that have no gradient."""

import pytest
import torch
from torch import nn

from explainers.base import Targets
from explainers.black_box.occlusion import Occlusion, positions
from explainers.black_box.rise import Rise
from explainers.registry import explainer
from tests.explainers.networks import classifier_of, pooled_classifier, random_pixels


def test_every_drop_is_the_score_lost_by_covering_that_patch():
    classifier, pixels = pooled_classifier(), random_pixels(2)
    targets = Targets.of([3, 1], against=2)
    occlusion = Occlusion(patch=5, stride=4, colour=(1.0, 0.0, 0.25), batch_size=3)
    found = occlusion.drops(classifier, pixels, targets)
    assert found.tops == found.lefts == (0, 4, 8, 11)
    with torch.no_grad():
        whole = targets.scores(classifier.logits(pixels))
        for i, top in enumerate(found.tops):
            for j, left in enumerate(found.lefts):
                covered = pixels.clone()
                covered[:, :, top : top + 5, left : left + 5] = torch.tensor([1.0, 0.0, 0.25])[:, None, None]
                drop = whole - targets.scores(classifier.logits(covered))
                torch.testing.assert_close(found.drops[:, i, j].float(), drop, atol=1e-6, rtol=1e-5)


def test_a_pixel_carries_the_mean_drop_of_the_patches_over_it():
    classifier, pixels = pooled_classifier(), random_pixels(1)
    found = Occlusion(patch=5, stride=4).drops(classifier, pixels)
    maps = Occlusion(patch=5, stride=4).explain(classifier, pixels)
    for row, column in ((0, 0), (4, 4), (9, 12), (15, 15)):
        over = [
            float(found.drops[0, i, j])
            for i, top in enumerate(found.tops)
            for j, left in enumerate(found.lefts)
            if top <= row < top + 5 and left <= column < left + 5
        ]
        assert float(maps.raw[0, row, column]) == pytest.approx(sum(over) / len(over), abs=1e-6)
    assert torch.equal(maps.targets.classes, found.targets.classes)


class RedCorner(nn.Module):
    """Logit 1 is the red of the pixel in row 2, column 9; logit 0 is 0."""

    def forward(self, pixels):
        red = pixels[:, 0, 2, 9]
        return torch.stack([torch.zeros_like(red), red], dim=1)


def test_only_patches_over_what_is_read_lower_the_score():
    classifier = classifier_of(RedCorner(), classes=2, size=16)
    pixels = torch.ones(1, 3, 16, 16)
    found = Occlusion(patch=4, stride=2, colour=(0.0, 0.0, 0.0)).drops(classifier, pixels, Targets.of([1]))
    for i, top in enumerate(found.tops):
        for j, left in enumerate(found.lefts):
            covers = top <= 2 < top + 4 and left <= 9 < left + 4
            assert float(found.drops[0, i, j]) == (1.0 if covers else 0.0)


class NoGradient(torch.autograd.Function):
    """Passes on what it gets, and fails when a gradient is asked for."""

    @staticmethod
    def forward(_ctx, values):
        return values.clone()

    @staticmethod
    def backward(_ctx, _gradient):
        raise RuntimeError("this classifier has no gradient")


class BlackBox(nn.Module):
    """A network whose backward raises, and that refuses to run while a graph is recorded."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = pooled_classifier().module

    def forward(self, pixels):
        if torch.is_grad_enabled():
            raise RuntimeError("a graph was recorded")
        return NoGradient.apply(self.inner(pixels))


@pytest.mark.parametrize("name", ["lime", "occlusion", "rise"])
def test_classifiers_without_a_gradient_are_explained_as_any_other(name):
    box = classifier_of(BlackBox().eval(), classes=5, size=16)
    pixels, targets = random_pixels(2), Targets.of([1, 2])
    found = explainer(name).explain(box, pixels.requires_grad_(), targets)
    expected = explainer(name).explain(pooled_classifier(), pixels.detach(), targets)
    assert torch.equal(found.raw, expected.raw)
    assert found.layer == ""


@pytest.mark.parametrize("made", [Occlusion(patch=4), Rise(masks=40)])
def test_double_precision_is_kept(made):
    classifier, pixels = pooled_classifier(), random_pixels(1)
    single = made.explain(classifier, pixels)
    classifier.module.double()
    double = made.explain(classifier, pixels.double())
    assert double.raw.dtype == torch.float64
    torch.testing.assert_close(double.raw.float(), single.raw, atol=1e-5, rtol=1e-4)


def test_patches_cover_a_side_to_its_end():
    assert positions(10, patch=4, stride=4) == (0, 4, 6)
    assert positions(8, patch=4, stride=4) == (0, 4)
    assert positions(4, patch=4, stride=1) == (0,)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patch": 17}, "at most 16 pixels, got a patch of 17"),
        ({"patch": 3, "stride": 4}, "a stride of at most the patch"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Occlusion(**settings).drops(pooled_classifier(), random_pixels(1))


@pytest.mark.parametrize("settings", [{"patch": 0}, {"stride": 0}, {"batch_size": 0}, {"colour": (2.0, 0.0, 0.0)}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError, match="expected"):
        Occlusion(**settings)
