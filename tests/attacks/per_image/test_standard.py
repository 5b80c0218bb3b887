"""The standard ensemble: the worst an image from attacks whose successes are known, resumption, seeds and rates."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from attacks.base import ImageProposal
from attacks.per_image.apgd import ApgdCrossEntropy, ApgdTargeted
from attacks.per_image.driver import IMAGE_COLUMNS
from attacks.per_image.fab import FabTargeted
from attacks.per_image.square import Square
from attacks.per_image.standard import (
    ENSEMBLES,
    Ensemble,
    accuracy_after,
    clean_accuracy,
    image_seeds,
    robust_accuracy,
    robust_accuracy_float,
    run_ensemble,
)
from attacks.threat import Knowledge, Threat
from tests.attacks.conftest import as_classifier
from tests.conftest import ImageSetFactory
from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.errors import DataError, EvidenceError, PlanError
from wolfhound.images import ImageSet, Splits

THREAT = Threat("linf", 3 / 255)
SMALL = Ensemble(
    "small",
    "Small",
    (
        ApgdCrossEntropy(iterations=3),
        ApgdTargeted(iterations=5, targets=2),
        FabTargeted(iterations=5, targets=1),
        Square(most_queries=30),
    ),
)


class Brightness(nn.Module):
    """Class 1 where the first pixel's red is at most 100/255, class 2 above 150/255, class 0 between."""

    def forward(self, pixels: Tensor) -> Tensor:
        red = pixels[:, 0, 0, 0] * 255
        return torch.stack([torch.full_like(red, 0.5), (red <= 100.5).to(red), (red > 150.5).to(red)], dim=1)


@dataclass(frozen=True)
class Shifting:
    """Moves every pixel by as much as it says."""

    shift: float
    name: str
    title: ClassVar[str] = "Shifting"
    source: ClassVar[str] = "this test"
    access: ClassVar[Knowledge] = "white-box"
    targeted: bool = False

    def propose(
        self,
        classifier: Classifier,  # noqa: ARG002
        pixels: Tensor,
        targets: Tensor,  # noqa: ARG002
        threat: Threat | None,  # noqa: ARG002
        *,
        seeds: Tensor,  # noqa: ARG002
    ) -> ImageProposal:
        count = torch.ones(len(pixels), dtype=torch.int64)
        return ImageProposal(pixels + self.shift, count, count)


def brightness() -> Classifier:
    return Classifier("brightness", Brightness(), ("between", "dark", "light"), Preprocessing(input_size=(8, 8)), "")


@pytest.fixture
def shades(make_images: ImageSetFactory) -> ImageSet:
    """Twelve images of random pixels, labelled by their first pixel but for the last one."""
    images = make_images([0] * 60, classes=3, seed=4)
    red = images.pixels.read(images.rows)[:, 0, 0, 0].astype(np.int64)
    labels = np.where(red <= 100, 1, np.where(red > 150, 2, 0))
    labels[-1] = (labels[-1] + 1) % 3
    return ImageSet(images.name, images.pixels, images.rows, labels, images.class_names, images.hashes)


def test_an_image_stands_only_if_it_is_right_when_clean_and_every_attack_failed(shades: ImageSet) -> None:
    ensemble = Ensemble("two", "Two", (Shifting(40 / 255, "up"), Shifting(-40 / 255, "down")))
    result = run_ensemble(ensemble, brightness(), shades, Threat("linf", 40 / 255), seed=0)
    red = shades.pixels.read(shades.rows)[:, 0, 0, 0].astype(np.int64)

    def label(level: np.ndarray) -> np.ndarray:
        return np.where(level <= 100, 1, np.where(level > 150, 2, 0))

    right = label(red) == shades.labels
    up = right & (label(np.minimum(red + 40, 255)) != shades.labels)
    down = right & ~up & (label(np.maximum(red - 40, 0)) != shades.labels)
    assert up.any()
    assert down.any()
    assert (result.worst["robust"] == right & ~up & ~down).all()
    assert (result.worst["attack"] == np.where(up, "up", np.where(down, "down", ""))).all()
    assert tuple(result.worst["image"]) == shades.hashes
    assert result.tried["attack"].value_counts().to_dict() == {"up": right.sum(), "down": (right & ~up).sum()}
    standing = int((right & ~up & ~down).sum())
    rate = robust_accuracy(result.worst)
    assert (rate.successes, rate.total, rate.denominator) == (standing, 60, "report images")
    assert clean_accuracy(result.worst).successes == 59
    after = accuracy_after(result)
    assert [after[name].successes for name in ("up", "down")] == [59 - int(up.sum()), standing]
    worst_mean = min(59 - int(up.sum()), int((right & (label(np.maximum(red - 40, 0)) == shades.labels)).sum()))
    assert standing < worst_mean
    broken = result.worst[result.worst["attack"] != ""]
    assert (broken["adversarial"] != broken["label"]).all()
    assert (broken["linf"] > 0).all()
    assert (result.worst[result.worst["attack"] == ""]["linf"] == 0).all()


