"""Curves from smallest sizes: counts by hand, closed forms on a linear model, and a search that cannot rise."""

import math
from typing import Any

import hypothesis
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import strategies

from attacks.judge import predict
from attacks.per_image import curves
from attacks.per_image.curves import SizeCurve, curve_by_bisection, curve_of_ledger, most_runs
from attacks.per_image.deepfool import DeepFool
from attacks.per_image.driver import attack_images
from attacks.per_image.gradient_steps import FastGradient, ProjectedGradient
from attacks.threat import Norm, Threat
from tests.conftest import ImageSetFactory
from wolfhound.classifier import Classifier
from wolfhound.errors import DataError, PlanError
from wolfhound.images import Splits

SIZES = np.array([0.0, 0.1, 0.1, 0.3, np.inf])


def test_accuracy_counts_the_images_that_need_more_than_epsilon() -> None:
    curve = SizeCurve("l2", SIZES)
    assert [curve.accuracy(epsilon).successes for epsilon in (0, 0.05, 0.1, 0.2, 0.3, 9)] == [4, 4, 2, 2, 1, 1]
    assert curve.accuracy(0.1).total == 5
    falls, left = curve.steps
    assert falls.tolist() == [0, 0.1, 0.3]
    assert left.tolist() == [4, 2, 1]
    assert curve.zero_at == math.inf
    assert SizeCurve("l2", SIZES[:4]).zero_at == 0.3
    assert SizeCurve("l2", SIZES[:4]).steps[1][-1] == 0


def test_the_median_is_of_the_images_that_had_to_be_perturbed() -> None:
    assert SizeCurve("l2", SIZES).median_size == pytest.approx(0.2)
    assert SizeCurve("l2", SIZES[:4]).median_size == 0.1
    assert SizeCurve("l2", np.array([0.2, np.inf, np.inf])).median_size == math.inf
    with pytest.raises(ValueError, match="expected an image that has to be perturbed"):
        _ = SizeCurve("l2", SIZES[:1]).median_size


def test_the_frame_states_n_and_the_wilson_interval_at_each_epsilon() -> None:
    curve = SizeCurve("linf", SIZES)
    frame = curve.frame([0, 0.1])
    assert frame["right"].tolist() == [4, 2]
    assert frame["total"].tolist() == [5, 5]
    bounds = curve.accuracy(0.1).interval()
    assert frame["low_95"][1] == pytest.approx(100 * bounds.low)
    assert frame["high_95"][1] == pytest.approx(100 * bounds.high)
    with pytest.raises(ValueError, match="at least one image"):
        SizeCurve("linf", np.empty(0)).frame([0.1])
    with pytest.raises(ValueError, match="expected sizes"):
        SizeCurve("linf", np.array([-0.1]))


@hypothesis.given(
    strategies.lists(strategies.floats(0, 2) | strategies.just(math.inf), min_size=1, max_size=30),
    strategies.lists(strategies.floats(0, 3), min_size=2, max_size=10),
)
def test_accuracy_never_rises_with_epsilon(sizes: list[float], epsilons: list[float]) -> None:
    curve = SizeCurve("l2", np.array(sizes))
    counts = [curve.accuracy(epsilon).successes for epsilon in sorted(epsilons)]
    assert counts == sorted(counts, reverse=True)


def two_classes(classifier: Classifier) -> Any:
    layer: Any = classifier.module[1]  # type: ignore[index]
    with torch.no_grad():
        layer.weight[2:] = 0
        layer.bias[2:] = -1e6
    return (layer.weight[1] - layer.weight[0]).detach()


@pytest.mark.parametrize("attack", [FastGradient(), ProjectedGradient(random_start=False, most_steps=30)])
def test_on_a_linear_model_the_search_finds_the_least_level_of_every_image(
    attack: Any, linear_classifier: Classifier, make_images: ImageSetFactory
) -> None:
    slope = two_classes(linear_classifier)
    images = make_images([0, 1] * 10, classes=4, seed=3)
    logits = linear_classifier.logits(images.load().double()).detach()
    labels = logits.argmax(dim=1).numpy()
    targets = np.where(np.arange(20) < 4, 1 - labels, labels)  # the first four are wrong when clean
    curve = curve_by_bisection(
        attack, linear_classifier, images, targets, "linf", generator=torch.Generator().manual_seed(0)
    )
    for row in range(20):
        levels = np.round(255 * curve.sizes[row])
        if row < 4:
            assert levels == 0
            continue
        sign = slope.view(3, 8, 8).sign() * (1 if labels[row] == 0 else -1)
        whole = (images.load([row])[0].double() * 255).round()

        def fooled(level: float, whole: Any = whole, sign: Any = sign, row: int = row) -> bool:
            shown = (whole + level * sign).clamp(0, 255) / 255
            return bool(linear_classifier.logits(shown[None]).argmax(dim=1) != labels[row])

        assert fooled(levels)
        assert not fooled(levels - 1)


