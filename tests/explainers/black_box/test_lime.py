"""LIME against its regression written out, against a classifier that is linear in segments, and its hygiene."""

import math
import sys

import numpy as np
import pytest
import torch
from torch import nn

from explainers.base import Targets
from explainers.black_box.lime import Lime, draw_masks, fit_lime, mask_weights, mean_colours
from explainers.black_box.segments import Grid, Quickshift, Slic
from tests.explainers.networks import classifier_of, pooled_classifier, random_pixels


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def literal_fit(masks, responses, *, width, alpha):
    """Weighted ridge by its normal equations, intercept unpenalised, as one plain least-squares problem for each class.

    Rows sqrt(w) (1, x) against sqrt(w) y, and sqrt(alpha) e_j against 0 for every coefficient but the intercept.
    """
    segments = masks.shape[1]
    weights = []
    for mask in masks:
        on = sum(bool(m) for m in mask)
        cosine = on / (math.sqrt(on) * math.sqrt(segments)) if on else 0.0
        weights.append(math.sqrt(math.exp(-((1 - cosine) ** 2) / width**2)))
    found = []
    for response in np.asarray(responses).T:
        design = [[math.sqrt(w), *(math.sqrt(w) * m for m in mask)] for w, mask in zip(weights, masks, strict=True)]
        design += [[0.0, *(math.sqrt(alpha) * (i == j) for j in range(segments))] for i in range(segments)]
        wanted = [math.sqrt(w) * y for w, y in zip(weights, response, strict=True)] + [0.0] * segments
        solution = np.linalg.lstsq(np.array(design), np.array(wanted), rcond=None)[0]
        fitted = np.array([solution[0] + np.dot(solution[1:], mask) for mask in masks])
        w = np.array(weights)
        mean = (w * response).sum() / w.sum()
        score = 1 - (w * (response - fitted) ** 2).sum() / (w * (response - mean) ** 2).sum()
        found.append((solution[1:], solution[0], score))
    return found


def test_the_closed_form_is_the_weighted_ridge_of_the_paper():
    masks = draw_masks(60, 7, generator=generator())
    masks[5] = False  # nothing on: its cosine distance is 1
    responses = torch.rand(60, 3, generator=generator(1), dtype=torch.float64)
    fit = fit_lime(masks, responses, kernel_width=0.25, alpha=1.0)
    for row, (coefficients, intercept, score) in enumerate(literal_fit(masks.numpy(), responses, width=0.25, alpha=1)):
        np.testing.assert_allclose(fit.coefficients[row], coefficients, atol=1e-10)
        assert float(fit.intercept[row]) == pytest.approx(intercept, abs=1e-10)
        assert float(fit.score[row]) == pytest.approx(score, abs=1e-10)


def test_masks_are_fair_coins_with_everything_on_first():
    masks = draw_masks(4000, 10, generator=generator())
    assert bool(masks[0].all())
    assert 0.49 < float(masks[1:].double().mean()) < 0.51
    assert torch.equal(masks, draw_masks(4000, 10, generator=generator()))


def test_a_mask_with_everything_on_weighs_one_and_less_the_fewer_are_on():
    masks = torch.tril(torch.ones(5, 5)).bool()
    weights = mask_weights(masks, kernel_width=0.25)
    assert float(weights[-1]) == 1.0
    assert (weights.diff() > 0).all()


def test_segments_that_are_off_take_their_mean_colour():
    image = torch.rand(3, 6, 6, generator=generator(), dtype=torch.float64)
    segments = Grid(cells=3).segments(image)
    average = mean_colours(image, segments)
    for number in range(9):
        inside = segments == number
        torch.testing.assert_close(average[:, inside], image[:, inside].mean(dim=1, keepdim=True).expand(-1, 4))