def test_in_floating_point_an_image_falls_to_any_version_made_for_it(shades: ImageSet) -> None:
    ensemble = Ensemble("two", "Two", (Shifting(20.4 / 255, "less"), Shifting(-20.6 / 255, "more")))
    result = run_ensemble(ensemble, brightness(), shades, Threat("linf", 30 / 255), seed=0)
    red = shades.pixels.read(shades.rows)[:, 0, 0, 0].astype(np.float64)

    def label(level: np.ndarray) -> np.ndarray:
        return np.where(level <= 100.5, 1, np.where(level > 150.5, 2, 0))

    right = label(red) == shades.labels
    rounded = [label(np.clip(red + shift, 0, 255)) != shades.labels for shift in (20, -21)]
    exact = [label(np.clip(red + shift, 0, 255)) != shades.labels for shift in (20.4, -20.6)]
    robust = right & ~rounded[0] & ~rounded[1]
    assert (result.worst["robust"] == robust).all()
    assert (result.worst["robust_float"] == (robust & ~exact[0] & ~exact[1])).all()
    assert robust_accuracy_float(result.worst).successes == int((robust & ~exact[0] & ~exact[1]).sum())
    tried = result.tried[result.tried["attack"] == "less"]
    assert (tried["success_float"].to_numpy() == exact[0][right]).all()


def test_where_nothing_stands_the_later_attacks_are_not_run_and_leave_the_rate_as_it_is(shades: ImageSet) -> None:
    wrong = ImageSet(
        shades.name, shades.pixels, shades.rows, (shades.labels + 1) % 3, shades.class_names, shades.hashes
    ).subset(range(20))
    result = run_ensemble(SMALL, brightness(), wrong, THREAT, seed=0)
    assert len(result.tried) == 0
    assert list(result.tried.columns) == ["attack", *IMAGE_COLUMNS]
    assert not result.worst["robust"].any()
    assert [rate.successes for rate in accuracy_after(result).values()] == [0, 0, 0, 0]


def test_no_result_depends_on_the_order_or_number_of_the_images(trained: Classifier, textures: Splits) -> None:
    images = textures.report.subset(range(40))
    shuffled = textures.report.subset(torch.randperm(40, generator=torch.Generator().manual_seed(1)).tolist())
    some = textures.report.subset(range(5, 18))
    # The weakest first, so that something is left for others to find whatever network a processor trains.
    rising = Ensemble("rising", "Rising", tuple(reversed(SMALL.attacks)))
    whole, other, part = (
        run_ensemble(rising, trained, chosen, THREAT, seed=3, batch_size=size)
        for chosen, size in ((images, 64), (shuffled, 7), (some, 4))
    )
    expected = whole.tried.set_index(["image", "attack"]).sort_index()
    assert expected.equals(other.tried.set_index(["image", "attack"]).sort_index())
    found = part.tried.set_index(["image", "attack"]).sort_index()
    assert found.equals(expected.loc[found.index])
    assert whole.worst["attack"].nunique() > 2
    assert 0 < robust_accuracy(whole.worst).successes < 40
    again = run_ensemble(rising, trained, images, THREAT, seed=4)
    assert not again.tried["l2"].equals(whole.tried["l2"])


