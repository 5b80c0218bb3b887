"""HopSkipJump: the normal and the nearest image of a linear network in closed form; labels alone; starts."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from attacks.doubts import not_started
from attacks.per_image.hopskipjump import HopSkipJump, _normal
from attacks.per_image.starts import StartImages
from attacks.per_image.trial import Trial
from attacks.threat import Threat
from tests.attacks.conftest import as_classifier
from wolfhound.classifier import Classifier, Preprocessing, frozen
from wolfhound.errors import DataError
from wolfhound.images import Splits


class HalfSpace(nn.Module):
    """Two classes of 8x8 pixels, divided by the plane <weight, pixels - 128/255> = margin."""

    def __init__(self, weight: Tensor, margin: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.margin = margin

    def forward(self, pixels: Tensor) -> Tensor:
        height = ((pixels - 128 / 255).flatten(1) @ self.weight) - self.margin
        return torch.stack([-height, height], dim=1)


def half_space(norm: str, distance: float) -> Classifier:
    """Return the two classes, the plane at `distance` from the grey image in `norm`."""
    weight = torch.randn(192, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    dual = weight.norm() if norm == "l2" else weight.abs().sum()
    module = HalfSpace(weight, distance * float(dual))
    return Classifier("halves", module, ("below", "above"), Preprocessing(input_size=(8, 8)), "")


GREY = torch.full((3, 3, 8, 8), 128 / 255, dtype=torch.float64)


def test_the_estimate_points_along_the_normal_of_the_boundary() -> None:
    classifier = half_space("l2", 0.0)
    trial = Trial(classifier, GREY, torch.zeros(3).long(), None, targeted=False)
    with frozen(classifier.module):
        found = _normal(trial, GREY[0], 0, 0.01, 4000, "l2", torch.Generator().manual_seed(0))
    weight = classifier.module.weight.detach()  # type: ignore[union-attr]
    # With n neighbours of d numbers, the cosine is about 1 / sqrt(1 + pi d / (2 n)).
    cosine = float((found.flatten() @ weight) / (found.norm() * weight.norm()))  # type: ignore[operator]
    assert cosine > 0.9
    assert int(trial.queries[0]) == 4000


@pytest.mark.parametrize(("norm", "distance"), [("l2", 0.4), ("linf", 0.06)])
def test_it_comes_close_to_the_least_distance_of_a_linear_network(norm: str, distance: float) -> None:
    classifier = half_space(norm, distance)
    attack = HopSkipJump(iterations=12, norm=norm)  # type: ignore[arg-type]
    with frozen(classifier.module):
        found = attack.propose(classifier, GREY, torch.zeros(3).long(), None, seeds=torch.arange(3))
        delivered = (found.pixels * 255).round() / 255
        assert (classifier.logits(delivered).argmax(dim=1) == 1).all()
    reached = Threat(norm, 0.0).size(found.pixels - GREY)  # type: ignore[arg-type]
    assert float(reached.min()) >= distance * (1 - 1e-9)
    assert float(reached.max()) < distance * 1.35
    assert found.steps.tolist() == [12, 12, 12]


def test_under_a_threat_it_stops_as_soon_as_it_lies_within() -> None:
    classifier = half_space("l2", 0.4)
    with frozen(classifier.module):
        loose, tight, out = (
            HopSkipJump(iterations=10).propose(
                classifier, GREY, torch.zeros(3).long(), Threat("l2", epsilon), seeds=torch.arange(3)
            )
            for epsilon in (2.0, 0.6, 0.35)
        )
    assert bool((loose.queries < tight.queries).all())
    assert bool((tight.steps < 10).all())
    assert out.steps.tolist() == [10, 10, 10]


class OneHot(nn.Module):
    """Says nothing but the label, without a gradient."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, pixels: Tensor) -> Tensor:
        logits = self.inner(pixels).detach()
        return torch.zeros_like(logits).scatter_(1, logits.argmax(dim=1, keepdim=True), 1.0)


@pytest.mark.parametrize("targeted", [False, True])
def test_labels_alone_lead_to_the_same_result(targeted: bool, trained: Classifier, textures: Splits) -> None:
    images = textures.report.subset(range(4))
    pixels, labels = images.load().double(), torch.from_numpy(images.labels)
    classes = (labels + 1) % 4 if targeted else labels
    attack = HopSkipJump(iterations=2, first_evaluations=50, targeted=targeted)
    found = []
    for classifier in (trained, as_classifier(OneHot(trained.module))):
        with frozen(classifier.module):
            found.append(attack.propose(classifier, pixels, classes, Threat("l2", 0.4), seeds=torch.arange(4)))
    assert torch.equal(found[0].pixels, found[1].pixels)
    assert torch.equal(found[0].queries, found[1].queries)