class SegmentReader(nn.Module):
    """Probability of class 1: the sum of what chosen segments still hold of their own contrast. Linear in the switches.

    A segment's contrast is the difference of its two upper pixels in red, 0 once it takes its mean colour.
    """

    def __init__(self, weights) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, pixels):
        probability = 0.1
        for (row, column), weight in self.weights.items():
            probability = probability + weight * (pixels[:, 0, row, column] - pixels[:, 0, row, column + 1])
        # Logits whose softmax is that probability.
        return torch.stack([torch.zeros_like(probability), torch.logit(probability)], dim=1)


def linear_case():
    """An image of 4 x 4 pixels in 2 x 2 segments, each with a contrast of 1 in its upper pixels."""
    image = torch.zeros(3, 4, 4, dtype=torch.float64)
    image[0, ::2, ::2] = 1.0
    reader = SegmentReader({(0, 0): 0.3, (2, 2): 0.2, (2, 0): -0.05})
    return classifier_of(reader, classes=2, size=4), image


def test_a_classifier_linear_in_its_segments_is_recovered():
    classifier, image = linear_case()
    lime = Lime(Grid(cells=2), samples=400, alpha=1e-9)
    found = lime.explain_image(classifier, image, classes=[1], generator=generator())
    expected = torch.tensor([[0.3, 0.0, -0.05, 0.2]], dtype=torch.float64)
    torch.testing.assert_close(found.fit.coefficients, expected, atol=1e-8, rtol=0)
    assert float(found.fit.intercept[0]) == pytest.approx(0.1, abs=1e-8)
    assert float(found.fit.score[0]) == pytest.approx(1)
    assert float(found.local_predictions[0]) == pytest.approx(float(found.probabilities[0]), abs=1e-8)
    assert float(found.fit.standard_error.max()) < 1e-8
    assert found.strongest(0) == [0, 3]
    torch.testing.assert_close(found.map(0)[:2, :2], torch.full((2, 2), 0.3, dtype=torch.float64))


def test_the_strongest_segments_are_cut_out_on_grey():
    classifier, image = linear_case()
    found = Lime(Grid(cells=2)).explain_image(classifier, image, classes=[1], generator=generator())
    shown = found.cut_out(image, 0, most=1)
    assert torch.equal(shown[:, :2, :2], image[:, :2, :2])
    assert (shown[:, 2:] == 0.5).all()
    assert (shown[:, :, 2:] == 0.5).all()


def test_segments_that_chance_alone_may_have_named_are_left_out():
    classifier, pixels = pooled_classifier(), random_pixels(1)
    found = Lime(Grid(cells=4), samples=40).explain_image(classifier, pixels[0], classes=[0], generator=generator())
    coefficients, errors = found.fit.coefficients[0], found.fit.standard_error[0]
    for sure in (0.0, 1.0, 3.0):
        expected = [i for i in range(16) if float(coefficients[i]) > sure * float(errors[i])]
        assert sorted(found.strongest(0, most=16, sure=sure)) == expected
    assert found.strongest(0, most=16, sure=1e9) == []
    assert 0 < len(found.strongest(0, most=16, sure=0.0)) < 16


def test_standard_errors_are_the_spread_over_draws_of_masks():
    classifier, pixels = pooled_classifier(), random_pixels(1)
    with torch.no_grad():
        classifier.module.head.weight *= 20
    lime = Lime(Grid(cells=3), samples=200)
    runs = [lime.explain_image(classifier, pixels[0], classes=[0], generator=generator(seed)).fit for seed in range(60)]
    spread = torch.stack([run.coefficients[0] for run in runs]).std(dim=0)
    stated = torch.stack([run.standard_error[0] for run in runs]).mean(dim=0)
    assert float(spread.min()) > 0
    assert 0.8 < float((stated / spread).mean()) < 1.25