def test_stored_parts_are_taken_instead_of_running_and_lead_to_the_same(trained: Classifier, textures: Splits) -> None:
    images = textures.report.subset(range(30))
    stored: dict[str, pd.DataFrame] = {}
    whole = run_ensemble(SMALL, trained, images, THREAT, seed=3, store=stored.__setitem__)
    assert list(stored) == ["apgd_ce", "apgd_t", "fab_t", "square"]
    newly: dict[str, pd.DataFrame] = {}
    early = {name: stored[name] for name in ("apgd_ce", "apgd_t")}
    resumed = run_ensemble(SMALL, trained, images, THREAT, seed=3, stored=early, store=newly.__setitem__)
    assert list(newly) == ["fab_t", "square"]
    assert resumed.tried.equals(whole.tried)
    assert resumed.worst.equals(whole.worst)
    with pytest.raises(EvidenceError, match="expected a stored part of the"):
        run_ensemble(SMALL, trained, images.subset(range(20)), THREAT, seed=3, stored=stored)


def test_seeds_come_from_the_content_and_the_attack() -> None:
    first = image_seeds(("a", "b"), seed=0, purpose="apgd_ce")
    assert first.tolist()[::-1] == image_seeds(("b", "a"), seed=0, purpose="apgd_ce").tolist()
    others = (image_seeds(("a",), seed=1, purpose="apgd_ce"), image_seeds(("a",), seed=0, purpose="square"))
    assert len({int(first[0]), *(int(seeds) for seeds in others)}) == 3
    assert bool((first >= 0).all())


def test_only_the_full_budget_is_called_standard() -> None:
    standard = ENSEMBLES["certification"]
    assert [ensemble.standard for ensemble in ENSEMBLES.values()] == [False, False, True]
    assert standard.attacks == (
        ApgdCrossEntropy(iterations=100, restarts=1, rho=0.75),
        ApgdTargeted(iterations=100, targets=9, rho=0.75),
        FabTargeted(iterations=100, targets=9, alpha_max=0.1, eta=1.05, beta=0.9),
        Square(most_queries=5000, share=0.8),
    )
    for variant in ("quick", "nightly"):
        assert "not the standard" in ENSEMBLES[variant].title  # type: ignore[index]
        assert "standard" not in ENSEMBLES[variant].name  # type: ignore[index]
        assert ENSEMBLES[variant].attacks != standard.attacks  # type: ignore[index]


def test_what_makes_no_ensemble_is_refused(trained: Classifier, textures: Splits) -> None:
    with pytest.raises(PlanError, match="each once"):
        Ensemble("twice", "Twice", (Square(), Square(most_queries=3)))
    with pytest.raises(PlanError, match="untargeted attacks"):
        Ensemble("aiming", "Aiming", (Square(targeted=True),))
    with pytest.raises(PlanError, match="untargeted threat"):
        run_ensemble(SMALL, trained, textures.report, Threat("linf", 0.1, target=1), seed=0)
    with pytest.raises(DataError, match="at least one image"):
        run_ensemble(SMALL, trained, textures.report.subset([]), THREAT, seed=0)


def test_two_classes_are_enough_for_the_whole_ensemble(textures: Splits) -> None:
    weight = torch.randn(2, 768, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    module = nn.Sequential(nn.Flatten(), nn.Linear(768, 2)).double()
    with torch.no_grad():
        module[1].weight.copy_(weight)
        module[1].bias.zero_()
    made = as_classifier(module.eval())
    two = Classifier("two", made.module, ("no", "yes"), made.preprocessing, "")
    images = textures.report.subset(range(10))
    labels = two.logits(images.load().double()).argmax(dim=1).numpy()
    named = ImageSet(images.name, images.pixels, images.rows, labels, ("no", "yes"), images.hashes)
    result = run_ensemble(SMALL, two, named, Threat("linf", 30 / 255), seed=0)
    assert robust_accuracy(result.worst).successes < 10
