"""Rates with their denominators, intervals and paired tests. Knows no torch, so a report can recompute every number."""

import math
import operator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

IntervalMethod = Literal["wilson", "clopper-pearson", "bootstrap", "newcombe"]


@dataclass(frozen=True)
class Interval:
    """A two-sided confidence interval on the scale of what it bounds (a share: [0, 1])."""

    low: float
    high: float
    confidence: float = 0.95
    method: IntervalMethod = "wilson"

    def __post_init__(self) -> None:
        if not -math.inf < self.low <= self.high < math.inf:
            raise ValueError(f"expected a finite interval with low <= high, got [{self.low}, {self.high}]")


@dataclass(frozen=True)
class Rate:
    """`successes` out of `total`, with the name of what was counted in the denominator.

    Only the counts are stored; share, percent and interval are derived. Rates over the same denominator add.
    0 out of 0 is "not measured", never 0.

    >>> rate = Rate(83, 100, "held-out images")
    >>> rate.text
    '83.0 % [74.5, 89.1], n = 100'
    >>> (rate + Rate(0, 100, "held-out images")).percent
    41.5
    >>> Rate(0, 0, "held-out images").text
    'not measured'
    """

    successes: int
    total: int
    denominator: str

    def __post_init__(self) -> None:
        if not self.denominator:
            raise ValueError("expected the name of the rate's denominator, got an empty string")
        # Counts are whole: numpy's integers become Python's (a manifest holds them), anything else is a TypeError.
        object.__setattr__(self, "successes", operator.index(self.successes))
        object.__setattr__(self, "total", operator.index(self.total))
        if not 0 <= self.successes <= self.total:
            raise ValueError(f"expected 0 <= successes <= total, got {self.successes} of {self.total}")

    def __add__(self, other: "Rate") -> "Rate":
        if self.denominator != other.denominator:
            raise ValueError(f"rates over {self.denominator!r} and {other.denominator!r} do not add")
        return Rate(self.successes + other.successes, self.total + other.total, self.denominator)

    @property
    def measured(self) -> bool:
        """Whether anything was counted at all."""
        return self.total > 0

    def _check_measured(self) -> None:
        if not self.measured:
            raise ValueError(f"the rate over {self.denominator!r} was not measured (0 of 0)")

    @property
    def share(self) -> float:
        """Successes over total, in [0, 1].

        Raises:
            ValueError: nothing was measured.
        """
        self._check_measured()
        return self.successes / self.total

    @property
    def percent(self) -> float:
        """The share in percent, in [0, 100].

        Raises:
            ValueError: nothing was measured.
        """
        # Divided last: 100 * (29 / 100) is a little below 29, which a criterion of at least 29 % would not forgive.
        self._check_measured()
        return 100 * self.successes / self.total

    def interval(
        self, *, confidence: float = 0.95, method: Literal["wilson", "clopper-pearson"] = "wilson"
    ) -> Interval:
        """Return the two-sided binomial interval of the share (Wilson 1927, or Clopper & Pearson 1934).

        Raises:
            ValueError: nothing was measured, an unknown method, or a confidence outside (0, 1).
        """
        self._check_measured()
        _check_confidence(confidence)
        if method not in ("wilson", "clopper-pearson"):
            raise ValueError(f"expected the method 'wilson' or 'clopper-pearson', got {method!r}")
        name: Literal["wilson", "exact"] = "wilson" if method == "wilson" else "exact"
        bounds = stats.binomtest(self.successes, self.total).proportion_ci(confidence, method=name)
        return Interval(float(bounds.low), float(bounds.high), confidence, method)

    @property
    def text(self) -> str:
        """The rate as it is printed: percent, Wilson 95 % interval and n; or "not measured"."""
        if not self.measured:
            return "not measured"
        bounds = self.interval()
        return f"{self.percent:.1f} % [{100 * bounds.low:.1f}, {100 * bounds.high:.1f}], n = {self.total}"


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Return the two-sided p-value of McNemar's exact test (McNemar 1947; binomial form).

    `only_first` and `only_second` count the discordant pairs: images on which only the one or only the other succeeded.
    No discordant pair is no evidence of a difference: p = 1.

    >>> mcnemar_exact(0, 10)
    0.001953125
    >>> mcnemar_exact(0, 0)
    1.0
    """
    if only_first < 0 or only_second < 0:
        raise ValueError(f"expected counts of at least 0, got {only_first} and {only_second}")
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second, 0.5).pvalue)


def paired_difference_interval(
    first: NDArray[np.bool_], second: NDArray[np.bool_], *, seed: int, resamples: int = 2000, confidence: float = 0.95
) -> Interval:
    """Return the percentile bootstrap interval of mean(first) - mean(second) over images (Efron 1979).

    `first` and `second` are paired outcomes, one an image; `seed` makes the resampling repeatable.

    Raises:
        ValueError: different lengths, no image, no resample, or a confidence outside (0, 1).
    """
    _check_confidence(confidence)
    if resamples < 1:
        raise ValueError(f"expected at least 1 resample, got {resamples}")
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        raise ValueError(f"expected two paired outcome vectors of one length, got {first.shape} and {second.shape}")
    difference = first.astype(np.float64) - second.astype(np.float64)
    rng = np.random.default_rng(seed)
    means = np.array([difference[rng.integers(0, difference.size, difference.size)].mean() for _ in range(resamples)])
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return Interval(float(low), float(high), confidence, "bootstrap")


def holm(p_values: list[float]) -> list[float]:
    """Return the p-values adjusted for multiple comparisons by Holm's step-down rule (Holm 1979), in the given order.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]

    Raises:
        ValueError: a p-value outside [0, 1], or one that is no number.
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"expected p-values in [0, 1], got {p_values}")
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [0.0] * len(p_values)
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"expected a confidence in (0, 1), got {confidence} (0.95 is 95 %)")
