"""Deletion, insertion and ROAD: literal replicas, and a planted network whose evidence is known."""

import numpy as np
import pytest
import torch

from explainers.base import Targets
from explainers.checks.baselines import gaussian_blur
from explainers.checks.faithfulness import BLUR, baseline_images, deletion, insertion, road
from explainers.checks.imputation import impute
from explainers.checks.ranking import constant, ranks
from tests.explainers import synthetic
from tests.explainers.networks import pooled_classifier, random_pixels
from tests.explainers.test_contract import fingerprint


def literal_curve(classifier, image, order, steps, front, back, target, rival):
    """One image at a time, one pixel at a time: what is in front replaces what is behind, in the given order."""
    probabilities, contrasts, shown = [], [], back.clone()
    places = [divmod(place, image.shape[-1]) for place in order]
    taken = 0
    for step in range(steps + 1):
        while taken < round(step / steps * len(places)):
            row, column = places[taken]
            shown[:, row, column] = front[:, row, column]
            taken += 1
        with torch.no_grad():
            logits = classifier.logits(shown[None])[0].double()
        probabilities.append(float(torch.softmax(logits, 0)[target]))
        contrasts.append(float(logits[target] - logits[rival]))
    return probabilities, contrasts


@pytest.mark.parametrize(("metric", "baseline"), [(deletion, "mean"), (insertion, "blurred"), (deletion, "black")])
def test_curves_are_those_of_a_literal_replica(metric, baseline):
    classifier, pixels = pooled_classifier(), random_pixels(3)
    maps = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(5))
    found = metric(classifier, pixels, maps, Targets.of([0, 1, 2], against=4), steps=7, baseline=baseline, seed=0)
    plates = {
        "mean": lambda image: image.mean(dim=(1, 2), keepdim=True).expand_as(image),
        "black": torch.zeros_like,
        "blurred": lambda image: gaussian_blur(image[None], deviation=16 * BLUR)[0],
    }
    for index, image in enumerate(pixels):
        order = np.argsort(-maps[index].flatten().numpy())
        plate = plates[baseline](image)
        front, back = (plate, image) if metric is deletion else (image, plate)
        expected = literal_curve(classifier, image, order, 7, front, back, index, 4)
        np.testing.assert_allclose(found.probability[index], expected[0], atol=1e-6)
        np.testing.assert_allclose(found.contrast[index], expected[1], atol=1e-5)
        assert found.probability_auc[index] == pytest.approx(np.trapezoid(expected[0], np.linspace(0, 1, 8)), abs=1e-6)


def test_deletion_begins_with_the_image_and_ends_with_the_baseline_and_insertion_the_other_way_round():
    classifier, pixels, targets = pooled_classifier(), random_pixels(2), Targets.of([3, 1])
    maps = torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(0))
    gone = deletion(classifier, pixels, maps, targets, baseline="mean", seed=0)
    back = insertion(classifier, pixels, maps, targets, baseline="mean", seed=0)
    with torch.no_grad():
        for images, first, second in ((pixels, 0, -1), (baseline_images(pixels, "mean"), -1, 0)):
            expected = classifier.logits(images).double().softmax(dim=1)[[0, 1], [3, 1]]
            np.testing.assert_allclose(gone.probability[:, first], expected, atol=1e-6)
            np.testing.assert_allclose(back.probability[:, second], expected, atol=1e-6)


def test_without_a_named_rival_the_highest_other_class_of_the_untouched_image_is_taken():
    classifier, pixels = pooled_classifier(), random_pixels(4)
    with torch.no_grad():
        logits = classifier.logits(pixels).double()
    found = deletion(classifier, pixels, torch.rand(4, 2, 2), Targets.of([0, 1, 2, 3]), seed=0)
    for image, own in enumerate((0, 1, 2, 3)):
        others = [float(logits[image, k]) for k in range(5) if k != own]
        assert found.contrast[image, 0] == pytest.approx(float(logits[image, own]) - max(others), abs=1e-5)


