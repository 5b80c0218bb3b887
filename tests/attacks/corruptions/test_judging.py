"""The ledger of corruptions holds what a plain loop finds, and its numbers follow from it alone."""

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attacks.corruptions.judging import (
    accuracy_table,
    always_right,
    column,
    corrupt,
    corruption_ledger,
    drawn_accuracy,
    image_seed,
    mean_accuracy,
    relative_corruption_error,
    relative_drop,
)
from attacks.corruptions.registry import chosen_corruptions
from wolfhound.classifier import Classifier
from wolfhound.errors import PlanError
from wolfhound.images import Splits


def test_the_ledger_is_that_of_a_loop_over_single_images(trained: Classifier, textures: Splits) -> None:
    images = textures.select.subset(range(6))
    corruptions = chosen_corruptions(("gaussian_noise", "fog", "jpeg_compression"))
    ledger = corruption_ledger(trained, images, corruptions, (1, 5), seed=3, batch_size=4)
    assert list(ledger.columns[3:]) == [column(c.name, severity) for c in corruptions for severity in (1, 5)]
    for i in range(6):
        levels = torch.from_numpy(images.pixels.read(images.rows[[i]]))
        for corruption in corruptions:
            for severity in (1, 5):
                seeds = [image_seed(3, corruption.name, images.hashes[i])]
                shown = corrupt(levels, corruption, severity, seeds=seeds).double() / 255
                with torch.no_grad():
                    predicted = int(trained.logits(shown).argmax())
                assert ledger[column(corruption.name, severity)].iloc[i] == predicted


def test_order_and_batch_size_change_nothing(trained: Classifier, textures: Splits) -> None:
    corruptions = chosen_corruptions("all")
    forward = corruption_ledger(trained, textures.select.subset(range(8)), corruptions, (3,), seed=3, batch_size=8)
    order = list(reversed(range(8)))
    backward = corruption_ledger(trained, textures.select.subset(order), corruptions, (3,), seed=3, batch_size=3)
    pd.testing.assert_frame_equal(forward, backward.iloc[::-1].reset_index(drop=True))


def table(*right: str) -> pd.DataFrame:
    """A ledger from one string of 0 and 1 an image (wrong, right): clean, fog/1, fog/5, snow/1, snow/5."""
    outcomes = np.array([[int(mark) for mark in marks] for marks in right])
    names = ["clean", "fog/1", "fog/5", "snow/1", "snow/5"]
    rows = pd.DataFrame(outcomes, columns=names)
    return pd.DataFrame({"image": [f"{i:064x}" for i in range(len(right))], "label": 1}).join(rows)


LEDGER = table("11111", "11010", "10000", "01100")


def test_accuracy_is_counted_by_condition() -> None:
    counts = {condition: (rate.successes, rate.total) for condition, rate in accuracy_table(LEDGER).items()}
    assert counts == {("fog", 1): (3, 4), ("fog", 5): (2, 4), ("snow", 1): (2, 4), ("snow", 5): (1, 4)}


def test_an_image_is_always_right_only_if_it_is_right_under_every_condition() -> None:
    assert (always_right(LEDGER).successes, always_right(LEDGER).total) == (1, 4)


def test_the_mean_and_the_drop_are_those_of_the_counts() -> None:
    mean, interval = mean_accuracy(LEDGER, seed=0)
    assert mean == 8 / 16
    assert interval.low < mean < interval.high
    drop = relative_drop(LEDGER, seed=0)
    assert drop is None, "a resample of these four may hold no image that is right when clean"
    many = pd.concat([LEDGER] * 50, ignore_index=True)
    drop = relative_drop(many, seed=0)
    assert drop is not None
    assert drop[0] == pytest.approx(1 - (8 / 16) / (3 / 4))
    assert drop[1].low < drop[0] < drop[1].high


def test_the_bootstrap_interval_is_about_the_normal_one() -> None:
    rng = np.random.default_rng(1)
    outcomes = ["1" + "".join(map(str, (rng.random(4) < 0.7).astype(int))) for _ in range(400)]
    ledger = table(*outcomes)
    mean, interval = mean_accuracy(ledger, seed=0)
    by_image = np.array([np.mean([int(mark) for mark in marks[1:]]) for marks in outcomes])
    half = 1.96 * by_image.std() / 20
    assert interval.low == pytest.approx(mean - half, abs=0.004)
    assert interval.high == pytest.approx(mean + half, abs=0.004)


def test_each_image_counts_once_in_the_drawn_accuracy_and_its_expectation_is_the_mean() -> None:
    many = pd.concat([LEDGER] * 500, ignore_index=True)
    many["image"] = [f"{i:064x}" for i in range(len(many))]
    rate = drawn_accuracy(many, seed=4)
    assert rate.total == len(many)
    assert rate.share == pytest.approx(0.5, abs=4 * (0.25 / len(many)) ** 0.5)
    assert drawn_accuracy(many.iloc[::-1], seed=4) == rate, "the draw goes by the image, not by its place"


@given(st.lists(st.text("01", min_size=5, max_size=5), min_size=1, max_size=20))
def test_the_drawn_accuracy_lies_between_always_right_and_ever_right(outcomes: list[str]) -> None:
    ledger = table(*outcomes)
    ever = sum("1" in marks[1:] for marks in outcomes)
    assert always_right(ledger).successes <= drawn_accuracy(ledger, seed=0).successes <= ever


def test_the_relative_corruption_error_is_one_against_itself_and_needs_every_reference() -> None:
    own = {"fog": 1 - 5 / 8, "snow": 1 - 3 / 8}
    assert relative_corruption_error(LEDGER, own) == pytest.approx(1)
    assert relative_corruption_error(LEDGER, {"fog": own["fog"], "snow": own["snow"] / 2}) == pytest.approx(1.5)
    with pytest.raises(PlanError, match="got none for snow"):
        relative_corruption_error(LEDGER, {"fog": 0.5})
