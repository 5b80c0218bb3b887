import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from wolfhound.differences import detectable_difference, newcombe_interval, paired_newcombe_interval
from wolfhound.statistics import Rate

# Newcombe 1998, Statistics in Medicine 17, table II, method 10: counts, and the published bounds.
PUBLISHED = [
    ((56, 70, 48, 80), (0.0524, 0.3339)),
    ((9, 10, 3, 10), (0.1705, 0.8090)),
    ((6, 7, 2, 7), (0.0582, 0.8062)),
    ((5, 56, 0, 29), (-0.0381, 0.1926)),
    ((0, 10, 0, 20), (-0.1611, 0.2775)),
    ((0, 10, 0, 10), (-0.2775, 0.2775)),
    ((10, 10, 0, 20), (0.6791, 1.0000)),
    ((10, 10, 0, 10), (0.6075, 1.0000)),
]


@pytest.mark.parametrize(("counts", "bounds"), PUBLISHED)
def test_the_interval_is_the_published_one(counts: tuple[int, int, int, int], bounds: tuple[float, float]) -> None:
    found = newcombe_interval(Rate(counts[0], counts[1], "one"), Rate(counts[2], counts[3], "two"))
    assert (found.low, found.high) == pytest.approx(bounds, abs=5e-5)
    assert found.method == "newcombe"


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_exchanging_the_groups_mirrors_the_interval(first: int, second: int, data: st.DataObject) -> None:
    one = Rate(data.draw(st.integers(0, first)), first, "one")
    two = Rate(data.draw(st.integers(0, second)), second, "two")
    there, back = newcombe_interval(one, two), newcombe_interval(two, one)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert -1 <= there.low <= one.share - two.share <= there.high <= 1


def test_a_rate_that_was_not_measured_has_no_difference() -> None:
    with pytest.raises(ValueError, match="was not measured"):
        newcombe_interval(Rate(0, 0, "one"), Rate(1, 2, "two"))


@pytest.mark.parametrize(
    ("shares", "count"), [((0.3, 0.1, 0.1), 20), ((0.05, 0.6, 0.02), 30), ((0.02, 0.02, 0.01), 60)]
)
def test_the_paired_interval_covers_the_true_difference(shares: tuple[float, float, float], count: int) -> None:
    both, only_first, only_second = shares
    rng, covered = np.random.default_rng(5), 0
    for _ in range(300):
        kind = rng.choice(4, size=count, p=[both, only_first, only_second, 1 - sum(shares)])
        found = paired_newcombe_interval((kind == 0) | (kind == 1), (kind == 0) | (kind == 2))
        covered += found.low <= only_first - only_second <= found.high
    assert covered >= 0.93 * 300


def test_uncorrelated_pairs_have_the_interval_of_independent_groups() -> None:
    first = np.array([True, True, False, False] * 10)
    second = np.array([True, False] * 20)
    one, two = Rate(20, 40, "one"), Rate(20, 40, "two")
    paired, independent = paired_newcombe_interval(first, second), newcombe_interval(one, two)
    assert (paired.low, paired.high) == pytest.approx((independent.low, independent.high))


def test_images_that_agree_narrow_the_interval() -> None:
    first = np.arange(40) < 20
    agreeing, apart = paired_newcombe_interval(first, first), paired_newcombe_interval(first, ~first)
    assert agreeing.high - agreeing.low < 0.15 < apart.high - apart.low
    with pytest.raises(ValueError, match="paired outcome vectors"):
        paired_newcombe_interval(first, first[1:])


def simulated_power(first: int, second: int, low: float, high: float) -> float:
    rng = np.random.default_rng(1)
    one, two = rng.binomial(first, low, 20000) / first, rng.binomial(second, high, 20000) / second
    pooled = (first * one + second * two) / (first + second)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / first + 1 / second))
    return float((np.abs(two - one) > stats.norm.isf(0.025) * spread).mean())


@pytest.mark.parametrize(("first", "second", "baseline"), [(200, 200, 0.3), (100, 300, 0.5), (400, 150, 0.2)])
def test_the_detectable_difference_is_found_four_times_in_five(first: int, second: int, baseline: float) -> None:
    rise = detectable_difference(first, second, baseline=baseline)
    assert rise is not None
    assert simulated_power(first, second, baseline, baseline + rise) == pytest.approx(0.8, abs=0.02)


def test_more_images_detect_less_and_a_stricter_test_needs_more() -> None:
    plain = detectable_difference(50, 50, baseline=0.2)
    assert plain is not None
    assert (detectable_difference(500, 500, baseline=0.2) or 1) < plain
    assert (detectable_difference(50, 50, baseline=0.2, significance=0.005) or 0) > plain


@pytest.mark.parametrize("wrong", [{"baseline": 1.0}, {"baseline": 0, "significance": 0}, {"baseline": 0, "power": 1}])
def test_values_outside_their_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected a baseline"):
        detectable_difference(10, 10, **wrong)
