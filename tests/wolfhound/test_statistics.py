"""Rates, intervals and tests against closed forms and literal enumeration."""

import json
import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wolfhound.statistics import Interval, Rate, holm, mcnemar_exact, paired_difference_interval

Z95 = 1.959963984540054  # the 97.5 % quantile of the normal distribution
counts = st.integers(0, 300).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))
measured_counts = st.integers(1, 300).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total)))


def rate(successes: int, total: int) -> Rate:
    return Rate(successes, total, "images")


def binomial_tail(successes: int, total: int, share: float) -> float:
    """P(X >= successes) for X ~ Binomial(total, share), term by term."""
    terms = (math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in range(successes, total + 1))
    return math.fsum(terms)


def wilson(successes: int, total: int) -> tuple[float, float]:
    """The two roots p of (k/n - p)^2 = z^2 p (1 - p) / n, the definition of Wilson (1927)."""
    a = 1 + Z95**2 / total
    b = -(2 * successes / total + Z95**2 / total)
    c = (successes / total) ** 2
    root = math.sqrt(max(b * b - 4 * a * c, 0))
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


@given(measured_counts)
def test_wilson_bounds_are_the_roots_of_the_score_equation(pair: tuple[int, int]) -> None:
    bounds = rate(*pair).interval()
    assert (bounds.low, bounds.high) == pytest.approx(wilson(*pair), abs=1e-9)
    assert (bounds.confidence, bounds.method) == (0.95, "wilson")


@given(measured_counts)
def test_every_interval_lies_in_0_1_and_holds_the_share(pair: tuple[int, int]) -> None:
    for method in ("wilson", "clopper-pearson"):
        bounds = rate(*pair).interval(method=method)
        assert 0 <= bounds.low <= rate(*pair).share <= bounds.high <= 1
        assert bounds.method == method


@pytest.mark.parametrize(("successes", "total"), [(1, 10), (5, 10), (9, 10), (3, 47)])
def test_clopper_pearson_leaves_exactly_the_tails_outside(successes: int, total: int) -> None:
    bounds = rate(successes, total).interval(method="clopper-pearson", confidence=0.9)
    assert binomial_tail(successes, total, bounds.low) == pytest.approx(0.05, abs=1e-7)
    assert 1 - binomial_tail(successes + 1, total, bounds.high) == pytest.approx(0.05, abs=1e-7)


@pytest.mark.parametrize("method", ["wilson", "clopper-pearson"])
def test_no_success_and_only_successes_reach_the_ends_and_no_sign_is_printed(method: str) -> None:
    assert rate(0, 20).interval(method=method).low == 0.0  # type: ignore[arg-type]
    assert rate(20, 20).interval(method=method).high == 1.0  # type: ignore[arg-type]
    assert "-" not in rate(0, 20).text
    assert rate(20, 20).text.startswith("100.0 % [")
    assert ", 100.0], n = 20" in rate(20, 20).text


@given(measured_counts)
def test_more_confidence_never_narrows_the_interval(pair: tuple[int, int]) -> None:
    narrow, wide = rate(*pair).interval(confidence=0.9), rate(*pair).interval(confidence=0.99)
    assert wide.low <= narrow.low + 1e-12
    assert wide.high >= narrow.high - 1e-12


@given(counts, counts)
def test_rates_over_one_denominator_add_count_by_count(first: tuple[int, int], second: tuple[int, int]) -> None:
    both = rate(*first) + rate(*second)
    assert (both.successes, both.total) == (first[0] + second[0], first[1] + second[1])
    assert both == rate(*second) + rate(*first)


def test_the_sum_is_not_the_mean_of_percentages() -> None:
    assert (rate(1, 1) + rate(0, 99)).percent == 1.0


def test_rates_over_different_denominators_do_not_add() -> None:
    with pytest.raises(ValueError, match="do not add"):
        Rate(1, 2, "held-out images") + Rate(1, 2, "crafting images")


@given(measured_counts)
def test_percent_is_a_hundred_shares_and_the_text_says_n(pair: tuple[int, int]) -> None:
    assert rate(*pair).percent == 100 * pair[0] / pair[1]
    assert rate(*pair).text.endswith(f", n = {pair[1]}")


@pytest.mark.parametrize("percent", range(101))
def test_a_whole_percentage_is_exactly_that_number(percent: int) -> None:
    assert rate(percent, 100).percent == percent


def test_nothing_of_nothing_is_not_measured_and_has_no_number() -> None:
    nothing = rate(0, 0)
    assert not nothing.measured
    assert nothing.text == "not measured"
    for ask in (lambda: nothing.share, lambda: nothing.percent, lambda: nothing.interval()):
        with pytest.raises(ValueError, match="not measured"):
            ask()


def test_nothing_added_changes_nothing() -> None:
    assert rate(3, 4) + rate(0, 0) == rate(3, 4)


@pytest.mark.parametrize(("successes", "total"), [(-1, 5), (6, 5), (1, 0), (0, -1)])
def test_impossible_counts_are_refused(successes: int, total: int) -> None:
    with pytest.raises(ValueError, match="0 <= successes <= total"):
        rate(successes, total)


@pytest.mark.parametrize("successes", [0.5, 1.0, float("nan"), "1", None, np.float64(1)])
def test_counts_that_are_not_whole_are_refused(successes: object) -> None:
    with pytest.raises(TypeError):
        Rate(successes, 2, "images")  # type: ignore[arg-type]


