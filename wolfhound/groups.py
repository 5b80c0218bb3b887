"""Rates by group of images: the worst group, the gap between groups, and what can be said of it.

Groups are chosen by looking at them (the worst, the best), so a plain interval of their difference would be too narrow.
Here the interval of the gap is simultaneous over every pair of groups and every outcome that is compared.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from wolfhound.differences import detectable_difference, newcombe_interval
from wolfhound.statistics import Interval, Rate, holm

Flags = NDArray[np.bool_]

LEAST_IMAGES = 20
"""Images below which a group's rate is suppressed unless the caller says otherwise: its interval spans 40 points."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What happened to each image: `success`, and whether it is `counted` at all; bool `[N]`, in the images' order."""

    success: Flags
    counted: Flags

    def __post_init__(self) -> None:
        if self.success.shape != self.counted.shape or self.success.ndim != 1:
            raise ValueError(f"expected flags of the same images, got {self.success.shape} and {self.counted.shape}")


@dataclass(frozen=True)
class Gap:
    """How far the groups lie apart: highest minus lowest rate, in [0, 1].

    Attributes:
        worst, best: the groups of the highest and of the lowest rate; the first by name among equals.
        difference: of their shares.
        interval: of the largest true difference between any two groups. It goes from the largest of the lower bounds of
            all ordered pairs (0 at least) to the largest of the upper bounds: Newcombe's intervals, their confidence
            raised by Bonferroni over all pairs of groups and all outcomes.
        p_value: chance of such a difference if the groups were dealt out at random (permutation test); `p_holm` over
            the outcomes.
        detectable: smallest difference between these two that would have been found with 80 % power after the same
            correction, from the best group's rate; None where none would.
    """

    worst: str
    best: str
    difference: float
    interval: Interval
    p_value: float
    p_holm: float
    detectable: float | None


@dataclass(frozen=True)
class GroupRates:
    """One outcome by group.

    Attributes:
        rates: of the groups that are large enough, sorted by name.
        suppressed: the others, with how many of their images count: no rate is given for them.
        overall: of all images, those of suppressed groups included.
        gap: None where fewer than two groups are large enough.
    """

    rates: Mapping[str, Rate]
    suppressed: Mapping[str, int]
    overall: Rate
    gap: Gap | None


def group_rates(
    outcomes: Mapping[str, Outcome],
    groups: Sequence[str],
    *,
    denominator: str,
    seed: int,
    least: int = LEAST_IMAGES,
    shuffles: int = 1999,
    confidence: float = 0.95,
) -> dict[str, GroupRates]:
    """Return the rates by group of each outcome, compared as one family.

    Args:
        outcomes: by name; of the same images.
        groups: the group of each image, in the same order.
        denominator: what is counted; the group's name is added to it.
        seed: of the permutation test.
        least: counted images below which a group is suppressed; at least 1.
        shuffles: of the permutation test; each shuffle deals the groups out anew among the images that count.

    Raises:
        ValueError: outcomes of another number of images than groups, or a `least` below 1.
    """
    if least < 1 or any(len(outcome.success) != len(groups) for outcome in outcomes.values()):
        sizes = sorted({len(outcome.success) for outcome in outcomes.values()})
        raise ValueError(f"expected outcomes of {len(groups)} images and at least 1 a group, got {sizes} and {least}")
    names = np.asarray(groups, dtype=np.str_)
    found = {name: _rates(outcome, names, denominator, least) for name, outcome in outcomes.items()}
    pairs = sum(len(rates) * (len(rates) - 1) // 2 for rates, _, _ in found.values())
    p_values = {
        name: _permutation_p(outcomes[name], names, list(rates), shuffles=shuffles, seed=seed)
        for name, (rates, _, _) in found.items()
        if len(rates) > 1
    }
    corrected = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return {
        name: GroupRates(
            rates,
            suppressed,
            overall,
            None
            if name not in p_values
            else _gap(rates, p_values[name], corrected[name], confidence=confidence, pairs=pairs),
        )
        for name, (rates, suppressed, overall) in found.items()
    }


def _rates(
    outcome: Outcome, names: NDArray[np.str_], denominator: str, least: int
) -> tuple[dict[str, Rate], dict[str, int], Rate]:
    sizes = Counter(names[outcome.counted].tolist())
    hits = Counter(names[outcome.counted & outcome.success].tolist())
    every = {str(name): sizes[str(name)] for name in np.unique(names)}
    rates = {g: Rate(hits[g], size, f"{denominator}, group {g}") for g, size in every.items() if size >= least}
    suppressed = {group: size for group, size in every.items() if size < least}
    return rates, suppressed, Rate(sum(hits.values()), sum(sizes.values()), denominator)


def _gap(rates: Mapping[str, Rate], p_value: float, p_holm: float, *, confidence: float, pairs: int) -> Gap:
    error = (1 - confidence) / pairs
    worst = max(rates, key=lambda name: rates[name].share)
    best = min(rates, key=lambda name: rates[name].share)
    intervals = [
        newcombe_interval(rates[one], rates[other], confidence=1 - error) for one, other in permutations(rates, 2)
    ]
    low, high = max(0.0, *(one.low for one in intervals)), max(one.high for one in intervals)
    first, second = rates[best], rates[worst]
    return Gap(
        worst=worst,
        best=best,
        difference=second.share - first.share,
        interval=Interval(low, high, confidence, "newcombe"),
        p_value=p_value,
        p_holm=p_holm,
        detectable=(
            None
            if first.share == 1
            else detectable_difference(first.total, second.total, baseline=first.share, significance=error)
        ),
    )


def _permutation_p(
    outcome: Outcome, names: NDArray[np.str_], kept: Sequence[str], *, shuffles: int, seed: int
) -> float:
    chosen = outcome.counted & np.isin(names, list(kept))
    success = outcome.success[chosen].astype(np.float64)
    member = np.searchsorted(np.array(kept), names[chosen])  # `kept` is sorted
    sizes = np.bincount(member, minlength=len(kept))

    def spread(values: NDArray[np.float64]) -> float:
        shares = np.bincount(member, weights=values, minlength=len(kept)) / sizes
        return float(shares.max() - shares.min())

    rng, observed = np.random.default_rng([seed, 5]), spread(success)
    reached = sum(spread(rng.permutation(success)) >= observed - 1e-12 for _ in range(shuffles))
    return (reached + 1) / (shuffles + 1)