def test_a_targeted_attack_starts_from_the_pictures_it_is_given(trained: Classifier, textures: Splits) -> None:
    images = textures.report.subset(range(8))
    pixels, targets = images.load().double(), (torch.from_numpy(images.labels) + 2) % 4
    attack = HopSkipJump(iterations=3, targeted=True, starts=StartImages(textures.craft), most_starts=60)
    with frozen(trained.module):
        found = attack.propose(trained, pixels, targets, None, seeds=torch.arange(8))
        delivered = (found.pixels * 255).round() / 255
        assert (trained.logits(delivered).argmax(dim=1) == targets).all()


def test_pictures_with_the_label_of_the_target_are_tried_each_once(textures: Splits) -> None:
    starts, source = StartImages(textures.craft), torch.Generator().manual_seed(0)
    tried = [picture.numpy().tobytes() for picture in starts.pictures((16, 16), source, target=2)]
    labelled = {image.numpy().tobytes() for image in textures.craft.load(np.flatnonzero(textures.craft.labels == 2))}
    assert len(tried) == len(labelled) == len(set(tried))
    assert set(tried) == labelled
    again = [picture.numpy().tobytes() for picture in starts.pictures((16, 16), source, target=2)]
    assert again != tried


def test_a_target_without_a_picture_is_refused_by_its_name(trained: Classifier, textures: Splits) -> None:
    without = textures.craft.subset(np.flatnonzero(textures.craft.labels != 2))
    assert StartImages(without).missing([0, 2, 2]) == (2,)
    assert StartImages().missing([0, 2]) == ()
    attack = HopSkipJump(iterations=1, targeted=True, starts=StartImages(without))
    pixels = textures.report.subset(range(2)).load().double()
    with frozen(trained.module), pytest.raises(DataError, match="labelled 'texture 2' to start from, got none"):
        attack.propose(trained, pixels, torch.tensor([2, 2]), None, seeds=torch.arange(2))


def test_images_that_nothing_was_tried_on_raise_a_doubt() -> None:
    ledger = pd.DataFrame({"steps": [0, 0, 3, 3], "success": [True, False, False, True]})
    found = not_started(ledger, name="HopSkipJump")
    assert found is not None
    assert (found.code, "for 1 of 4 images" in found.explanation) == ("not-started", True)
    assert not_started(ledger[ledger["steps"] > 0], name="HopSkipJump") is None


class Constant(nn.Module):
    def forward(self, pixels: Tensor) -> Tensor:
        return torch.zeros(len(pixels), 4, dtype=pixels.dtype).index_fill_(1, torch.tensor([1]), 1.0)


def test_where_no_start_succeeds_the_image_stays_as_it_is() -> None:
    classifier, pixels = as_classifier(Constant()), torch.full((2, 3, 16, 16), 0.5)
    attack = HopSkipJump(most_starts=5)
    found = attack.propose(classifier, pixels, torch.tensor([1, 0]), Threat("linf", 0.1), seeds=torch.arange(2))
    assert torch.equal(found.pixels, pixels)
    assert found.queries.tolist() == [6, 1]
    assert found.steps.tolist() == [0, 0]


def test_start_pictures_of_another_size_are_refused(textures: Splits) -> None:
    with pytest.raises(DataError, match="8x8"):
        StartImages(textures.craft).pictures((8, 8), torch.Generator())


def test_random_pictures_come_in_coarse_and_fine_grids() -> None:
    source = torch.Generator().manual_seed(0)
    pictures = StartImages().pictures((16, 16), source)
    colours = [len(next(pictures)[0].unique()) for _ in range(4)]
    assert colours == [256, 64, 16, 4]


def test_start_pictures_are_shared_and_printed_by_their_fingerprint(textures: Splits) -> None:
    starts = StartImages(textures.craft)
    assert repr(starts) == f"StartImages({textures.craft.fingerprint[:16]})"
    assert starts == StartImages(textures.craft) != StartImages()


@pytest.mark.parametrize("options", [{"iterations": 0}, {"gamma": 0.0}, {"norm": "l1"}, {"most_starts": 0}])
def test_impossible_hyper_parameters_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        HopSkipJump(**options)  # type: ignore[arg-type]
