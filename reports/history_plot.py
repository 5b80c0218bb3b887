"""The rates of every run over time, one small chart a rate, as one SVG file: the same bytes for the same runs."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from reports.charts import in_our_font
from reports.language import Language
from reports.typefaces import plain
from wolfhound.history import HistoryRow, WorstRate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _LINE, _GRID = "#3d4a55", "#175a8c", "#cfd6dc"
_DATES = 7
"""More dates run into each other below a chart."""


def history_plot(rows: Sequence[HistoryRow], spoken: Language) -> bytes:
    """Return an SVG with a chart for each (audit, rate): its worst value in each run, with the Wilson 95 % interval.

    Runs that can't be used are in no chart. Without any rate the picture says so.
    """
    # Matplotlib is slow to import and looks for fonts when it is, so only who wants a plot pays for it.
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    series = history_series(rows)
    with rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "wolfhound", "font.family": "sans-serif", "font.size": 8.5}
    ):
        figure = Figure(figsize=(6.7, 0.4 + 1.7 * max(1, len(series))), layout="constrained")
        FigureCanvasSVG(figure)
        if not series:
            figure.text(0.5, 0.5, spoken.text("no rate was measured"), ha="center", color=_INK)
        for number, ((audit, key), points) in enumerate(series.items(), start=1):
            _chart(figure.add_subplot(len(series), 1, number), f"{audit}: {key}", points)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return in_our_font(stream.getvalue()).encode()


def history_series(rows: Sequence[HistoryRow]) -> dict[tuple[str, str], list[tuple[datetime, WorstRate]]]:
    """Return the points of each chart, in the order of time."""
    series: dict[tuple[str, str], list[tuple[datetime, WorstRate]]] = {}
    for row in rows:
        for worst in row.worst:
            moment = datetime.fromisoformat(row.finished).astimezone(UTC)
            series.setdefault((row.audit, worst.key), []).append((moment, worst))
    return series


def _chart(axes: "Axes", title: str, points: Sequence[tuple[datetime, WorstRate]]) -> None:
    moments = [moment.timestamp() for moment, _ in points]
    shares = [worst.rate.percent for _, worst in points]
    bounds = [worst.rate.interval() for _, worst in points]
    below = [share - 100 * bound.low for share, bound in zip(shares, bounds, strict=True)]
    above = [100 * bound.high - share for share, bound in zip(shares, bounds, strict=True)]
    axes.errorbar(moments, shares, yerr=[below, above], color=_LINE, marker="o", markersize=3.6, elinewidth=1)
    # A dollar sign would begin mathematics, which the name of an audit is not.
    axes.set_title(plain(title).replace("$", r"\$"), loc="left", color=_INK, fontsize=9)
    axes.set_ylabel("%", color=_INK, rotation=0, ha="right", va="center")
    axes.set_ylim(0, 100)
    axes.grid(axis="y", color=_GRID, linewidth=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(_GRID)
    axes.tick_params(color=_GRID, labelcolor=_INK, length=0)
    every = -(-len(points) // _DATES)
    axes.set_xticks(moments[::every], labels=[f"{moment:%Y-%m-%d}" for moment, _ in points[::every]])
    axes.tick_params(axis="x", labelsize=7)
