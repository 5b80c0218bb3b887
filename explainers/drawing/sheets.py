"""What goes onto a sheet: photographs under maps, filters, patches, segments, on scales that are shared and stated."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from explainers.checks.ranking import grow
from explainers.drawing.figures import Heading, Remark, Scale, Sheet, Tile
from explainers.drawing.overlay import fade, picture, signed_picture

HEAT = "inferno"
SIGNED = "PuOr_r"
_WHITE = 255
PIXELS_SHOWN = 0.995
"""Share of the pixels of a pixel-level map that its scale covers; what exceeds it is drawn at full strength."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One map of the photograph: raw values `[h,w]` of one method and layer for one class (or contrast)."""

    row: Heading
    column: Heading
    raw: Tensor


def explanation_sheet(
    photograph: Tensor,
    panels: Sequence[Panel],
    *,
    title: str,
    subtitle: str = "",
    remarks: Sequence[Remark] = (),
    difference: tuple[str, str] | None = None,
) -> Sheet:
    """Return one photograph under every map: a row a class, a column a method and layer.

    Maps of one column share their scale, which runs from 0 to the column's largest value: a class for which there is
    little evidence looks pale beside one with much. Columns are of different units and share none. Of maps that have a
    value for each pixel a few outliers would leave the rest dark: their scale ends at the `PIXELS_SHOWN` quantile.

    Args:
        photograph: `[3,H,W]` in [0, 1].
        panels: raw maps; each (row, column) pair once.
        difference: names of two rows; a last row then shows the first one's maps minus the second's, signed.

    Raises:
        ValueError: no panels, a pair that is missing or there twice, or rows to subtract that are not there.
    """
    rows, columns = _unique(panel.row for panel in panels), _unique(panel.column for panel in panels)
    raws = {(panel.row, panel.column): panel.raw for panel in panels}
    if not panels or len(raws) != len(panels) or len(raws) != len(rows) * len(columns):
        raise ValueError(
            f"expected one panel for every row and column, got {len(panels)} for {len(rows)}x{len(columns)}"
        )
    size = (photograph.shape[-2], photograph.shape[-1])
    grown = {key: grow(raw[None], size=size)[0].float() for key, raw in raws.items()}
    tops = {column: max(_full_scale(raws[row, column], size) for row in rows) for column in columns}
    tiles = [
        [_heat_tile(photograph, grown[row, column], float(raws[row, column].max()), tops[column]) for column in columns]
        for row in rows
    ]
    headings = list(rows)
    if difference is not None:
        first, second = (_named(rows, name) for name in difference)
        minus = [tuple(maps[first, column] - maps[second, column] for maps in (grown, raws)) for column in columns]
        tiles.append([_signed_tile(photograph, *pair) for pair in minus])
        headings.append(Heading("difference", f"{first.name} minus {second.name}"))
    shown = [Tile(picture(photograph)), *[None] * (len(tiles) - 1)]
    return Sheet(
        title=title,
        subtitle=subtitle,
        tiles=tuple((start, *row) for start, row in zip(shown, tiles, strict=True)),
        columns=(Heading("photograph", f"{size[1]} x {size[0]} pixels"), *columns),
        rows=tuple(headings),
        scales=_scales(difference is not None),
        remarks=tuple(remarks),
        pinned=1,
    )


def _full_scale(raw: Tensor, size: tuple[int, int]) -> float:
    """What is drawn at full strength: the largest value of a coarse map, a high quantile of a map of pixels."""
    values = raw.detach().float().cpu().flatten()
    if tuple(raw.shape) != size:
        return float(values.max())
    rank = max(1, round(PIXELS_SHOWN * len(values)))
    quantile = float(values.kthvalue(rank).values)
    return quantile if quantile > 0 else float(values.max())


def _heat_tile(photograph: Tensor, grown: Tensor, own: float, top: float) -> Tile:
    """A map, whose largest value is `own`, on the scale of its column. One without positive values says so."""
    if own <= 0:
        return Tile(fade(photograph, torch.zeros_like(grown), colours=HEAT), "nothing speaks for it")
    shown = fade(photograph, (grown / top).clamp(0, 1), colours=HEAT)
    if own > top:
        return Tile(shown, f"max {own:.3g}, drawn to {top:.3g}")
    note = "" if own == top else f" ({100 * own / top:.0f}\N{NO-BREAK SPACE}%)"
    return Tile(shown, f"max {own:.3g}{note}")


def _signed_tile(photograph: Tensor, values: Tensor, raw: Tensor) -> Tile:
    """A difference of maps `[H,W]` on a scale of its own; `raw` is what it was before it was grown to that size."""
    largest = float(raw.abs().max())
    if largest == 0:
        return Tile(fade(photograph, torch.zeros_like(values)), "no difference")
    limit = _full_scale(raw.abs(), (values.shape[-2], values.shape[-1]))
    drawn = "" if limit == largest else f", drawn to {limit:.3g}"
    return Tile(_tinted(photograph, values, limit=limit), f"±{largest:.3g}{drawn}")


def _tinted(photograph: Tensor, values: Tensor, *, limit: float) -> NDArray[np.uint8]:
    """The photograph in grey under the colours of signed values `[H,W]`, the more opaque the larger they are."""
    tint = torch.from_numpy(signed_picture(values, limit=limit, colours=SIGNED)).permute(2, 0, 1).float() / 255
    grey = torch.from_numpy(fade(photograph, torch.zeros_like(values))).permute(2, 0, 1).float() / 255
    opacity = 0.85 * (values.abs() / limit).clamp(0, 1).sqrt()
    return picture((1 - opacity) * grey + opacity * tint)


