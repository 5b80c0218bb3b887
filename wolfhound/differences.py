"""The difference of two shares, of different images or of the same ones: its interval, and what could be found."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from wolfhound.statistics import Interval, Rate

Flags = NDArray[np.bool_]

POWER = 0.8
"""The chance of being found that a minimum detectable difference is stated for."""


def newcombe_interval(first: Rate, second: Rate, *, confidence: float = 0.95) -> Interval:
    """Return the interval of `first.share - second.share` for independent images (Newcombe 1998, method 10).

    With the Wilson bounds l, u of each share p:
    low = d - sqrt((p1 - l1)^2 + (u2 - p2)^2), high = d + sqrt((u1 - p1)^2 + (p2 - l2)^2), d = p1 - p2; no continuity
    correction. The same images under two conditions are paired, and belong in `paired_difference_interval`.

    >>> found = newcombe_interval(Rate(56, 70, "treated"), Rate(48, 80, "others"))  # Newcombe 1998, table II (a)
    >>> round(found.low, 4), round(found.high, 4)
    (0.0524, 0.3339)

    Raises:
        ValueError: a rate that was not measured, or a confidence outside (0, 1).
    """
    one, two = (rate.interval(confidence=confidence) for rate in (first, second))
    difference = first.share - second.share
    down = math.hypot(first.share - one.low, two.high - second.share)
    up = math.hypot(one.high - first.share, second.share - two.low)
    # Wilson's bounds never leave [0, 1], but their root of squares can by a rounding.
    return Interval(max(-1.0, difference - down), min(1.0, difference + up), confidence, "newcombe")


def paired_newcombe_interval(first: Flags, second: Flags, *, confidence: float = 0.95) -> Interval:
    """Return the interval of mean(first) - mean(second) over the same images (Newcombe 1998b, method 10).

    The Wilson bounds of each share are joined as for independent ones, less what their correlation phi takes away; phi
    is moved towards 0 by the half-image correction of the paper. Unlike the percentile bootstrap it has a width where
    every image, or none, differs.

    Args:
        first, second: paired outcomes, bool `[N]`, one an image.

    >>> yes, no = np.ones(12, dtype=np.bool_), np.zeros(12, dtype=np.bool_)
    >>> found = paired_newcombe_interval(yes, no)
    >>> round(found.low, 3), found.high
    (0.657, 1.0)

    Raises:
        ValueError: different lengths, no image, or a confidence outside (0, 1).
    """
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise ValueError(f"expected two paired outcome vectors of one length, got {first.shape} and {second.shape}")
    count, difference = len(first), float(first.mean() - second.mean())
    one, two = (Rate(int(flags.sum()), count, "images").interval(confidence=confidence) for flags in (first, second))
    phi = _phi(first, second)
    share, other = float(first.mean()), float(second.mean())
    down = _joined(share - one.low, two.high - other, phi)
    up = _joined(one.high - share, other - two.low, phi)
    return Interval(max(-1.0, difference - down), min(1.0, difference + up), confidence, "newcombe")


def _joined(one: float, two: float, phi: float) -> float:
    return math.sqrt(max(0.0, one * one - 2 * phi * one * two + two * two))


def _phi(first: Flags, second: Flags) -> float:
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    if margins == 0:
        return 0.0
    excess = float(both * neither - only_first * only_second)
    return (max(0.0, excess - len(first) / 2) if excess > 0 else excess) / math.sqrt(margins)


def detectable_difference(
    first: int, second: int, *, baseline: float, significance: float = 0.05, power: float = POWER
) -> float | None:
    """Return the smallest rise above `baseline` that two groups of that many images find with the given power.

    The two-sided z-test of two shares with pooled variance (Fleiss, Levin & Paik 2003, section 4.2, with unequal
    groups): it finds p2 = baseline + d with power Phi((d - z_a sqrt(p q (1/n1 + 1/n2))) / sqrt(p1 q1/n1 + p2 q2/n2)).

    Args:
        first: images of the group at the baseline; second: of the other; each at least 1.
        baseline: share of the first group, in [0, 1).
        significance: of the two-sided test, after any correction for several tests.

    Returns:
        The rise in (0, 1 - baseline], to 0.001; None where no rise at all would be found with that power.

    >>> detectable_difference(100, 100, baseline=0.5)
    0.193
    >>> detectable_difference(2, 2, baseline=0.5) is None
    True

    Raises:
        ValueError: an empty group, or a baseline, significance or power outside its range.
    """
    if first < 1 or second < 1:
        raise ValueError(f"expected at least 1 image in each group, got {first} and {second}")
    if not (0 <= baseline < 1 and 0 < significance < 1 and significance < power < 1):
        raise ValueError(
            "expected a baseline in [0, 1), a significance in (0, 1) and a power above it, got "
            f"{baseline}, {significance} and {power}"
        )
    low, high = 0.0, 1 - baseline
    if _power(first, second, baseline, high, significance) < power:
        return None
    while high - low > 1e-6:
        middle = (low + high) / 2
        enough = _power(first, second, baseline, middle, significance) >= power
        low, high = (low, middle) if enough else (middle, high)
    return round(high, 3)


def _power(first: int, second: int, baseline: float, rise: float, significance: float) -> float:
    other = baseline + rise
    pooled = (first * baseline + second * other) / (first + second)
    under_null = math.sqrt(pooled * (1 - pooled) * (1 / first + 1 / second))
    spread = math.sqrt(baseline * (1 - baseline) / first + other * (1 - other) / second)
    beyond = rise - float(stats.norm.isf(significance / 2)) * under_null
    if spread == 0:  # one group never, the other always: found for sure, or not at all
        return float(beyond > 0)
    return float(stats.norm.cdf(beyond / spread))