def test_counts_of_numpy_become_plain_ones_that_json_can_hold() -> None:
    counted = Rate(np.int64(1), np.int32(2), "images")  # type: ignore[arg-type]
    assert json.dumps([counted.successes, counted.total]) == "[1, 2]"
    assert counted == rate(1, 2)


def test_a_rate_names_its_denominator() -> None:
    with pytest.raises(ValueError, match="denominator"):
        Rate(1, 2, "")


@pytest.mark.parametrize("method", ["Wilson", "exact", "bootstrap", ""])
def test_an_unknown_interval_method_is_refused_instead_of_computed_as_another(method: str) -> None:
    with pytest.raises(ValueError, match="expected the method"):
        rate(1, 2).interval(method=method)  # type: ignore[arg-type]


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, -0.1, float("nan")])
def test_a_confidence_outside_0_1_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        rate(1, 2).interval(confidence=confidence)
    with pytest.raises(ValueError, match="confidence"):
        paired_difference_interval(np.array([True]), np.array([True]), seed=0, confidence=confidence)


@pytest.mark.parametrize(("low", "high"), [(0.6, 0.5), (float("nan"), 1.0), (0.0, float("inf"))])
def test_an_interval_that_is_none_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match="interval"):
        Interval(low, high)


@given(st.integers(0, 12), st.integers(0, 12))
def test_mcnemar_counts_all_ways_to_split_the_discordant_pairs_at_least_as_unevenly(first: int, second: int) -> None:
    pairs = first + second
    as_uneven = [k for k in range(pairs + 1) if abs(2 * k - pairs) >= abs(first - second)]
    literal = sum(math.comb(pairs, k) for k in as_uneven) / 2**pairs
    assert mcnemar_exact(first, second) == pytest.approx(literal, abs=1e-12)
    assert mcnemar_exact(first, second) == mcnemar_exact(second, first)


def test_mcnemar_refuses_negative_counts() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        mcnemar_exact(-1, 3)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7))
def test_holm_agrees_with_the_closed_testing_of_all_bonferroni_subsets(p_values: list[float]) -> None:
    """Holm's adjusted p of i is the largest Bonferroni p-value of any set of hypotheses that holds i."""
    count = len(p_values)
    sets = [subset for size in range(1, count + 1) for subset in combinations(range(count), size)]
    adjusted = holm(p_values)
    for i in range(count):
        literal = max(min(1.0, len(s) * min(p_values[j] for j in s)) for s in sets if i in s)
        assert adjusted[i] == pytest.approx(literal)


@pytest.mark.parametrize("bad", [-0.01, 1.5, float("nan")])
def test_holm_refuses_what_is_no_p_value(bad: float) -> None:
    with pytest.raises(ValueError, match="p-values"):
        holm([0.01, bad])


def test_holm_of_nothing_is_nothing() -> None:
    assert holm([]) == []


@pytest.mark.parametrize("confidence", [0.95, 0.8, 0.5])
def test_the_paired_bootstrap_agrees_with_all_resamples_enumerated(confidence: float) -> None:
    first = np.array([True, True, False, True, False])
    second = np.array([False, True, False, False, True])
    difference = first.astype(float) - second.astype(float)
    every = [np.mean([difference[i] for i in chosen]) for chosen in product(range(5), repeat=5)]
    bounds = paired_difference_interval(first, second, seed=1, resamples=20_000, confidence=confidence)
    tail = 50 * (1 - confidence)
    assert (bounds.low, bounds.high) == pytest.approx(tuple(np.percentile(every, [tail, 100 - tail])), abs=0.01)
    assert bounds.confidence == confidence
    assert bounds.method == "bootstrap"


def test_the_paired_bootstrap_resamples_pairs_not_the_two_sides_on_their_own() -> None:
    outcomes = np.array([True, False] * 20)
    bounds = paired_difference_interval(outcomes, outcomes, seed=0)
    assert (bounds.low, bounds.high) == (0.0, 0.0)


def test_the_paired_bootstrap_changes_sign_with_the_order_and_repeats_with_the_seed() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.random(50) < 0.7, rng.random(50) < 0.4
    one = paired_difference_interval(first, second, seed=5)
    other = paired_difference_interval(second, first, seed=5)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert one == paired_difference_interval(first, second, seed=5)
    assert one.low > 0


def test_the_paired_bootstrap_neither_reads_nor_moves_the_global_generator() -> None:
    outcomes = np.array([True, False, True])
    np.random.seed(0)
    first = paired_difference_interval(outcomes, ~outcomes, seed=2)
    after = np.random.random()
    np.random.seed(0)
    assert after == np.random.random()
    np.random.seed(1)
    assert first == paired_difference_interval(outcomes, ~outcomes, seed=2)


@pytest.mark.parametrize(
    ("first", "second", "resamples"),
    [([True], [True, False], 10), ([], [], 10), ([[True]], [[True]], 10), ([True], [True], 0)],
)
def test_the_paired_bootstrap_refuses_what_is_not_paired(first: list[bool], second: list[bool], resamples: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        paired_difference_interval(np.array(first, bool), np.array(second, bool), seed=0, resamples=resamples)
