"""Another order of the classes is found by what it does to accuracy, and never where there is none."""

from itertools import permutations

import numpy as np
import pytest

from flows.preflight.labels import best_permutation, cross_fitted, usual_orders


def test_the_best_permutation_is_the_best_of_all_by_trial() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        predicted, wanted = generator.integers(0, 4, 30), generator.integers(0, 4, 30)
        most = max(int((np.array(order)[predicted] == wanted).sum()) for order in permutations(range(4)))
        assert int((best_permutation(predicted, wanted, 4)[predicted] == wanted).sum()) == most


def test_without_evidence_the_best_permutation_changes_nothing() -> None:
    assert best_permutation(np.array([1, 2]), np.array([1, 2]), 5).tolist() == [0, 1, 2, 3, 4]


def test_a_permutation_is_judged_on_images_that_it_was_not_found_on() -> None:
    """Fitted to all images, a permutation of random answers is right far more often than one in ten."""
    generator = np.random.default_rng(1)
    predicted, wanted = generator.integers(0, 10, 400), generator.integers(0, 10, 400)
    fitted = (best_permutation(predicted, wanted, 10)[predicted] == wanted).mean()
    judged = (cross_fitted(predicted, wanted, 10) == wanted).mean()
    assert fitted > 0.15
    assert judged < 0.14


def test_a_consistent_exchange_is_undone_in_full() -> None:
    wanted = np.tile(np.arange(5), 6)
    exchanged = np.array([3, 0, 4, 1, 2])[wanted]
    assert (cross_fitted(exchanged, wanted, 5) == wanted).all()


@pytest.mark.parametrize(
    ("names", "order", "words"),
    [
        (("b", "a", "c"), [1, 0, 2], "with the classes sorted as text"),
        (("1_a", "10_b", "2_c"), [0, 2, 1], "with the classes sorted by the numbers in their names"),
        (("a", "b", "c"), [1, 2, 0], "with every class moved up by one"),
        (("a", "b", "c"), [2, 0, 1], "with every class moved down by one"),
    ],
)
def test_usual_orders_say_which_label_a_score_stands_for(names: tuple[str, ...], order: list[int], words: str) -> None:
    assert {said: tuple(found) for said, found in usual_orders(names)}[words] == tuple(order)


def test_indices_sorted_as_text_are_undone_by_sorting_them_by_number() -> None:
    orders = dict(usual_orders([f"class {chr(97 + i)}" for i in range(12)]))
    as_text = orders["with the indices sorted as text (0, 1, 10, 11, 2 ...)"]
    by_number = orders["with the indices sorted by number, not as text"]
    assert as_text[by_number].tolist() == list(range(12))
