"""Which pixels a place of a layer can depend on, along one axis and on the plane."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

_NONE_FIRST, _NONE_LAST = 2**31, -(2**31)


@dataclass(frozen=True, eq=False)
class Span:
    """The pixels along one axis that each of n places can depend on, ends included.

    Attributes:
        first, last: int64 `[n]`, as if the image went on beyond its edge: they may lie outside.
        seen_first, seen_last: int64 `[n]`, of what exists alone; first > last where a place sees nothing but padding.
        step: how many pixels apart neighbouring places lie; 0 where they share one span.
    """

    first: Indices
    last: Indices
    seen_first: Indices
    seen_last: Indices
    step: float

    def __len__(self) -> int:
        return len(self.first)

    @classmethod
    def of_pixels(cls, count: int) -> "Span":
        """The span of the image itself: each pixel depends on itself."""
        places = np.arange(count, dtype=np.int64)
        return cls(places, places, places, places, 1.0)

    @classmethod
    def of_nothing(cls) -> "Span":
        """The span of a constant."""
        first, last = np.array([_NONE_FIRST]), np.array([_NONE_LAST])
        return cls(first, last, first, last, 0.0)

    def windows(self, starts: Indices, stops: Indices, *, every: int = 1) -> "Span":
        """Return the spans of places that each read this axis's places from `starts[i]` to `stops[i]`, ends included.

        Windows may reach beyond the axis: there is padding, which shows nothing of the image; the nominal span goes on
        by the step. `every` is the distance between two places read (dilation).
        """
        first, last = np.full(len(starts), _NONE_FIRST), np.full(len(starts), _NONE_LAST)
        seen_first, seen_last = first.copy(), last.copy()
        for offset in range(0, int((stops - starts).max(initial=0)) + 1, every):
            read = np.minimum(starts + offset, stops)
            inside = np.clip(read, 0, len(self) - 1)
            beyond = (read - inside) * self.step
            first = np.minimum(first, np.floor(self.first[inside] + beyond).astype(np.int64))
            last = np.maximum(last, np.ceil(self.last[inside] + beyond).astype(np.int64))
            exists = read == inside
            seen_first = np.where(exists, np.minimum(seen_first, self.seen_first[inside]), seen_first)
            seen_last = np.where(exists, np.maximum(seen_last, self.seen_last[inside]), seen_last)
        apart = float(starts[-1] - starts[0]) / (len(starts) - 1) if len(starts) > 1 else 0.0
        return Span(first, last, seen_first, seen_last, self.step * abs(apart) if apart else self.step)

    def joined(self, other: "Span") -> "Span":
        """The smallest spans that hold both; a single span is shared by all places."""
        return Span(
            np.minimum(self.first, other.first),
            np.maximum(self.last, other.last),
            np.minimum(self.seen_first, other.seen_first),
            np.maximum(self.seen_last, other.seen_last),
            max(self.step, other.step),
        )

    def collapsed(self) -> "Span":
        """The one span that holds all places'."""
        return Span(
            self.first.min(keepdims=True),
            self.last.max(keepdims=True),
            self.seen_first.min(keepdims=True),
            self.seen_last.max(keepdims=True),
            0.0,
        )

    def spread(self, count: int) -> "Span":
        """The same with one entry for each of `count` places."""
        first, last, seen_first, seen_last = (
            np.broadcast_to(part, (count,)) for part in (self.first, self.last, self.seen_first, self.seen_last)
        )
        return Span(first, last, seen_first, seen_last, self.step)


@dataclass(frozen=True, eq=False)
class Field:
    """What every element of a tensor can depend on: the rectangle of a span of rows and a span of columns.

    Attributes:
        rows, columns: one entry for each place along `dims`, or a single one.
        dims: which dimensions (counted from the end, negative) hold the rows and the columns; None: all share one.
        through: the operations that made all places share one rectangle.
    """

    rows: Span
    columns: Span
    dims: tuple[int, int] | None
    through: tuple[str, ...] = ()

    def collapsed(self, operation: str) -> "Field":
        """The field of an operation of which nothing is known but its inputs: everything depends on everything."""
        if self.dims is None:
            return self
        several = len(self.rows) * len(self.columns) > 1
        through = self.through + ((operation,) if several and operation not in self.through else ())
        return Field(self.rows.collapsed(), self.columns.collapsed(), None, through)


def joined(fields: Sequence[Field], *, operation: str) -> Field:
    """Return the field of a result whose elements depend on the same places of every operand (after broadcasting)."""
    placed = {field.dims for field in fields if field.dims is not None}
    sizes = {(len(f.rows), len(f.columns)) for f in fields if f.dims is not None}
    mixed = len(placed) > 1 or any(len({size[axis] for size in sizes} - {1}) > 1 for axis in (0, 1))
    parts = [field.collapsed(operation) for field in fields] if mixed else list(fields)
    rows, columns, through = parts[0].rows, parts[0].columns, parts[0].through
    for part in parts[1:]:
        rows, columns = rows.joined(part.rows), columns.joined(part.columns)
        through += tuple(name for name in part.through if name not in through)
    return Field(rows, columns, None if mixed or not placed else placed.pop(), through)


def moved(field: Field, *, rows: Indices, columns: Indices, dims: tuple[int, int]) -> Field:
    """Return the field of a tensor whose places are those of `field` at the given indices, in that order."""
    return replace(
        field, rows=field.rows.windows(rows, rows), columns=field.columns.windows(columns, columns), dims=dims
    )
