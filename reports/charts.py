"""Line charts as SVG files: text kept as text in the report's font, and the same bytes for the same points."""

import io
import re
from collections.abc import Sequence
from functools import lru_cache

from reports.typefaces import plain
from wolfhound.errors import EvidenceError
from wolfhound.evidence import Criterion
from wolfhound.statistics import Rate

_INK, _LINE, _GRID = "#3d4a55", "#175a8c", "#cfd6dc"
_INCHES = (3.35, 1.5)


@lru_cache(maxsize=256)
def line_chart(points: tuple[tuple[float, float], ...], *, x_label: str, y_label: str, comma: bool = False) -> bytes:
    """Return an SVG file of the points, joined in order. Shares (all values in [0, 1]) get an axis from 0 to 100 %.

    `comma` writes the axes' numbers with a decimal comma.

    Raises:
        EvidenceError: there are no points.
    """
    if not points:
        raise EvidenceError(f"expected points in the series {y_label!r}, got none")
    # Matplotlib is slow to import and looks for fonts when it is, so only a report with a chart pays for it.
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    shares = all_shares(points)
    with rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "wolfhound", "font.family": "sans-serif", "font.size": 8.5}
    ):
        figure = Figure(figsize=_INCHES, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        values = [100 * value if shares else value for _, value in points]
        axes.plot([x for x, _ in points], values, color=_LINE, marker="o", markersize=3.6, clip_on=False)
        axes.set_xlabel(plain(x_label), color=_INK)
        axes.set_ylabel("%" if shares else "", color=_INK, rotation=0, ha="right", va="center")
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=all(x == int(x) for x, _ in points)))
        if shares:
            axes.set_ylim(0, 100)
        if comma:
            axes.xaxis.set_major_formatter(_with_comma)
            axes.yaxis.set_major_formatter(_with_comma)
        axes.grid(axis="y", color=_GRID, linewidth=0.6)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(_GRID)
        axes.tick_params(color=_GRID, labelcolor=_INK, length=0)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return in_our_font(stream.getvalue()).encode()


def _with_comma(value: float, _: float) -> str:
    return f"{value:.4g}".replace(".", ",").replace("-", "−")


def all_shares(points: Sequence[tuple[float, float]]) -> bool:
    """Return whether every value lies in [0, 1], so that it is printed in percent."""
    return all(0 <= value <= 1 for _, value in points)


def in_our_font(svg: str) -> str:
    """Return the SVG with the report's font: text was laid out with a wider one, so nothing can run over the edge."""
    return re.sub(r"font-family: [^;\"]+|(font: [\d.]+px) [^;\"]+", _font, svg)


def _font(match: re.Match[str]) -> str:
    family = "'Wolfhound Sans', sans-serif"
    return f"{match[1]} {family}" if match[1] else f"font-family: {family}"


def strip(rate: Rate, criterion: Criterion) -> bytes:
    """Return an SVG scale from 0 to 100 %: a band where the criterion is met, over it the interval and the rate.

    It repeats what is printed beside it, so it is decoration: its colours hold on light and on dark paper.
    """
    bounds, limit = rate.interval(), 200 * criterion.threshold
    start, stop = (0.0, limit) if criterion.comparator == "at most" else (limit, 200.0)
    low, high = 200 * bounds.low, 200 * bounds.high
    return (
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='-2 0 204 12' width='204' height='12'>"
        f"<path d='M{start:.1f} 1h{stop - start:.1f}v10H{start:.1f}z' fill='#bccbd6'/>"
        f"<path d='M0 6h200M{limit:.1f} 0v12' fill='none' stroke='#6b7a86' stroke-width='1.2'/>"
        f"<path d='M{low:.1f} 6H{high:.1f}' fill='none' stroke='#1c6fae' stroke-width='4'/>"
        f"<circle cx='{200 * rate.share:.1f}' cy='6' r='3.6' fill='#1c6fae'/></svg>"
    ).encode()
