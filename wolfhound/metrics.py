"""What each rate of an audit means, as pure functions of predictions. They need no model: a ledger is enough.

Predictions and labels are integer vectors `[N]`, one entry an image, in the same order.
"""

import numpy as np
from numpy.typing import NDArray

from wolfhound.statistics import Rate

Predictions = NDArray[np.int64]

HELD_OUT = "held-out images"
RIGHT_WHEN_CLEAN = "held-out images classified correctly when clean"
NOT_ALREADY_TARGET = "held-out images not predicted as the target when clean"


def _paired(*vectors: Predictions) -> None:
    shapes = {vector.shape for vector in vectors}
    if len(shapes) != 1 or any(len(shape) != 1 for shape in shapes):
        raise ValueError(f"expected prediction vectors of one common length, got shapes {sorted(shapes)}")


def accuracy(predicted: Predictions, labels: Predictions, *, denominator: str = HELD_OUT) -> Rate:
    """Share of images predicted as their label."""
    _paired(predicted, labels)
    return Rate(int((predicted == labels).sum()), len(labels), denominator)


def fooling_rate(clean: Predictions, perturbed: Predictions, *, denominator: str = HELD_OUT) -> Rate:
    """Share of images whose prediction changed: argmax f(clip(x+v)) != argmax f(x) (Moosavi-Dezfooli et al. 2017).

    The label plays no part: an image that was wrong and stays equally wrong is not fooled.

    >>> fooling_rate(np.array([0, 1, 2]), np.array([0, 2, 2])).successes
    1
    """
    _paired(clean, perturbed)
    return Rate(int((clean != perturbed).sum()), len(clean), denominator)


def error_rate(perturbed: Predictions, labels: Predictions, *, denominator: str = HELD_OUT) -> Rate:
    """Share of images predicted as anything but their label."""
    _paired(perturbed, labels)
    return Rate(int((perturbed != labels).sum()), len(labels), denominator)


def attack_success_rate(clean: Predictions, perturbed: Predictions, labels: Predictions) -> Rate:
    """Share of the images that were right when clean and are wrong when perturbed."""
    _paired(clean, perturbed, labels)
    right = clean == labels
    return Rate(int((right & (perturbed != labels)).sum()), int(right.sum()), RIGHT_WHEN_CLEAN)


def targeted_success_rate(perturbed: Predictions, target: int, *, denominator: str = HELD_OUT) -> Rate:
    """Share of all images predicted as the target, whatever they were before."""
    _paired(perturbed)
    return Rate(int((perturbed == target).sum()), len(perturbed), denominator)


def targeted_change_rate(clean: Predictions, perturbed: Predictions, target: int) -> Rate:
    """Share of the images not already predicted as the target that are predicted as it when perturbed."""
    _paired(clean, perturbed)
    others = clean != target
    return Rate(int((others & (perturbed == target)).sum()), int(others.sum()), NOT_ALREADY_TARGET)


def dominant_labels(perturbed: Predictions, *, classes: int) -> NDArray[np.int64]:
    """Return how often each class is predicted, `[classes]`: universal perturbations push most images into a few.

    Raises:
        ValueError: a prediction outside the classes.
    """
    _paired(perturbed)
    if len(perturbed) and not (perturbed.min() >= 0 and perturbed.max() < classes):
        raise ValueError(f"expected predictions in [0, {classes}), got {perturbed.min()} to {perturbed.max()}")
    return np.bincount(perturbed, minlength=classes).astype(np.int64)
