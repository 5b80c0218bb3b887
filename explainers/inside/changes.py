"""What changed between two versions of a network, tensor by tensor of their state dicts."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd
import torch
from torch import Tensor

from explainers.inside.tiles import Tiles, around_grey


@dataclass(frozen=True, eq=False)
class NetworkChange:
    """The difference of two state dicts. Names are matched exactly; what has no partner is listed, never guessed.

    Attributes:
        layers: one row a floating tensor of equal name and shape, in the first's order: name, shape, numbers (their
            count), relative (L2 norm of the change over the L2 norm before; NaN where that is 0 and something changed),
            cosine (between before and after; NaN where one is 0), largest (magnitude of the largest single change),
            filters (numbers of the filters that changed most) and filter_changes (their relative changes).
        only_before, only_after: names that the other lacks.
        reshaped: names of equal name and different shape, as (name, shape before, shape after).
        recast: names of different dtype, as (name, before, after); their values are compared as float64.
        counters: names of tensors that hold integers or booleans and differ (numbers of batches seen, for example).
    """

    layers: pd.DataFrame = field(repr=False)
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    reshaped: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    recast: tuple[tuple[str, str, str], ...]
    counters: tuple[str, ...]

    @property
    def comparable(self) -> bool:
        """Whether both hold the same names and shapes."""
        return not (self.only_before or self.only_after or self.reshaped)

    @property
    def identical(self) -> bool:
        """Whether nothing differs, not even a counter or a dtype."""
        return self.comparable and not self.recast and not self.counters and not (self.layers["largest"] > 0).any()


def network_change(before: Mapping[str, Tensor], after: Mapping[str, Tensor], *, most: int = 5) -> NetworkChange:
    """Return what changed from one state dict to another.

    A filter is an entry along a tensor's first dimension; tensors of one dimension have none. Filters are ordered by
    their relative L2 change, those that were 0 before and changed first; ties go to the lower number.

    Args:
        most: how many filters of each tensor are named.

    Raises:
        ValueError: a value that is not finite.
    """
    common = [name for name in before if name in after]
    reshaped = [name for name in common if before[name].shape != after[name].shape]
    paired = [name for name in common if name not in reshaped]
    floating = [name for name in paired if before[name].is_floating_point() and after[name].is_floating_point()]
    rows = [_row(name, before[name], after[name], most=most) for name in floating]
    columns = ["name", "shape", "numbers", "relative", "cosine", "largest", "filters", "filter_changes"]
    return NetworkChange(
        layers=pd.DataFrame(rows, columns=columns),
        only_before=tuple(name for name in before if name not in after),
        only_after=tuple(name for name in after if name not in before),
        reshaped=tuple((name, tuple(before[name].shape), tuple(after[name].shape)) for name in reshaped),
        recast=tuple(
            (name, str(before[name].dtype), str(after[name].dtype))
            for name in paired
            if before[name].dtype != after[name].dtype
        ),
        counters=tuple(n for n in paired if n not in floating and not _equal(before[n], after[n])),
    )


def _equal(first: Tensor, second: Tensor) -> bool:
    return bool((first.cpu() == second.cpu()).all())


def _row(name: str, before: Tensor, after: Tensor, *, most: int) -> dict[str, object]:
    old, new = _finite(name, before, "before"), _finite(name, after, "after")
    norms = float(old.norm()), float(new.norm())
    change = new - old
    filters, changes = _filters(old, change, most=most) if old.ndim > 1 else ((), ())
    return {
        "name": name,
        "shape": tuple(before.shape),
        "numbers": before.numel(),
        "relative": _ratio(float(change.norm()), norms[0]),
        "cosine": float((old * new).sum()) / (norms[0] * norms[1]) if norms[0] and norms[1] else math.nan,
        "largest": float(change.abs().max()) if change.numel() else 0.0,
        "filters": filters,
        "filter_changes": changes,
    }


def _finite(name: str, values: Tensor, side: str) -> Tensor:
    found = values.detach().cpu().double()
    if not bool(torch.isfinite(found).all()):
        raise ValueError(f"expected finite weights, got NaN or infinity in {name!r} {side}")
    return found


def _ratio(change: float, norm: float) -> float:
    """Change over norm: 0 where nothing changed, NaN (not measured) where something came from nothing."""
    return change / norm if norm else (math.nan if change else 0.0)


def _filters(old: Tensor, change: Tensor, *, most: int) -> tuple[tuple[int, ...], tuple[float, ...]]:
    changes, norms = change.flatten(1).norm(dim=1), old.flatten(1).norm(dim=1)
    ratios = [_ratio(float(c), float(n)) for c, n in zip(changes, norms, strict=True)]
    order = sorted(range(len(ratios)), key=lambda i: (-math.inf if math.isnan(ratios[i]) else -ratios[i], i))
    chosen = [i for i in order if ratios[i] != 0][:most]
    return tuple(chosen), tuple(ratios[i] for i in chosen)


def changed_filter_tiles(before: Tensor, after: Tensor, *, filters: tuple[int, ...]) -> Tiles:
    """Return before, after and difference of chosen filters, three tiles a row, `[3n,C,h,w]`.

    Before and after share one scale, the differences another; zero is middle grey. Weights of more than three input
    channels are shown by the slice in which they changed most, as the labels say.

    Args:
        before, after: weights `[N,C,h,w]` of a convolution.

    Raises:
        ValueError: weights of other or different shapes, or a filter that there is not.
    """
    if before.shape != after.shape or before.ndim != 4:
        raise ValueError(f"expected weights [N, C, h, w] of one shape, got {list(before.shape)}, {list(after.shape)}")
    if not filters or not all(0 <= index < len(before) for index in filters):
        raise ValueError(f"expected filters in [0, {len(before)}), got {list(filters)}")
    old, new = (values.detach().float().cpu()[list(filters)] for values in (before, after))
    names = [f"filter {index}" for index in filters]
    if old.shape[1] not in (1, 3):
        slices = (new - old).square().sum(dim=(2, 3)).argmax(dim=1)
        rows = torch.arange(len(old))
        old, new = old[rows, slices][:, None], new[rows, slices][:, None]
        names = [f"{name} over channel {int(channel)}" for name, channel in zip(names, slices, strict=True)]
    weights, differences = max(float(old.abs().max()), float(new.abs().max())), float((new - old).abs().max())
    parts = [
        around_grey(old, largest=weights),
        around_grey(new, largest=weights),
        around_grey(new - old, largest=differences),
    ]
    labels = tuple(f"{name}, {kind}" for name in names for kind in ("before", "after", "difference"))
    scale = f"grey 0; weights -/+ {weights:.3g}, differences -/+ {differences:.3g}"
    return Tiles(torch.stack(parts, dim=1).flatten(0, 1), labels, scale, columns=3)