def test_the_top_classes_share_one_set_of_perturbed_images():
    classifier, pixels = pooled_classifier(), random_pixels(1)
    lime = Lime(Grid(cells=4), samples=50)
    together = lime.explain_image(classifier, pixels[0], top=3, generator=generator())
    with torch.no_grad():
        probabilities = classifier.logits(pixels).softmax(dim=1)[0]
    assert together.classes.tolist() == probabilities.topk(3).indices.tolist()
    torch.testing.assert_close(together.probabilities.float(), probabilities.topk(3).values)
    assert together.class_names == tuple(str(c) for c in together.classes.tolist())
    for row, label in enumerate(together.classes.tolist()):
        alone = lime.explain_image(classifier, pixels[0], classes=[label], generator=generator())
        torch.testing.assert_close(alone.fit.coefficients[0], together.fit.coefficients[row])


def test_a_contrast_is_the_difference_of_two_classes():
    classifier, pixels, lime = pooled_classifier(), random_pixels(2), Lime(Grid(cells=4), samples=50)
    contrast = lime.explain(classifier, pixels, Targets.of([3, 2], against=1)).raw
    own, rival = (lime.explain(classifier, pixels, Targets.of(classes)).raw for classes in ([3, 2], [1, 1]))
    torch.testing.assert_close(contrast, own - rival, atol=1e-6, rtol=1e-5)


def test_a_probability_that_never_changes_has_no_score():
    fit = fit_lime(draw_masks(30, 4, generator=generator()), torch.full((30, 1), 0.3, dtype=torch.float64))
    assert math.isnan(float(fit.score[0]))
    assert float(fit.coefficients.abs().max()) < 1e-12


def test_the_generator_alone_decides_and_progress_counts_images():
    classifier, pixels = pooled_classifier(), random_pixels(1)
    advanced = []

    class Counting:
        def __init__(self, description, total):
            advanced.append((description, total))

        def __enter__(self):
            return advanced.append

        def __exit__(self, *_):
            return None

    lime = Lime(Grid(cells=4), samples=70, batch_size=32)
    first = lime.explain_image(classifier, pixels[0], generator=generator(4), progress=Counting)
    torch.manual_seed(99)
    second = lime.explain_image(classifier, pixels[0], generator=generator(4))
    third = lime.explain_image(classifier, pixels[0], generator=generator(5))
    assert torch.equal(first.fit.coefficients, second.fit.coefficients)
    assert not torch.equal(first.fit.coefficients, third.fit.coefficients)
    assert advanced == [("lime of network", 70), 32, 32, 6]


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        (torch.zeros(3, 3, dtype=torch.int64), "expected segments as int64"),
        (torch.zeros(16, 16), "expected segments as int64"),
        (torch.ones(16, 16, dtype=torch.int64), "numbered 0 to 0"),
        (torch.arange(16).repeat(16, 1) * 2, "numbered 0 to 15"),
    ],
)
def test_unusable_segments_are_refused(segments, message):
    with pytest.raises(ValueError, match=message):
        Lime().explain_image(pooled_classifier(), random_pixels(1)[0], segments=segments, generator=generator())


def test_faulty_requests_are_refused():
    classifier, image = pooled_classifier(), random_pixels(1)[0]
    with pytest.raises(ValueError, match=r"expected classes in \[0, 5\), got \[7\]"):
        Lime().explain_image(classifier, image, classes=[7], generator=generator())
    with pytest.raises(ValueError, match="expected 1 to 5 classes"):
        Lime().explain_image(classifier, image, top=6, generator=generator())
    with pytest.raises(ValueError, match="expected one image"):
        Lime().explain_image(classifier, image[None], generator=generator())
    with pytest.raises(ValueError, match="at least 2 samples"):
        Lime(samples=1)
    with pytest.raises(ValueError, match="1 to 16 cells"):
        Grid(cells=17).segments(image)
    with torch.no_grad():
        classifier.module.head.bias.fill_(math.nan)
    with pytest.raises(ValueError, match="expected finite scores"):
        Lime().explain_image(classifier, image, generator=generator())


@pytest.mark.parametrize("segmenter", [Slic(), Quickshift()])
def test_without_scikit_image_the_way_out_is_named(segmenter, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ModuleNotFoundError, match=r"wolfhound\[lime\]"):
        segmenter.segments(torch.zeros(3, 8, 8))
