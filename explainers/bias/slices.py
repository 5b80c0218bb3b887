"""Slices of the test images with a high error rate: by given attributes and by simple statistics of the images.

A slice is one condition ("brightness: high") or two together. Its error rate is compared with that of all other images
by Fisher's exact test, and the p-values are corrected over every slice that was looked at (Holm 1979). Related work:
Chung et al. 2019 (Slice Finder). Departure: conditions are few, named and fixed beforehand, so that all of them can be
counted and corrected for.

What it finds is a hypothesis, not a finding: a slice is an association. That dark images go wrong more often does not
say that darkness is why; darkening images does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor
from torch.nn import functional

from wolfhound.differences import newcombe_interval
from wolfhound.statistics import Interval, Rate, holm

Conditions = tuple[tuple[str, str], ...]
"""One or two of (attribute, value), which hold together."""

LEAST_IMAGES = 20
"""Images below which a slice is not looked at."""
LEVELS = ("low", "middle", "high")
_LUMA = (0.2126, 0.7152, 0.0722)
_RING = 0.1
"""Width of the border ring, as a share of the shorter side."""


def image_statistics(pixels: Tensor) -> pd.DataFrame:
    """Return simple statistics of images `[N,3,H,W]` in [0, 1], one row an image.

    Columns: red, green, blue (channel means less the brightness, in [-1, 1]); brightness (mean luma, ITU-R BT.709, in
    [0, 1]); contrast (standard deviation of the luma); detail (mean absolute step of the luma to its right and lower
    neighbour); border_brightness, border_red, border_green, border_blue: the same in a ring along the border.
    """
    luma = torch.einsum("c,nchw->nhw", pixels.new_tensor(_LUMA), pixels).double()
    ring = _ring(pixels.shape[-2], pixels.shape[-1]).to(pixels.device)
    steps = (luma[:, 1:, :] - luma[:, :-1, :]).abs().mean(dim=(1, 2))
    steps = (steps + (luma[:, :, 1:] - luma[:, :, :-1]).abs().mean(dim=(1, 2))) / 2
    columns = {**_colours(pixels.double().mean(dim=(2, 3)), luma.mean(dim=(1, 2)), "")}
    columns |= {"contrast": luma.flatten(1).std(dim=1, correction=0), "detail": steps}
    columns |= _colours(pixels.double()[:, :, ring].mean(dim=2), luma[:, ring].mean(dim=1), "border_")
    return pd.DataFrame({name: values.cpu().numpy() for name, values in columns.items()})


def _ring(height: int, width: int) -> Tensor:
    thick = max(1, round(_RING * min(height, width)))
    inside = torch.zeros(max(0, height - 2 * thick), max(0, width - 2 * thick), dtype=torch.bool)
    return functional.pad(inside, (thick,) * 4, value=True)[:height, :width]


def _colours(means: Tensor, brightness: Tensor, prefix: str) -> dict[str, Tensor]:
    names = ("red", "green", "blue")
    colours = {f"{prefix}{name}": means[:, i] - brightness for i, name in enumerate(names)}
    return {f"{prefix}brightness": brightness, **colours}


def in_thirds(values: NDArray[np.float64]) -> list[str]:
    """Return low, middle or high for each value: below the first, up to the second, above the second tercile.

    >>> in_thirds(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
    ['low', 'low', 'middle', 'middle', 'high', 'high']
    """
    low, high = np.quantile(values, [1 / 3, 2 / 3])
    return [LEVELS[int(value > low) + int(value > high)] for value in values]


@dataclass(frozen=True)
class Slice:
    """A slice with its error rate, beside that of all other images.

    Attributes:
        conditions: one or two (attribute, value).
        errors: in the slice; rest: in all other images.
        difference: errors minus rest, with Newcombe's interval, not corrected for having been chosen.
        p_value: Fisher's exact test, one-sided (more errors in the slice); `p_holm` corrected over all slices.
        rows: positions of the slice's images.
    """

    conditions: Conditions
    errors: Rate
    rest: Rate
    difference: float
    interval: Interval
    p_value: float
    p_holm: float
    rows: NDArray[np.int64]

    @property
    def name(self) -> str:
        """The conditions in words: "brightness: high and detail: low"."""
        return " and ".join(f"{attribute}: {value}" for attribute, value in self.conditions)


@dataclass(frozen=True, eq=False)
class SliceSearch:
    """Every slice that was looked at, the smallest p-value first, and how many were too small to be.

    `proposed` are those whose corrected p-value is below the level asked for.
    """

    slices: tuple[Slice, ...]
    significance: float
    least: int
    too_small: int

    @property
    def proposed(self) -> tuple[Slice, ...]:
        """The slices that the search proposes, as hypotheses."""
        return tuple(one for one in self.slices if one.p_holm < self.significance)


def find_slices(
    attributes: Mapping[str, Sequence[str]],
    wrong: NDArray[np.bool_],
    *,
    least: int = LEAST_IMAGES,
    significance: float = 0.05,
) -> SliceSearch:
    """Return the error rate of every slice of one and of two conditions.

    Two conditions are of different attributes. A slice, or its rest, of fewer than `least` images is not looked at.

    Args:
        attributes: name -> value of each image, in the images' order.
        wrong: whether each image's prediction is wrong, bool `[N]`.

    Raises:
        ValueError: attributes of another number of images, or a `least` below 1.
    """
    if least < 1 or any(len(values) != len(wrong) for values in attributes.values()):
        sizes = sorted({len(values) for values in attributes.values()})
        raise ValueError(
            f"expected attributes of {len(wrong)} images and a least size of 1 or more, got {sizes}, {least}"
        )
    single = [
        ((name, value), np.array([cell == value for cell in cells]))
        for name, cells in attributes.items()
        for value in sorted(set(cells))
    ]
    candidates: list[tuple[Conditions, NDArray[np.bool_]]] = [((condition,), flags) for condition, flags in single]
    candidates += [
        ((one, other), first & second)
        for (one, first), (other, second) in combinations(single, 2)
        if one[0] != other[0]
    ]
    large = [(conditions, flags) for conditions, flags in candidates if least <= flags.sum() <= len(wrong) - least]
    p_values = [_fisher(flags, wrong) for _, flags in large]
    found = [
        _slice(conditions, flags, wrong, p_value, p_holm)
        for (conditions, flags), p_value, p_holm in zip(large, p_values, holm(p_values), strict=True)
    ]
    ranked = sorted(found, key=lambda one: (one.p_value, len(one.conditions), -len(one.rows), one.name))
    return SliceSearch(tuple(ranked), significance, least, len(candidates) - len(large))


def _fisher(flags: NDArray[np.bool_], wrong: NDArray[np.bool_]) -> float:
    """Return P[at least so many errors in the slice], the errors dealt out at random (hypergeometric)."""
    hits = int((flags & wrong).sum())
    return min(1.0, float(stats.hypergeom.sf(hits - 1, len(wrong), int(wrong.sum()), int(flags.sum()))))


def _slice(
    conditions: Conditions,
    flags: NDArray[np.bool_],
    wrong: NDArray[np.bool_],
    p_value: float,
    p_holm: float,
) -> Slice:
    errors = Rate(int((flags & wrong).sum()), int(flags.sum()), "images of the slice")
    rest = Rate(int((~flags & wrong).sum()), int((~flags).sum()), "all other images")
    return Slice(
        conditions,
        errors,
        rest,
        errors.share - rest.share,
        newcombe_interval(errors, rest),
        p_value,
        p_holm,
        np.flatnonzero(flags),
    )


def show_slice(one: Slice, *, shown: int, seed: int) -> NDArray[np.int64]:
    """Return positions of `shown` images of the slice, drawn by `seed` whether they are wrong or not, sorted."""
    rng = np.random.default_rng([seed, 11, *(ord(sign) for sign in one.name[:64])])
    return np.sort(rng.permutation(one.rows)[:shown])
