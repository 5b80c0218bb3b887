import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from wolfhound.differences import newcombe_interval
from wolfhound.groups import Outcome, group_rates

SNOW, GRASS, SAND = ["snow"] * 60, ["grass"] * 40, ["sand"] * 5


def outcome(*hits: tuple[int, int]) -> Outcome:
    """Successes of the first images of each group of that size."""
    flags = np.concatenate([np.arange(size) < count for count, size in hits])
    return Outcome(flags, np.ones(len(flags), dtype=np.bool_))


def test_rates_gap_and_worst_group_are_those_of_the_counts() -> None:
    found = group_rates({"a": outcome((45, 60), (10, 40))}, SNOW + GRASS, denominator="images", seed=0)["a"]
    assert {name: (r.successes, r.total) for name, r in found.rates.items()} == {"grass": (10, 40), "snow": (45, 60)}
    assert found.gap is not None
    assert (found.gap.worst, found.gap.best, found.gap.difference) == ("snow", "grass", 0.5)
    plain = newcombe_interval(found.rates["snow"], found.rates["grass"])
    assert (found.gap.interval.low, found.gap.interval.high) == (plain.low, plain.high)
    assert found.gap.p_value == 1 / 2000


def test_a_small_group_is_suppressed_and_named_but_counts_overall() -> None:
    found = group_rates({"a": outcome((9, 60), (3, 40), (5, 5))}, SNOW + GRASS + SAND, denominator="images", seed=0)
    assert found["a"].suppressed == {"sand": 5}
    assert "sand" not in found["a"].rates
    assert (found["a"].overall.successes, found["a"].overall.total) == (17, 105)
    assert found["a"].gap is not None
    assert found["a"].gap.worst == "snow"


def test_one_large_group_has_no_gap() -> None:
    found = group_rates({"a": outcome((9, 60), (5, 5))}, SNOW + SAND, denominator="images", seed=0)
    assert found["a"].gap is None


def test_images_that_do_not_count_are_in_no_denominator() -> None:
    one = outcome((30, 60), (10, 40))
    counted = one.counted.copy()
    counted[:10] = False
    found = group_rates({"a": Outcome(one.success, counted)}, SNOW + GRASS, denominator="images", seed=0)["a"]
    assert (found.rates["snow"].successes, found.rates["snow"].total) == (20, 50)


def test_more_comparisons_widen_the_interval_and_raise_the_p_value() -> None:
    alone = group_rates({"a": outcome((42, 60), (15, 40))}, SNOW + GRASS, denominator="images", seed=0)["a"].gap
    family = {name: outcome((42, 60), (15, 40)) for name in "abcd"}
    among = group_rates(family, SNOW + GRASS, denominator="images", seed=0)["a"].gap
    assert alone is not None
    assert among is not None
    assert among.interval.low < alone.interval.low
    assert among.interval.high > alone.interval.high
    assert among.p_value == alone.p_value == alone.p_holm
    assert among.p_holm == pytest.approx(4 * among.p_value)


def test_the_permutation_p_of_two_groups_is_near_fishers_exact_one() -> None:
    found = group_rates({"a": outcome((33, 60), (15, 40))}, SNOW + GRASS, denominator="images", seed=0)["a"].gap
    exact = stats.fisher_exact([[33, 27], [15, 25]]).pvalue
    assert found is not None
    assert found.p_value == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize("shares", [(0.3, 0.3, 0.3), (0.2, 0.4, 0.4), (0.05, 0.5, 0.9)])
def test_the_interval_covers_the_largest_true_difference(shares: tuple[float, float, float]) -> None:
    rng, sizes = np.random.default_rng(3), (30, 80, 200)
    groups = ["a"] * 30 + ["b"] * 80 + ["c"] * 200
    truth, covered = max(shares) - min(shares), 0
    for _ in range(60):
        drawn = outcome(*((int(rng.binomial(size, share)), size) for size, share in zip(sizes, shares, strict=True)))
        gap = group_rates({"a": drawn}, groups, denominator="images", seed=0, shuffles=1)["a"].gap
        assert gap is not None
        covered += gap.interval.low <= truth <= gap.interval.high
    assert covered >= 0.95 * 60


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.booleans()), min_size=1, max_size=60))
@settings(max_examples=50)
def test_rates_of_all_groups_add_up_to_the_overall_rate(rows: list[tuple[str, bool, bool]]) -> None:
    groups, success, counted = zip(*rows, strict=True)
    one = Outcome(np.array(success), np.array(counted))
    found = group_rates({"a": one}, groups, denominator="images", seed=0, least=1, shuffles=1)["a"]
    assert sum(rate.total for rate in found.rates.values()) == found.overall.total == sum(counted)
    assert sum(rate.successes for rate in found.rates.values()) == found.overall.successes
    if found.gap is not None:
        assert found.gap.interval.low <= found.gap.difference <= found.gap.interval.high


def test_outcomes_of_other_images_are_refused() -> None:
    with pytest.raises(ValueError, match="expected outcomes of 3 images"):
        group_rates({"a": outcome((1, 2))}, ["x", "y", "z"], denominator="images", seed=0)
