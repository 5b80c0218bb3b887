"""Every rate of the audit against a literal count, image by image."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wolfhound import metrics
from wolfhound.metrics import (
    accuracy,
    attack_success_rate,
    dominant_labels,
    error_rate,
    fooling_rate,
    targeted_change_rate,
    targeted_success_rate,
)
from wolfhound.statistics import Rate

CLASSES = 4
classes = st.integers(0, CLASSES - 1)
ledgers = st.lists(st.tuples(classes, classes, classes), max_size=40)  # (clean prediction, perturbed prediction, label)


def columns(ledger: list[tuple[int, int, int]]) -> tuple[metrics.Predictions, ...]:
    return tuple(np.array([row[i] for row in ledger], dtype=np.int64) for i in range(3))


def counts(rate: Rate) -> tuple[int, int]:
    return rate.successes, rate.total


@given(ledgers, classes)
def test_every_rate_is_the_literal_count_over_its_own_denominator(
    ledger: list[tuple[int, int, int]], target: int
) -> None:
    clean, perturbed, labels = columns(ledger)
    everyone = len(ledger)
    assert counts(accuracy(clean, labels)) == (sum(c == y for c, _, y in ledger), everyone)
    assert counts(error_rate(perturbed, labels)) == (sum(p != y for _, p, y in ledger), everyone)
    assert counts(fooling_rate(clean, perturbed)) == (sum(c != p for c, p, _ in ledger), everyone)
    right = [(p, y) for c, p, y in ledger if c == y]
    assert counts(attack_success_rate(clean, perturbed, labels)) == (sum(p != y for p, y in right), len(right))
    assert counts(targeted_success_rate(perturbed, target)) == (sum(p == target for _, p, _ in ledger), everyone)
    others = [p for c, p, _ in ledger if c != target]
    assert counts(targeted_change_rate(clean, perturbed, target)) == (sum(p == target for p in others), len(others))


@given(ledgers)
def test_the_fooling_rate_knows_no_label_and_lies_between_the_differences_of_errors(
    ledger: list[tuple[int, int, int]],
) -> None:
    """An image whose error appears or vanishes was fooled, so |errors after - errors before| bounds it from below."""
    clean, perturbed, labels = columns(ledger)
    before, after = error_rate(clean, labels).successes, error_rate(perturbed, labels).successes
    assert abs(after - before) <= fooling_rate(clean, perturbed).successes


@given(ledgers)
def test_a_clean_error_is_never_a_success_of_the_attack(ledger: list[tuple[int, int, int]]) -> None:
    clean, perturbed, labels = columns(ledger)
    always_wrong = (labels + 1) % CLASSES
    assert counts(attack_success_rate(always_wrong, perturbed, labels)) == (0, 0)
    assert attack_success_rate(clean, clean, labels).successes == 0


@given(ledgers, ledgers)
def test_rates_of_two_halves_add_to_the_rate_of_the_whole(
    first: list[tuple[int, int, int]], second: list[tuple[int, int, int]]
) -> None:
    def fooled(ledger: list[tuple[int, int, int]]) -> Rate:
        clean, perturbed, _ = columns(ledger)
        return fooling_rate(clean, perturbed)

    def succeeded(ledger: list[tuple[int, int, int]]) -> Rate:
        return attack_success_rate(*columns(ledger))

    for rate in (fooled, succeeded):
        assert rate(first) + rate(second) == rate(first + second)


@given(ledgers, st.randoms(use_true_random=False))
def test_rates_do_not_depend_on_the_order_of_the_images(ledger: list[tuple[int, int, int]], random: object) -> None:
    shuffled = list(ledger)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert attack_success_rate(*columns(shuffled)) == attack_success_rate(*columns(ledger))


def test_images_already_of_the_target_count_in_one_targeted_rate_and_not_in_the_other() -> None:
    clean, perturbed = np.array([2, 2, 0, 1]), np.array([2, 0, 2, 1])
    assert counts(targeted_success_rate(perturbed, 2)) == (2, 4)
    assert counts(targeted_change_rate(clean, perturbed, 2)) == (1, 2)


def test_where_every_image_was_the_target_already_the_change_is_not_measured() -> None:
    target = np.full(3, 1)
    assert not targeted_change_rate(target, target, 1).measured


def test_no_images_are_no_measurement() -> None:
    none = np.array([], dtype=np.int64)
    assert not fooling_rate(none, none).measured


def test_rates_with_different_denominators_cannot_be_added_by_mistake() -> None:
    clean, perturbed, labels = columns([(0, 1, 0), (1, 1, 0)])
    names = {
        fooling_rate(clean, perturbed).denominator,
        attack_success_rate(clean, perturbed, labels).denominator,
        targeted_change_rate(clean, perturbed, 1).denominator,
    }
    assert len(names) == 3


def test_the_callers_denominator_is_kept() -> None:
    ones = np.ones(2, dtype=np.int64)
    assert accuracy(ones, ones, denominator="crafting images").denominator == "crafting images"
    assert fooling_rate(ones, ones, denominator="crafting images").denominator == "crafting images"


@pytest.mark.parametrize(
    "rate",
    [
        accuracy,
        error_rate,
        fooling_rate,
        lambda a, b: attack_success_rate(a, a, b),
        lambda a, b: attack_success_rate(a, b, a),
        lambda a, b: targeted_change_rate(a, b, 0),
    ],
)
@pytest.mark.parametrize(
    ("first", "second"),
    [([0, 1, 2], [0, 1]), ([0, 1, 2], [0]), ([[0, 1]], [[0, 1]]), ([[0], [1]], [0, 1]), (0, 0)],
    ids=["shorter", "one that would broadcast", "matrices", "matrix and vector", "scalars"],
)
def test_vectors_that_do_not_pair_are_refused(rate: Callable[..., Rate], first: object, second: object) -> None:
    with pytest.raises(ValueError, match="one common length"):
        rate(np.array(first), np.array(second))


@given(st.lists(classes, max_size=40))
def test_the_histogram_counts_every_class_also_those_never_predicted(predicted: list[int]) -> None:
    histogram = dominant_labels(np.array(predicted, dtype=np.int64), classes=CLASSES)
    assert histogram.tolist() == [predicted.count(label) for label in range(CLASSES)]
    assert histogram.dtype == np.int64


@pytest.mark.parametrize("predicted", [[0, 4], [-1, 0]])
def test_a_prediction_outside_the_classes_is_refused(predicted: list[int]) -> None:
    with pytest.raises(ValueError, match=r"expected predictions in \[0, 4\)"):
        dominant_labels(np.array(predicted), classes=CLASSES)


def test_predictions_are_not_changed() -> None:
    clean, perturbed, labels = columns([(0, 1, 0), (1, 1, 0), (2, 0, 2)])
    kept = [vector.copy() for vector in (clean, perturbed, labels)]
    attack_success_rate(clean, perturbed, labels)
    targeted_change_rate(clean, perturbed, 1)
    for vector, before in zip((clean, perturbed, labels), kept, strict=True):
        assert (vector == before).all()
