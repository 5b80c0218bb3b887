"""One sheet of labelled pictures, drawn as PNG or SVG for print: the same sheet gives the same bytes.

A sheet is plain values; what goes into one (photographs under heat maps, filters, patches, segments) is in `sheets`.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from explainers.drawing.overlay import colour_table
from explainers.drawing.typesetting import wrap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INK, _MUTED, _RULE = "#16202a", "#53606b", "#c6ced5"
_GOOD, _BAD, _UNSURE = "#0a6149", "#a62d12", "#7d5200"
_FORMAT = Literal["png", "svg"]

# Inches and points.
_MARGIN, _GAP, _LABEL, _MOST_TILE, _LEAST_WIDTH = 0.16, 0.07, 0.92, 1.75, 4.6
_SEEN = 1.08  # below that, a photograph under a map is too small to be read
_TITLE, _SUB, _HEAD, _CAPTION, _NOTE = 11.0, 7.5, 7.8, 6.6, 7.0
_LEADING = 1.32 / 72


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture, uint8 RGB `[H,W,3]`, and what stands below it."""

    picture: NDArray[np.uint8] = field(repr=False)
    caption: str = ""


@dataclass(frozen=True)
class Heading:
    """The label of a row or column: its name, and in smaller letters what else must be known ("layer4")."""

    name: str
    detail: str = ""


@dataclass(frozen=True)
class Remark:
    """A line below the pictures. `holds` is True or False for a verdict, None for a note; a word and a shape say it."""

    text: str
    holds: bool | None = None


@dataclass(frozen=True)
class Scale:
    """The colour bar: the name of a map of colours, what its ends stand for, and what is drawn in it."""

    colours: str
    low: str
    high: str
    label: str


@dataclass(frozen=True, eq=False)
class Sheet:
    """A gallery: rows of tiles (None leaves a place empty) under column headings and beside row headings.

    `pinned` columns from the left (a photograph) stand before all others, so a sheet with too many columns for its page
    is broken into bands below each other, each of which begins with them. Without any the pictures shrink.
    """

    title: str
    tiles: tuple[tuple[Tile | None, ...], ...]
    subtitle: str = ""
    columns: tuple[Heading, ...] = ()
    rows: tuple[Heading, ...] = ()
    scales: tuple[Scale, ...] = ()
    remarks: tuple[Remark, ...] = ()
    pinned: int = 0

    def __post_init__(self) -> None:
        widths = {len(row) for row in self.tiles}
        if len(widths) != 1 or not self.tiles[0]:
            raise ValueError(f"expected rows of one common length, at least 1, got lengths {sorted(widths)}")
        if (self.columns and len(self.columns) not in widths) or (self.rows and len(self.rows) != len(self.tiles)):
            raise ValueError(
                f"expected a heading for each of {len(self.tiles)} rows and {max(widths)} columns, got "
                f"{len(self.rows)} and {len(self.columns)}"
            )


def draw(sheet: Sheet, *, format: _FORMAT = "png", width: float = 7.1, dpi: int = 300) -> bytes:  # noqa: A002
    """Return the sheet as a file.

    Args:
        format: "png" at `dpi`, or "svg" with its text kept as text.
        width: of the page in inches; pictures shrink to fit, and do not grow beyond 1.75 inches each.
        dpi: resolution of the PNG; 300 is what print needs.

    Raises:
        ValueError: another format, or a page too narrow for its columns.
    """
    if format not in ("png", "svg"):
        raise ValueError(f"expected the format png or svg, got {format!r}")
    from matplotlib import rc_context

    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "wolfhound", "font.family": "DejaVu Sans"}):
        figure = _Page(sheet, width).drawn()
        stream = io.BytesIO()
        metadata = {"Software": None} if format == "png" else {"Date": None, "Creator": None}
        figure.savefig(stream, format=format, dpi=dpi, metadata=metadata, facecolor="white")
    return stream.getvalue()


