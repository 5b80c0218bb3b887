"""The statistics of the probe against brute force."""

from itertools import product
from math import comb

import numpy as np
import pytest
from scipy import stats

from explainers.resampling import POWER, detectable_excess, mean_effect, sign_flip_p
from wolfhound.statistics import mcnemar_exact


def test_the_sign_flip_test_tries_every_pattern():
    sums = np.array([1.5, -0.2, 0.9, 2.0, 0.4])
    totals = [abs(sum(s * v for s, v in zip(signs, sums, strict=True))) for signs in product([1, -1], repeat=5)]
    expected = sum(total >= abs(sums.sum()) - 1e-9 for total in totals) / len(totals)
    assert sign_flip_p(sums, seed=0) == expected


def test_many_clusters_agree_with_the_normal_approximation():
    sums = np.random.default_rng(0).normal(0.2, 1, size=60)
    expected = 2 * stats.norm.sf(abs(sums.sum()) / np.sqrt((sums**2).sum()))
    assert sign_flip_p(sums, seed=0) == pytest.approx(expected, abs=0.02)


def brute_power(count, excess, opposite):
    """P[McNemar rejects at 0.025 in favour of the excess], by summing over every pair of discordant counts."""
    power = 0.0
    up, down = excess + opposite, opposite
    for more in range(count + 1):
        for less in range(count + 1 - more):
            if more > less and mcnemar_exact(more, less) <= 0.025:
                ways = comb(count, more) * comb(count - more, less)
                power += ways * up**more * down**less * (1 - up - down) ** (count - more - less)
    return power


@pytest.mark.parametrize(("count", "opposite"), [(12, 0.0), (20, 0.05), (40, 0.1)])
def test_the_detectable_excess_is_where_the_power_reaches_80_percent(count, opposite):
    found = detectable_excess(count, opposite=opposite, significance=0.025)
    assert found is not None
    assert brute_power(count, found + 0.001, opposite) >= POWER
    assert brute_power(count, found - 0.002, opposite) < POWER


def test_more_pairs_detect_less():
    found = [detectable_excess(count, opposite=0.02, significance=0.05) for count in (20, 50, 200, 1000)]
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.04


def test_few_clusters_still_cover_the_truth_about_as_often_as_they_say():
    """200 draws of 8 clusters of 5 images each that share a cluster effect; 95 % intervals of the true mean 1."""
    rng = np.random.default_rng(4)
    clusters = np.repeat(np.arange(8), 5)
    covered = 0
    for draw in range(200):
        values = 1 + rng.normal(0, 1, 8)[clusters] + rng.normal(0, 0.5, 40)
        interval = mean_effect(values, clusters, seed=draw, resamples=500).interval
        covered += interval.low <= 1 <= interval.high
    assert covered >= 180


def test_ignoring_the_clusters_would_be_too_sure():
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(10), 20)
    values = rng.normal(0, 1, 10)[clusters] + rng.normal(0, 0.1, 200)
    shared = mean_effect(values, clusters, seed=0)
    alone = mean_effect(values, np.arange(200), seed=0)
    assert shared.interval.high - shared.interval.low > 3 * (alone.interval.high - alone.interval.low)
    assert shared.detectable > 3 * alone.detectable


def test_no_effect_at_all_is_zero_with_p_one():
    effect = mean_effect(np.zeros(20), np.arange(20) % 10, seed=0)
    assert (effect.mean, effect.p_value, effect.excludes_zero) == (0, 1, False)


def test_a_single_cluster_has_no_spread_to_estimate():
    with pytest.raises(ValueError, match="at least 2 clusters"):
        mean_effect(np.ones(5), np.zeros(5, dtype=np.int64), seed=0)


@pytest.mark.parametrize(("count", "opposite"), [(6, 0.0), (25, 0.2), (50, 0.5)])
def test_where_even_the_largest_excess_would_be_missed_nothing_is_detectable(count, opposite):
    assert detectable_excess(count, opposite=opposite, significance=0.025) is None
    assert brute_power(count, 1 - 2 * opposite, opposite) < POWER