def _scales(difference: bool) -> tuple[Scale, ...]:
    heat = Scale(HEAT, "0", "largest", "Evidence for the class, from 0 to the column's largest value (percent: share "
                 "of it). Each column has units of its own; values below 0 are not drawn.")  # fmt: skip
    signed = Scale(SIGNED, "minus", "plus", "Difference of the two rows, each picture on a scale of its own.")
    return (heat, signed) if difference else (heat,)


def _unique(headings: Iterable[Heading]) -> list[Heading]:
    return list(dict.fromkeys(headings))


def _named(rows: Sequence[Heading], name: str) -> Heading:
    for row in rows:
        if row.name == name:
            return row
    raise ValueError(f"expected a row out of {', '.join(row.name for row in rows)} to subtract, got {name!r}")


def contact_sheet(
    tiles: Tensor, *, columns: int | None = None, least_side: int = 24, gap: int = 2
) -> NDArray[np.uint8]:
    """Return tiles side by side on white, as one uint8 picture `[H,W,3]`; pixels are repeated, never invented.

    Args:
        tiles: `[N,C,h,w]` in [0, 1], C being 1 (grey) or 3 (RGB).
        columns: tiles in a row; by default about as many as there are rows.
        least_side: tiles are enlarged by a whole factor to at least this many pixels.
        gap: white pixels between tiles.

    Raises:
        ValueError: no tiles, another shape, or values outside [0, 1].
    """
    if tiles.ndim != 4 or tiles.shape[1] not in (1, 3) or not tiles.numel():
        raise ValueError(f"expected tiles [N, 1 or 3, h, w], got shape {list(tiles.shape)}")
    columns = columns or int(np.ceil(np.sqrt(len(tiles))))
    factor = max(1, -(-least_side // max(tiles.shape[-2:])))
    shown = [picture(one.expand(3, -1, -1)) for one in tiles]
    large = [np.repeat(np.repeat(one, factor, axis=0), factor, axis=1) for one in shown]
    tall, wide = large[0].shape[:2]
    lines = -(-len(large) // columns)
    height, width = lines * (tall + gap) - gap, min(columns, len(large)) * (wide + gap) - gap
    sheet = np.full((height, width, 3), _WHITE, dtype=np.uint8)
    for index, one in enumerate(large):
        top, left = (index // columns) * (tall + gap), (index % columns) * (wide + gap)
        sheet[top : top + tall, left : left + wide] = one
    return sheet


def attribution_picture(values: Tensor, *, limit: float) -> NDArray[np.uint8]:
    """Return signed attributions `[3,H,W]` around grey, as uint8 `[H,W,3]`: 0 is mid-grey, +-`limit` the ends.

    Raises:
        ValueError: another shape, values that are not finite, or a limit that is not above 0.
    """
    if values.ndim != 3 or values.shape[0] != 3 or not bool(torch.isfinite(values).all()) or not limit > 0:
        raise ValueError(f"expected finite values [3, H, W] and a limit above 0, got {list(values.shape)}, {limit:g}")
    return picture((0.5 + values.detach().float().cpu() / (2 * limit)).clamp(0, 1))


def segment_picture(photograph: Tensor, segments: Tensor, coefficients: Tensor, *, limit: float) -> NDArray[np.uint8]:
    """Return the photograph in grey, its segments tinted by signed coefficients and outlined, as uint8 `[H,W,3]`.

    Args:
        photograph: `[3,H,W]` in [0, 1].
        segments: int64 `[H,W]`, numbers of segments from 0.
        coefficients: one a segment, `[S]`; one hue speaks for the class, the other one against it.
        limit: magnitude that gets the full tint, above 0.

    Raises:
        ValueError: shapes or numbers that do not fit.
    """
    if segments.shape != photograph.shape[-2:] or int(segments.min()) < 0 or int(segments.max()) >= len(coefficients):
        raise ValueError(
            f"expected segments {list(photograph.shape[-2:])} numbered below {len(coefficients)}, got shape "
            f"{list(segments.shape)} with numbers up to {int(segments.max())}"
        )
    strength = coefficients.detach().float().cpu()[segments.cpu()]
    tinted = _tinted(photograph, strength, limit=limit)
    tinted[_outlines(segments).numpy()] = _WHITE
    return tinted


def _outlines(segments: Tensor) -> Tensor:
    """Where a pixel's right or lower neighbour is of another segment, bool `[H,W]`."""
    here = functional.pad(segments[None, None].cpu().float(), (0, 1, 0, 1), mode="replicate")[0, 0]
    return (here[:-1, :-1] != here[1:, :-1]) | (here[:-1, :-1] != here[:-1, 1:])


def picture_rows(
    pictures: Mapping[Heading, Sequence[Tile]],
    *,
    title: str,
    subtitle: str = "",
    columns: Sequence[Heading] = (),
    remarks: Sequence[Remark] = (),
) -> Sheet:
    """Return a sheet of rows of pictures (patches of a channel, an image's attributions); short rows are filled up."""
    if not pictures:
        raise ValueError("expected at least one row of pictures, got none")
    most = max(len(row) for row in pictures.values())
    tiles = tuple((*row, *[None] * (most - len(row))) for row in pictures.values())
    return Sheet(title, tiles, subtitle, tuple(columns), tuple(pictures), remarks=tuple(remarks))