class _Page:
    """Lays a sheet out from the top down, in inches."""

    def __init__(self, sheet: Sheet, width: float) -> None:
        self.sheet = sheet
        self.label = _LABEL if sheet.rows else 0.0
        room = width - 2 * _MARGIN - self.label + _GAP
        self.bands = _bands(len(sheet.tiles[0]), pinned=sheet.pinned, fitting=int(room / (_SEEN + _GAP)))
        columns = len(self.bands[0])
        self.tile = min(_MOST_TILE, room / columns - _GAP)
        if self.tile < 0.15:
            raise ValueError(f"expected a page wide enough for {columns} columns, got {width:g} inches")
        used = 2 * _MARGIN + self.label + columns * self.tile + (columns - 1) * _GAP
        self.width = min(width, max(used, _LEAST_WIDTH))
        self.inner = self.width - 2 * _MARGIN

    def drawn(self) -> "Figure":
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        height = self._compose(None, 0.0)
        figure = Figure(figsize=(self.width, height))
        FigureCanvasAgg(figure)
        self._compose(figure, height)
        return figure

    def _compose(self, figure: "Figure | None", height: float) -> float:
        """Draw everything, or only measure where there is no figure yet; return the height that is needed."""
        self.figure, self.height, self.down = figure, height, _MARGIN
        sheet = self.sheet
        self._paragraph(sheet.title, _TITLE, bold=True)
        self._paragraph(sheet.subtitle, _SUB, colour=_MUTED)
        self.down += 0.09
        for band in self.bands:
            self._column_headings([sheet.columns[column] for column in band] if sheet.columns else [])
            for index, row in enumerate(sheet.tiles):
                self._row([row[column] for column in band], sheet.rows[index] if sheet.rows else None)
        for scale in sheet.scales:
            self._scale(scale)
        if sheet.remarks:
            self.down += 0.04
        for remark in sheet.remarks:
            self._remark(remark)
        return self.down + _MARGIN - 0.04

    def _paragraph(self, text: str, points: float, *, bold: bool = False, colour: str = _INK) -> None:
        if text:
            self._lines(wrap(text, self.inner, points=points, bold=bold), _MARGIN, points, bold=bold, colour=colour)

    def _lines(
        self,
        lines: list[str],
        left: float,
        points: float,
        *,
        bold: bool = False,
        colour: str = _INK,
        align: Literal["left", "center", "right"] = "left",
    ) -> None:
        """Write lines below each other from the present height on, and move down past them."""
        for line in lines:
            if self.figure is not None:
                self.figure.text(
                    left / self.width,
                    1 - (self.down + points / 72) / self.height,
                    line,
                    fontsize=points,
                    fontweight="bold" if bold else "normal",
                    color=colour,
                    ha=align,
                    va="baseline",
                    parse_math=False,
                )
            self.down += points * _LEADING

    def _left_of(self, column: int) -> float:
        return _MARGIN + self.label + column * (self.tile + _GAP)

    def _column_headings(self, headings: Sequence[Heading]) -> None:
        top = lowest = self.down
        wrapped = [
            (wrap(head.name, self.tile, points=_HEAD, bold=True), _wrapped(head.detail, self.tile, _CAPTION))
            for head in headings
        ]
        depth = max((_depth(*lines) for lines in wrapped), default=0.0)
        for column, (names, details) in enumerate(wrapped):
            # Headings stand on their pictures, however many lines their neighbours take.
            self.down = top + depth - _depth(names, details)
            self._lines(names, self._left_of(column), _HEAD, bold=True)
            self._lines(details, self._left_of(column), _CAPTION, colour=_MUTED)
            lowest = max(lowest, self.down)
        self.down = lowest + (0.04 if headings else 0.0)

    def _row(self, row: Sequence[Tile | None], heading: Heading | None) -> None:
        top, lowest = self.down, self.down
        if heading is not None:
            self._lines(wrap(heading.name, _LABEL - 0.1, points=_HEAD, bold=True), _MARGIN, _HEAD, bold=True)
            self._lines(_wrapped(heading.detail, _LABEL - 0.1, _CAPTION), _MARGIN, _CAPTION, colour=_MUTED)
            lowest = self.down
        for column, tile in enumerate(row):
            if tile is not None:
                self.down = top
                self._tile(tile, self._left_of(column))
                lowest = max(lowest, self.down)
        self.down = lowest + _GAP

    def _tile(self, tile: Tile, left: float) -> None:
        tall = self.tile * tile.picture.shape[0] / tile.picture.shape[1]
        if self.figure is not None:
            self._image(tile.picture, left, self.down, self.tile, tall)
        self.down += tall
        if tile.caption:
            self.down += 0.02
            self._lines(_wrapped(tile.caption, self.tile, _CAPTION), left, _CAPTION, colour=_MUTED)

    def _image(self, picture: NDArray[np.uint8], left: float, top: float, wide: float, tall: float) -> None:
        assert self.figure is not None
        area = (left / self.width, 1 - (top + tall) / self.height, wide / self.width, tall / self.height)
        axes = self.figure.add_axes(area)
        # Small pictures keep their pixels as squares; large ones are averaged down to the page.
        axes.imshow(picture, interpolation="antialiased", aspect="auto")
        axes.set_xticks([])
        axes.set_yticks([])
        for spine in axes.spines.values():
            spine.set_edgecolor(_RULE)
            spine.set_linewidth(0.4)

    def _scale(self, scale: Scale) -> None:
        self.down += 0.05
        wide, tall = 1.5, 0.1
        left = _MARGIN + self.label
        bar = np.repeat((colour_table(scale.colours)[None] * 255).round().astype(np.uint8), 2, axis=0)
        if self.figure is not None:
            self._image(bar, left, self.down, wide, tall)
        top = self.down
        self.down += 0.12
        self._lines([scale.low], left, _CAPTION, colour=_MUTED)
        below, self.down = self.down, top + 0.12
        self._lines([scale.high], left + wide, _CAPTION, colour=_MUTED, align="right")
        self.down = top - 0.02
        beside = left + wide + 0.12
        self._lines(_wrapped(scale.label, self.width - _MARGIN - beside, _NOTE), beside, _NOTE, colour=_MUTED)
        self.down = max(self.down, below) + 0.03

    def _remark(self, remark: Remark) -> None:
        left = _MARGIN
        if remark.holds is not None:
            word, colour, marker = ("passed", _GOOD, "o") if remark.holds else ("not passed", _BAD, "s")
            if self.figure is not None:
                self._mark(left + 0.05, self.down + 0.062, colour, marker)
            top = self.down
            self._lines([word], left + 0.15, _NOTE, bold=True, colour=colour)
            self.down, left = top, left + 0.84
        self._lines(wrap(remark.text, self.width - _MARGIN - left, points=_NOTE), left, _NOTE)
        self.down += 0.035

    def _mark(self, across: float, down: float, colour: str, marker: str) -> None:
        from matplotlib.lines import Line2D

        assert self.figure is not None
        place = ([across / self.width], [1 - down / self.height])
        shape = Line2D(
            *place, marker=marker, color=colour, markersize=5, linestyle="", transform=self.figure.transFigure
        )
        self.figure.add_artist(shape)


def _bands(columns: int, *, pinned: int, fitting: int) -> list[list[int]]:
    """Return the columns of each band: the pinned ones, then as equal shares of the others as there can be.

    >>> _bands(8, pinned=1, fitting=5)
    [[0, 1, 2, 3, 4], [0, 5, 6, 7]]
    """
    others, room = columns - pinned, fitting - pinned
    if pinned == 0 or columns <= fitting or room < 1:
        return [list(range(columns))]
    share = -(-others // -(-others // room))
    starts = range(pinned, columns, share)
    return [[*range(pinned), *range(start, min(start + share, columns))] for start in starts]


def _wrapped(text: str, width: float, points: float) -> list[str]:
    """Return the lines of a text that may be empty, and of its own line breaks."""
    return [line for part in text.split("\n") if part for line in wrap(part, width, points=points)]


def _depth(names: list[str], details: list[str]) -> float:
    return (len(names) * _HEAD + len(details) * _CAPTION) * _LEADING
