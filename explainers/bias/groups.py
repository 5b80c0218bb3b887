"""Does accuracy depend on an attribute that the user states of each image? A correlate, not an intervention.

Ledger, one row an image: image, label, prediction, and one column an attribute.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from explainers.bias.measures import LEAST_GROUP
from explainers.resampling import POWER
from wolfhound.statistics import Interval, Rate

Texts = NDArray[np.str_]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class EqualisedOdds:
    """How far the groups are apart for one class against the rest (Hardt, Price & Srebro 2016, definition 2.1).

    Equalised odds asks that both rates be equal in all groups. `true_positive_gap` is the largest difference of
    P[predicted c | labelled c] between groups, `false_positive_gap` that of P[predicted c | not labelled c]; None where
    fewer than two groups have enough images for it.
    """

    class_name: str
    true_positive_gap: float | None
    false_positive_gap: float | None


@dataclass(frozen=True)
class GroupReport:
    """Accuracy by the values of one attribute.

    Attributes:
        rates: value -> accuracy, of values with enough images, in the order of their names.
        suppressed: value -> number of images, of the others; they enter nothing below.
        worst, best, gap: the extreme groups and accuracy(best) - accuracy(worst); None below two groups.
        gap_interval: bootstrap within the two groups; it is not corrected for choosing the extremes, the p-value is.
        p_value: chance of such a gap if the attribute were dealt out at random among the images of each label.
        detectable: the smallest gap between two groups of these sizes that would be found with 80 % power.
        label_association: Cramer's V (Bergsma's correction) of attribute and label: how confounded the images are.
        error_association: the same of attribute and being right.
        odds: one a class that it can be said of.
    """

    column: str
    rates: Mapping[str, Rate]
    suppressed: Mapping[str, int]
    worst: str | None
    best: str | None
    gap: float | None
    gap_interval: Interval | None
    p_value: float | None
    detectable: float | None
    label_association: float | None
    error_association: float | None
    odds: tuple[EqualisedOdds, ...] = field(repr=False)


def group_report(
    ledger: pd.DataFrame,
    column: str,
    *,
    class_names: tuple[str, ...],
    seed: int,
    least: int = LEAST_GROUP,
    permutations: int = 1999,
) -> GroupReport:
    """Return the accuracy by the values of one column of the ledger.

    Args:
        least: a value of fewer images is suppressed.

    Raises:
        ValueError: `least` below 2.
    """
    if least < 2:
        raise ValueError(f"expected groups of at least 2 images, got least={least}")
    sizes = ledger[column].astype(str).value_counts().sort_index()
    kept = ledger[ledger[column].astype(str).isin(sizes[sizes >= least].index)]
    groups, right = kept[column].astype(str).to_numpy(str), _right(kept)
    rates = _rates(groups, right)
    extremes = _extremes(rates)
    return GroupReport(
        column=column,
        rates=rates,
        suppressed={str(value): int(count) for value, count in sizes[sizes < least].items()},
        worst=None if extremes is None else extremes[0],
        best=None if extremes is None else extremes[1],
        gap=None if extremes is None else _gap(rates),
        gap_interval=None if extremes is None else _gap_interval(groups, right, extremes, seed=seed),
        p_value=None if extremes is None else _gap_p(kept, groups, right, seed=seed, permutations=permutations),
        detectable=None if extremes is None else _detectable(rates, extremes),
        label_association=cramers_v(groups, kept["label"].to_numpy().astype(str)),
        error_association=cramers_v(groups, right.astype(str)),
        odds=tuple(_odds(kept, groups, class_names, least=least)),
    )


def _right(ledger: pd.DataFrame) -> Flags:
    found: Flags = ledger["prediction"].to_numpy(np.int64) == ledger["label"].to_numpy(np.int64)
    return found


def _rates(groups: Texts, right: Flags) -> dict[str, Rate]:
    return {
        str(value): Rate(int(right[groups == value].sum()), int((groups == value).sum()), f"images of group {value}")
        for value in np.unique(groups)
    }


def _extremes(rates: Mapping[str, Rate]) -> tuple[str, str] | None:
    if len(rates) < 2:
        return None
    ordered = sorted(rates, key=lambda value: rates[value].share)
    return ordered[0], ordered[-1]


def _gap(rates: Mapping[str, Rate]) -> float:
    shares = [rate.share for rate in rates.values()]
    return max(shares) - min(shares)


def _gap_interval(groups: Texts, right: Flags, extremes: tuple[str, str], *, seed: int) -> Interval:
    rng = np.random.default_rng([seed, 10])
    worst, best = (_resampled(right[groups == value], rng) for value in extremes)
    low, high = np.percentile(best - worst, [2.5, 97.5])
    return Interval(float(low), float(high), 0.95, "bootstrap")


def _resampled(outcomes: Flags, rng: np.random.Generator, resamples: int = 2000) -> NDArray[np.float64]:
    """Means of bootstrap samples: of a proportion they are binomial."""
    found: NDArray[np.float64] = rng.binomial(len(outcomes), outcomes.mean(), resamples) / len(outcomes)
    return found


def _gap_p(ledger: pd.DataFrame, groups: Texts, right: Flags, *, seed: int, permutations: int) -> float:
    """Deal the attribute out anew within each label, so that a hard class is not mistaken for a hard group."""
    rng, labels = np.random.default_rng([seed, 11]), ledger["label"].to_numpy(np.int64)
    values, member = np.unique(groups, return_inverse=True)
    sizes = np.bincount(member)
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]

    def gap(dealt: NDArray[np.int64]) -> float:
        shares = np.bincount(dealt, weights=right, minlength=len(values)) / sizes
        return float(shares.max() - shares.min())

    observed, reached = gap(member), 0
    for _ in range(permutations):
        dealt = member.copy()
        for rows in members:
            dealt[rows] = rng.permutation(member[rows])
        reached += gap(dealt) >= observed - 1e-12
    return (reached + 1) / (permutations + 1)


def _detectable(rates: Mapping[str, Rate], extremes: tuple[str, str]) -> float:
    """Normal approximation at the pooled accuracy (Fleiss 1981, section 3.2); a share of 1/(n+2) is kept."""
    first, second = (rates[value] for value in extremes)
    total = sum(rate.total for rate in rates.values())
    pooled = (sum(rate.successes for rate in rates.values()) + 1) / (total + 2)
    deviation = (pooled * (1 - pooled) * (1 / first.total + 1 / second.total)) ** 0.5
    return float(min(1.0, (stats.norm.ppf(0.975) + stats.norm.ppf(POWER)) * deviation))


def cramers_v(first: Texts, second: Texts) -> float | None:
    """Return Cramer's V of two named variables in [0, 1] with Bergsma's (2013) correction; None if one never varies.

    The correction takes off what chance alone gives, so 0 is expected of independent variables.
    """
    table = pd.crosstab(first, second).to_numpy()
    rows, columns = table.shape
    count = int(table.sum())
    if min(rows, columns) < 2 or count < 3:
        return None
    statistic = float(stats.chi2_contingency(table, correction=False).statistic)
    corrected = max(0.0, statistic / count - (rows - 1) * (columns - 1) / (count - 1))
    narrowed = min(rows - (rows - 1) ** 2 / (count - 1), columns - (columns - 1) ** 2 / (count - 1)) - 1
    return float(min(1.0, (corrected / narrowed) ** 0.5)) if narrowed > 0 else None


def _odds(ledger: pd.DataFrame, groups: Texts, class_names: tuple[str, ...], *, least: int) -> list[EqualisedOdds]:
    labels, predicted = ledger["label"].to_numpy(np.int64), ledger["prediction"].to_numpy(np.int64)
    found = []
    for label in np.unique(labels):
        of_class, says = labels == label, predicted == label
        gaps = [_rate_gap(says[where], groups[where], least) for where in (of_class, ~of_class)]
        if any(gap is not None for gap in gaps):
            found.append(EqualisedOdds(class_names[label], gaps[0], gaps[1]))
    return found


def _rate_gap(says: Flags, groups: Texts, least: int) -> float | None:
    shares = [says[groups == value].mean() for value in np.unique(groups) if (groups == value).sum() >= least]
    return float(max(shares) - min(shares)) if len(shares) > 1 else None
