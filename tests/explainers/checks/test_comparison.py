"""Scores beside baselines: the planted evidence is found, a map that knows nothing is not praised."""

import numpy as np
import pytest
import torch

from explainers.base import Targets
from explainers.checks.baselines import BASELINES
from explainers.checks.comparison import HIGH_IS_GOOD, compare
from explainers.registry import explainer
from tests.explainers import synthetic

TARGETS = Targets.of(0, count=24)


@pytest.fixture(scope="module")
def compared():
    classifier = synthetic.planted_classifier()
    pixels, masks = synthetic.red_squares(24)
    ignorant = torch.rand(24, 5, 5, generator=torch.Generator().manual_seed(9))
    maps = {"gradcam": explainer("gradcam").explain(classifier, pixels, TARGETS, layer="colour").raw, "dice": ignorant}
    # A blurred red square is still red, so insertion starts from the mean colour.
    return compare(classifier, pixels, maps, TARGETS, masks=masks, insertion_baseline="mean", seed=0)


@pytest.mark.parametrize("score", HIGH_IS_GOOD)
def test_a_faithful_method_beats_every_baseline_by_every_score(compared, score):
    assert compared.beats_all(score, "gradcam")


@pytest.mark.parametrize("score", HIGH_IS_GOOD)
def test_dice_do_not(compared, score):
    assert not compared.beats_all(score, "dice")


def test_means_and_differences_are_those_of_the_images(compared):
    scores = compared.scores["insertion"]
    assert compared.mean("insertion", "gradcam").mean == pytest.approx(scores["gradcam"].mean())
    for one in compared.against("insertion", "gradcam"):
        expected = scores["gradcam"] - scores[one.baseline]
        assert one.difference.mean == pytest.approx(expected.mean())
        assert one.difference.interval.low <= expected.mean() <= one.difference.interval.high
        assert one.better == (one.difference.interval.low > 0)


def test_low_is_good_for_deletion(compared):
    assert all(one.difference.interval.high < 0 for one in compared.against("deletion", "gradcam"))


def test_the_table_has_every_method_beside_every_baseline(compared):
    table = compared.table
    assert set(table["score"]) == set(HIGH_IS_GOOD)
    for _, rows in table.groupby("score"):
        assert rows["name"].tolist() == ["gradcam", "dice", *BASELINES]
        assert (rows["images"] == 24).all()
        assert (rows["low"] <= rows["mean"]).all()
        assert (rows["mean"] <= rows["high"]).all()


def test_settings_are_stated_and_flat_maps_counted():
    pixels, _ = synthetic.red_squares(3)
    maps = {"flat": torch.ones(3, 4, 4)}
    found = compare(
        synthetic.planted_classifier(), pixels, maps, Targets.of(0, count=3), with_road=False, steps=4, seed=0
    )
    assert found.constant == {"flat": 3}
    assert found.settings == {"deletion": "steps of 1/4 of the pixels, baseline mean",
                              "insertion": "steps of 1/4 of the pixels, baseline blurred"}  # fmt: skip
    assert set(found.scores) == {"deletion", "deletion, contrast", "insertion", "insertion, contrast"}
    assert np.isfinite(found.table["mean"]).all()


def test_a_method_called_like_a_baseline_or_a_single_image_is_refused():
    pixels, _ = synthetic.red_squares(2)
    with pytest.raises(ValueError, match="names of their own"):
        compare(synthetic.planted_classifier(), pixels, {"random": torch.rand(2, 2, 2)}, TARGETS.rows(slice(2)), seed=0)
    with pytest.raises(ValueError, match="at least 2 images"):
        compare(synthetic.planted_classifier(), pixels[:1], {"a": torch.rand(1, 2, 2)}, TARGETS.rows(slice(1)), seed=0)