def test_a_small_perturbation_attack_gives_its_curve_directly(trained: Classifier, textures: Splits) -> None:
    images = textures.report
    ledger = attack_images(
        DeepFool(), trained, images, images.labels, None, generator=torch.Generator().manual_seed(0)
    ).ledger
    curve = curve_of_ledger(ledger, "l2")
    clean = predict(trained, images)
    assert curve.accuracy(0).successes == (clean == images.labels).sum()
    assert 0 < curve.accuracy(0.1).successes < curve.accuracy(0.05).successes
    assert curve.accuracy(curve.zero_at).successes == 0
    needed = ledger["l2"][clean == images.labels]
    assert curve.median_size == pytest.approx(float(needed.median()))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_searched_curve_agrees_with_the_attack_at_each_epsilon_or_is_below(
    norm: Norm, trained: Classifier, textures: Splits
) -> None:
    images, attack = textures.report.subset(range(25)), ProjectedGradient(most_steps=10)

    def search(batch_size: int) -> SizeCurve:
        generator = torch.Generator().manual_seed(0)
        return curve_by_bisection(
            attack,
            trained,
            images,
            images.labels,
            norm,
            generator=generator,
            batch_size=batch_size,
            finest=1 / 255 if norm == "linf" else 0.05,
        )

    curve = search(25)
    assert (curve.sizes == search(9).sizes).all()
    assert np.isfinite(curve.sizes).all()
    for epsilon in (2 / 255, 4 / 255) if norm == "linf" else (0.1, 0.2):
        generator = torch.Generator().manual_seed(1)
        alone = attack_images(attack, trained, images, images.labels, Threat(norm, epsilon), generator=generator)
        assert curve.accuracy(epsilon).successes <= (~alone.ledger["success"]).sum() + 2


def test_images_that_no_epsilon_fools_stay_and_the_search_ends(trained: Classifier, textures: Splits) -> None:
    images = textures.report.subset(range(40))
    curve = curve_by_bisection(
        FastGradient(),
        trained,
        images,
        images.labels,
        "linf",
        generator=torch.Generator().manual_seed(0),
        largest=2.5 / 255,
    )
    left = int(np.isinf(curve.sizes).sum())
    assert 0 < left < 40
    assert curve.accuracy(1.0).successes == left
    assert curve.sizes[np.isfinite(curve.sizes)].max() <= 2 / 255 + 1e-9


def test_requests_that_do_not_fit_are_refused(trained: Classifier, textures: Splits) -> None:
    generator = torch.Generator().manual_seed(0)
    images = textures.report.subset(range(4))
    with pytest.raises(PlanError, match="expected 0 < finest <= largest"):
        curve_by_bisection(
            FastGradient(), trained, images, images.labels, "linf", generator=generator, largest=0.5 / 255
        )
    with pytest.raises(PlanError, match="expected 0 < finest"):
        curve_by_bisection(FastGradient(), trained, images, images.labels, "l2", generator=generator, finest=0.0)
    with pytest.raises(DataError, match="expected 4 targets"):
        curve_by_bisection(FastGradient(), trained, images, textures.report.labels, "linf", generator=generator)


def test_no_image_is_attacked_more_often_than_the_search_may_need() -> None:
    most = most_runs("linf", (8, 8))
    ladder = curves._Ladder.of(256, "linf", 1 / 255, None, (8, 8))
    hurdles, runs = np.arange(1, 257), np.zeros(256, dtype=int)  # the last gives way to nothing
    while (asked := ladder.next_multiples()).any():
        runs += asked > 0
        for multiple in np.unique(asked[asked > 0]).tolist():
            rows = np.flatnonzero(asked == multiple)
            success = hurdles[rows] <= multiple
            ladder.note(rows, multiple, pd.DataFrame({"success": success, "linf": np.full(len(rows), multiple / 255)}))
    assert runs.max() == most