def test_road_curves_are_those_of_imputed_images():
    classifier, pixels, targets = pooled_classifier(), random_pixels(2), Targets.of([0, 1])
    maps = torch.rand(2, 16, 16, generator=torch.Generator().manual_seed(5))
    most, least = road(classifier, pixels, maps, targets, shares=(0.25, 0.75), noise=0, seed=0)
    order = ranks(maps, size=(16, 16), seed=0)
    for step, share in enumerate((0.25, 0.75)):
        count = round(share * 256)
        for curves, hole in ((most, order < count), (least, order >= 256 - count)):
            with torch.no_grad():
                probability = classifier.logits(impute(pixels, hole)).double().softmax(dim=1)[[0, 1], [0, 1]]
            np.testing.assert_allclose(curves.probability[:, step], probability, atol=1e-6)


@pytest.mark.parametrize("metric", [deletion, insertion, road])
def test_scores_depend_on_the_seed_and_not_on_the_batch_size_and_leave_no_trace(metric):
    classifier, pixels, targets = pooled_classifier(), random_pixels(5), Targets.of([0, 1, 2, 3, 4])
    maps = torch.rand(5, 3, 3, generator=torch.Generator().manual_seed(1)).round(decimals=1)
    classifier.module.train()
    before = fingerprint(classifier.module)
    found = [metric(classifier, pixels, maps, targets, seed=seed, batch_size=size) for seed, size in ((0, 5), (0, 2))]
    assert fingerprint(classifier.module) == before
    for one, other in zip(*(curves if metric is road else [curves] for curves in found), strict=True):
        np.testing.assert_allclose(one.probability, other.probability, atol=1e-5)


def test_the_planted_evidence_beats_noise_and_noise_beats_its_opposite():
    classifier = synthetic.planted_classifier()
    pixels, masks = synthetic.red_squares(6)
    targets = Targets.of(0, count=6)
    noise = torch.rand(6, synthetic.SIZE, synthetic.SIZE, generator=torch.Generator().manual_seed(0))
    truth, opposite = masks[:, 0] + 0.01 * noise, -masks[:, 0] + 0.01 * noise
    by_map = {}
    for name, maps in (("truth", truth), ("noise", noise), ("opposite", opposite)):
        gone = deletion(classifier, pixels, maps, targets, seed=0)
        added = insertion(classifier, pixels, maps, targets, seed=0)
        most, least = road(classifier, pixels, maps, targets, seed=0)
        by_map[name] = (
            -gone.probability_auc,
            -gone.contrast_auc,
            added.probability_auc,
            added.contrast_auc,
            least.probability_auc - most.probability_auc,
        )
    for best, middle, worst in zip(*by_map.values(), strict=True):
        assert (best > middle).all()
        assert (middle > worst).all()


def test_equal_values_stand_in_an_order_that_chance_decides_and_larger_ones_come_first():
    maps = torch.tensor([[[1.0, 1.0], [0.0, 2.0]]]).repeat(200, 1, 1)
    found = ranks(maps, size=(2, 2), seed=0).flatten(1)
    assert (found[:, 3] == 0).all()
    assert (found[:, 2] == 3).all()
    assert 60 < int((found[:, 0] == 1).sum()) < 140
    assert torch.equal(found, ranks(maps, size=(2, 2), seed=0).flatten(1))
    assert constant(torch.stack([torch.ones(2, 2), torch.eye(2)])).tolist() == [True, False]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"maps": torch.rand(1, 4, 4)}, "raw maps"),
        ({"maps": torch.full((2, 4, 4), torch.nan)}, "finite maps"),
        ({"targets": Targets.of([0, 9])}, "target classes"),
        ({"steps": 1}, "at least 2 steps"),
        ({"baseline": "pink"}, "mean, blurred or black"),
    ],
)
def test_what_cannot_be_scored_is_refused(arguments, reason):
    given = {"maps": torch.rand(2, 4, 4), "targets": Targets.of([0, 1]), **arguments}
    with pytest.raises(ValueError, match=reason):
        deletion(pooled_classifier(), random_pixels(2), seed=0, **given)
    if "steps" not in arguments and "baseline" not in arguments:
        with pytest.raises(ValueError, match=reason):
            road(pooled_classifier(), random_pixels(2), seed=0, **given)


def test_road_refuses_shares_that_do_not_rise_within_0_and_1():
    for shares in ((0.5,), (0.5, 0.2), (0.0, 0.5), (0.5, 1.0)):
        with pytest.raises(ValueError, match="rising shares"):
            road(pooled_classifier(), random_pixels(1), torch.rand(1, 4, 4), Targets.of([0]), shares=shares, seed=0)
