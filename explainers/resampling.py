"""Intervals and tests for effects that share backgrounds: whole clusters are resampled, never single images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from wolfhound.statistics import Interval

Values = NDArray[np.float64]
Clusters = NDArray[np.int64]

POWER = 0.8
"""The chance of being found that the minimum detectable effects are stated for."""


@dataclass(frozen=True)
class Effect:
    """A mean over images with what can be said about it.

    Attributes:
        mean: the average, in the unit of the values.
        interval: cluster bootstrap interval of the mean.
        p_value: of the cluster sign-flip test against 0, two-sided.
        detectable: the smallest true mean that would be found with 80 % power at that confidence.
        images: how many values were averaged.
        clusters: how many groups they fall into.
    """

    mean: float
    interval: Interval
    p_value: float
    detectable: float
    images: int
    clusters: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of 0."""
        return self.interval.low > 0 or self.interval.high < 0


def mean_effect(
    values: Values, clusters: Clusters, *, seed: int, resamples: int = 2000, confidence: float = 0.95
) -> Effect:
    """Return the mean of `values` `[N]` with interval, p-value and minimum detectable effect.

    Values of one cluster may depend on each other; clusters are independent (Cameron, Gelbach & Miller 2008). The
    percentile interval is expanded for few clusters (Hesterberg 2015), the test is a sign-flip permutation of whole
    clusters, exact up to 12 of them.

    Raises:
        ValueError: different lengths, a value that is not finite, or fewer than 2 clusters.
    """
    sums, counts = _cluster_sums(values, clusters)
    rng = np.random.default_rng([seed, 0])
    means = _bootstrap_means(sums, counts, rng=rng, resamples=resamples)
    total = len(sums)
    quantile = float(stats.t.ppf(0.5 + confidence / 2, total - 1)) * np.sqrt(total / (total - 1))
    tail = 100 * float(stats.norm.sf(quantile))
    low, high = np.percentile(means, [tail, 100 - tail])
    deviation = float(means.std(ddof=1)) * np.sqrt(total / (total - 1))
    return Effect(
        mean=float(values.mean()),
        interval=Interval(float(low), float(high), confidence, "bootstrap"),
        p_value=sign_flip_p(sums, seed=seed),
        detectable=float((quantile + stats.norm.ppf(POWER)) * deviation),
        images=len(values),
        clusters=total,
    )


def _cluster_sums(values: Values, clusters: Clusters) -> tuple[Values, Values]:
    if values.shape != clusters.shape or values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(f"expected finite values and their clusters, got shapes {values.shape} and {clusters.shape}")
    names, member = np.unique(clusters, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"expected at least 2 clusters to estimate a spread from, got {len(names)}")
    return np.bincount(member, weights=values).astype(np.float64), np.bincount(member).astype(np.float64)


def _bootstrap_means(sums: Values, counts: Values, *, rng: np.random.Generator, resamples: int) -> Values:
    drawn = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=resamples)
    means: Values = (drawn @ sums) / (drawn @ counts)
    return means


def sign_flip_p(sums: Values, *, seed: int, permutations: int = 9999) -> float:
    """Return the two-sided p-value of "each cluster's sum is as likely positive as negative" (Fisher 1935).

    All sign patterns are tried for up to 12 clusters; beyond, `permutations` random ones and the observed one.

    >>> sign_flip_p(np.array([1.0, 1.0, 1.0]), seed=0)
    0.25
    """
    observed = abs(float(sums.sum()))
    if len(sums) <= 12:
        patterns = 1 - 2 * ((np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))) & 1)
        extra = 0
    else:
        patterns = np.random.default_rng([seed, 1]).choice([-1, 1], size=(permutations, len(sums)))
        extra = 1
    # Equal sums must count as equal, whatever the order of the additions.
    reached = int((np.abs(patterns @ sums) >= observed * (1 - 1e-9) - 1e-12).sum())
    return (reached + extra) / (len(patterns) + extra)


def detectable_excess(count: int, *, opposite: float, significance: float) -> float | None:
    """Return the smallest excess share that McNemar's exact test on `count` pairs finds with 80 % power.

    Args:
        count: number of pairs.
        opposite: share of pairs that are discordant the other way, in [0, 0.5).
        significance: level of the two-sided test, after any correction for several tests.

    Returns:
        The excess in [0, 1], to 0.001; None where no excess at all would be found (too few pairs).

    >>> detectable_excess(100, opposite=0.0, significance=0.025)
    0.09
    >>> detectable_excess(6, opposite=0.0, significance=0.025) is None
    True
    """
    largest = 1 - 2 * opposite
    if largest <= 0 or _mcnemar_power(count, largest, opposite, significance) < POWER:
        return None
    low, high = 0.0, largest
    while high - low > 5e-4:
        middle = (low + high) / 2
        if _mcnemar_power(count, middle, opposite, significance) < POWER:
            low = middle
        else:
            high = middle
    return round(high, 3)


def _mcnemar_power(count: int, excess: float, opposite: float, significance: float) -> float:
    discordant: NDArray[Any] = np.arange(1, count + 1)
    share = excess + 2 * opposite
    weights = stats.binom.pmf(discordant, count, min(share, 1.0))
    needed = stats.binom.isf(significance / 2, discordant, 0.5) + 1
    return float((weights * stats.binom.sf(needed - 1, discordant, (excess + opposite) / share)).sum())
