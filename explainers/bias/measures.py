"""What else a background probe's ledger says: object swaps, the bare object and the bare background, noise, groups.

None of it decides the verdict. Columns: see `explainers.bias.probe`.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from wolfhound.statistics import Interval, Rate

PROBED = "probed images"
LEAST_GROUP = 10
"""A group of fewer images has no rate of its own: its interval would span most of [0, 1]."""


def object_swaps(ledger: pd.DataFrame) -> dict[str, Rate]:
    """Return how often the prediction is the class of the object put in, and how often it stays that of the image.

    do(object), background fixed: the placebo's plate with the partner's object in place of the image's own.
    """
    put_in = ledger["prediction_object"].to_numpy(np.int64)
    return {
        "follows_object": Rate(int((put_in == ledger["partner_label"]).sum()), len(ledger), PROBED),
        "stays_with_background": Rate(int((put_in == ledger["label"]).sum()), len(ledger), PROBED),
    }


@dataclass(frozen=True)
class BareAccuracies:
    """Accuracy of the object alone (on grey) and of the image without its object, the latter against chance.

    `chance` is the share of the commonest label: what always answering it would reach. `p_value` is one-sided (above
    chance) and exact; the smooth filling keeps the object's outline, so a small excess need not come from the scene.
    """

    object_alone: Rate
    without_object: Rate
    chance: float
    p_value: float


def bare_accuracies(ledger: pd.DataFrame) -> BareAccuracies:
    """Return what is left of the accuracy when the background or the object is gone."""
    labels = ledger["label"].to_numpy(np.int64)
    alone, removed = (
        Rate(int((ledger[f"prediction_{name}"].to_numpy(np.int64) == labels).sum()), len(labels), PROBED)
        for name in ("none", "removed")
    )
    chance = float(np.unique(labels, return_counts=True)[1].max() / len(labels))
    p_value = float(stats.binomtest(removed.successes, removed.total, chance, alternative="greater").pvalue)
    return BareAccuracies(alone, removed, chance, p_value)


def foreground_sensitivity(object_noise: float, background_noise: float) -> float | None:
    """Return the relative foreground sensitivity of two accuracies (Moayeri et al. 2022, section 4).

    (a_background - a_object) / (2 min(a, 1 - a)), a their mean, in [-1, 1]; above 0, noise on the object does more harm
    than noise around it. None where both accuracies are 0 or both are 1: there is nothing to compare.

    >>> foreground_sensitivity(0.25, 0.75), foreground_sensitivity(1.0, 1.0)
    (0.5, None)
    """
    mean = (object_noise + background_noise) / 2
    room = min(mean, 1 - mean)
    return None if room <= 0 else float(np.clip((background_noise - object_noise) / (2 * room), -1, 1))


@dataclass(frozen=True)
class Sensitivity:
    """Relative foreground sensitivity with the accuracies it is made of; None where it is not defined.

    Noise has the same L2 norm in both places (before clipping), so a small object is not favoured; the source uses the
    same deviation a pixel. The interval is a percentile bootstrap over images.
    """

    object_noise: Rate
    background_noise: Rate
    value: float | None
    interval: Interval | None


def measured_sensitivity(ledger: pd.DataFrame, *, seed: int, resamples: int = 2000) -> Sensitivity:
    """Return the relative foreground sensitivity of a probe's ledger."""
    labels = ledger["label"].to_numpy(np.int64)
    right = [ledger[f"prediction_noise_{where}"].to_numpy(np.int64) == labels for where in ("object", "background")]
    rates = [Rate(int(one.sum()), len(labels), PROBED) for one in right]
    return Sensitivity(
        rates[0],
        rates[1],
        value=foreground_sensitivity(rates[0].share, rates[1].share),
        interval=_sensitivity_interval(right, seed=seed, resamples=resamples),
    )


def _sensitivity_interval(right: list[NDArray[np.bool_]], *, seed: int, resamples: int) -> Interval | None:
    rng, count = np.random.default_rng([seed, 6]), len(right[0])
    drawn = rng.integers(0, count, (resamples, count))
    means = [one[drawn].mean(axis=1).tolist() for one in right]
    values = [foreground_sensitivity(a, b) for a, b in zip(*means, strict=True)]
    found = [value for value in values if value is not None]
    # A bootstrap that mostly cannot compare says that the images are too few or too easy; it bounds nothing.
    if len(found) < 0.95 * resamples:
        return None
    low, high = np.percentile(found, [2.5, 97.5])
    return Interval(float(low), float(high), 0.95, "bootstrap")
