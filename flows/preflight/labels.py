"""Classes in another order than the network's: its scores are right, and counted under the wrong names."""

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from attacks.preprocessing_doubts import BETTER
from flows.preflight.notice import Notice
from flows.preflight.sample import Inspected, Sample
from wolfhound.statistics import mcnemar_exact

LEVEL = 0.001
"""Level of the exact McNemar test that another order is better, divided by the number of orders tried."""

_Vector = NDArray[np.int64]


def label_order(inspected: Inspected) -> Iterator[Notice]:
    """Yield an error for each network that is clearly more accurate when its scores are given to classes otherwise.

    Tried are the usual mistakes (classes sorted as text where the network counts them, or the other way round; moved by
    one; backwards) and the best permutation, which is found on one half of the images and tried on the other, so that
    it cannot be right by its freedom alone.
    """
    for sample in inspected.samples:
        predicted, wanted = sample.predicted.numpy(), sample.wanted.numpy()
        names = sample.classifier.class_names
        tried = [(words, order[predicted]) for words, order in usual_orders(sample.wider.class_names)]
        tried.append(("in the order that fits best", cross_fitted(predicted, wanted, len(names))))
        words, best = max(tried, key=lambda order: int((order[1] == wanted).sum()))
        if _better(best == wanted, predicted == wanted, tried=len(tried)):
            yield _notice(sample, words, best)


def usual_orders(names: Sequence[str]) -> list[tuple[str, _Vector]]:
    """Return usual other orders of `names`: words, and the label that each score of the network then stands for."""
    places = list(range(len(names)))
    lowered = [name.casefold() for name in names]
    orders = {
        "with the classes sorted as text": sorted(places, key=lambda i: names[i]),
        "with the classes sorted as text, whatever their case": sorted(places, key=lambda i: lowered[i]),
        "with the classes sorted by the numbers in their names": sorted(places, key=lambda i: _natural(names[i])),
        "with the classes backwards": places[::-1],
        "with every class moved up by one": [*places[1:], places[0]],
        "with every class moved down by one": [places[-1], *places[:-1]],
        "with the indices sorted as text (0, 1, 10, 11, 2 ...)": sorted(places, key=str),
        "with the indices sorted by number, not as text": np.argsort(sorted(places, key=str)).tolist(),
    }
    return [(words, np.asarray(order, np.int64)) for words, order in orders.items() if order != places]


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def cross_fitted(predicted: _Vector, wanted: _Vector, classes: int) -> _Vector:
    """Return the predictions under the permutation that is most accurate on the other half of the images, `[N]`.

    Halves alternate within each class. Scores that were never seen in the other half keep their own class.
    """
    halves = _halves(wanted)
    result = predicted.copy()
    for half in (0, 1):
        order = best_permutation(predicted[halves != half], wanted[halves != half], classes)
        result[halves == half] = order[predicted[halves == half]]
    return result


def _halves(wanted: _Vector) -> _Vector:
    halves = np.zeros_like(wanted)
    for label in np.unique(wanted):
        members = np.flatnonzero(wanted == label)
        halves[members[1::2]] = 1
    return halves


def best_permutation(predicted: _Vector, wanted: _Vector, classes: int) -> _Vector:
    """Return which label each score stands for in the most accurate one-to-one assignment, `[classes]`.

    Of equally accurate ones it is one that changes the fewest: the identity weighs less than one image.
    """
    counts = np.zeros((classes, classes))
    np.add.at(counts, (predicted, wanted), 1)
    counts += np.eye(classes) / (classes + 1)
    order: _Vector = linear_sum_assignment(counts, maximize=True)[1]
    return order


def _better(other: NDArray[np.bool_], own: NDArray[np.bool_], *, tried: int) -> bool:
    gained, lost = int((other & ~own).sum()), int((own & ~other).sum())
    return gained - lost >= BETTER * len(own) and mcnemar_exact(gained, lost) < LEVEL / tried


def _notice(sample: Sample, words: str, best: _Vector) -> Notice:
    predicted, wanted = sample.predicted.numpy(), sample.wanted.numpy()
    own, other, total = int((predicted == wanted).sum()), int((best == wanted).sum()), len(wanted)
    names = sample.wider.class_names
    moved = np.flatnonzero((best == wanted) & (predicted != wanted))
    example = f"what it calls {names[predicted[moved[0]]]!r} is {names[wanted[moved[0]]]!r}"
    return Notice(
        "label-order",
        "error",
        sample.name,
        f"{words} it is right on {other} of {total} images, as the plan has it on {own}; for example {example}",
        "give the classes in the order of the network's scores: images.labels and images.class_names",
    )
