"""How strongly two named properties of the same images hang together: Cramer's V and its chi-square test."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats


@dataclass(frozen=True)
class Association:
    """Cramer's V of a table of counts.

    Attributes:
        v: Cramer's V, in [0, 1] (Cramer 1946); 0 where a property has one value alone.
        corrected: V with its bias for finite samples taken out, in [0, 1] (Bergsma 2013): about 0 for independence.
        p_value: of Pearson's chi-square test of independence, without continuity correction.
        images: how many were counted; rows, columns: how many values each property has.
        least_expected: the smallest expected count; below 5 the p-value is not to be relied on (Cochran 1954).
    """

    v: float
    corrected: float
    p_value: float
    images: int
    rows: int
    columns: int
    least_expected: float


def cross_table(first: Sequence[str], second: Sequence[str]) -> NDArray[np.int64]:
    """Return the counts of every pair of values that occur, rows and columns in sorted order.

    >>> cross_table(["a", "a", "b"], ["x", "y", "x"]).tolist()
    [[1, 1], [1, 0]]

    Raises:
        ValueError: vectors of different lengths.
    """
    if len(first) != len(second):
        raise ValueError(f"expected two properties of the same images, got {len(first)} and {len(second)} values")
    rows, columns = sorted(set(first)), sorted(set(second))
    table = np.zeros((len(rows), len(columns)), dtype=np.int64)
    for one, two in zip(first, second, strict=True):
        table[rows.index(one), columns.index(two)] += 1
    return table


def cramers_v(table: NDArray[np.int64]) -> Association:
    """Return the association of a table of counts `[R,C]`.

    V = sqrt((chi2/n) / min(R-1, C-1)). Corrected: phi2 = max(0, chi2/n - (R-1)(C-1)/(n-1)), R' = R - (R-1)^2/(n-1), C'
    likewise, V' = sqrt(phi2 / min(R'-1, C'-1)) (Bergsma 2013). Rows and columns of zeros are left out.

    >>> found = cramers_v(np.array([[10, 0], [0, 10]]))
    >>> found.v, found.corrected
    (1.0, 1.0)

    Raises:
        ValueError: a negative count, another number of dimensions, or fewer than 2 images.
    """
    if table.ndim != 2 or table.size == 0 or table.min() < 0 or table.sum() < 2:
        raise ValueError(f"expected a table of counts of at least 2 images, got shape {table.shape} and {table.sum()}")
    kept = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    images, (rows, columns) = int(kept.sum()), kept.shape
    expected = kept.sum(axis=1, keepdims=True) * kept.sum(axis=0, keepdims=True) / images
    if min(rows, columns) == 1:
        return Association(0.0, 0.0, 1.0, images, rows, columns, float(expected.min()))
    chi2 = float(((kept - expected) ** 2 / expected).sum())
    degrees = (rows - 1) * (columns - 1)
    phi2 = max(0.0, chi2 / images - degrees / (images - 1))
    smaller = min(side - (side - 1) ** 2 / (images - 1) for side in (rows, columns)) - 1
    return Association(
        v=min(1.0, (chi2 / images / min(rows - 1, columns - 1)) ** 0.5),
        # With as many values as images the correction leaves nothing to divide by: then nothing can be said.
        corrected=min(1.0, (phi2 / smaller) ** 0.5) if smaller > 1e-12 else 0.0,
        p_value=float(stats.chi2.sf(chi2, degrees)),
        images=images,
        rows=rows,
        columns=columns,
        least_expected=float(expected.min()),
    )
