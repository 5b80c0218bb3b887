"""Break text into lines that fit a width in print, by the metrics of the font that figures are drawn in."""

import re
from functools import lru_cache

MARKS = re.compile(r"(?<=[ _/])|(?<=[A-Za-z][.-])|(?<=\.)(?=[A-Za-z])")
"""Where a line may break: behind blanks and the marks inside dotted layer names, never inside a number."""


@lru_cache(maxsize=4096)
def text_width(text: str, *, points: float, bold: bool = False) -> float:
    """Return the width of a line of text in inches, in matplotlib's own DejaVu Sans."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font = FontProperties(family="DejaVu Sans", size=points, weight="bold" if bold else "normal")
    width, _, _ = TextToPath().get_text_width_height_descent(text, font, ismath=False)
    return float(width) / 72


def wrap(text: str, width: float, *, points: float, bold: bool = False) -> list[str]:
    """Return the lines of a text, each at most `width` inches wide; what has no place to break is cut between letters.

    >>> wrap("timber wolf", 10, points=8)
    ['timber wolf']
    >>> wrap("timber wolf", 0.5, points=8)
    ['timber', 'wolf']
    """
    lines: list[str] = []
    line = ""
    for piece in _pieces(text, width, points, bold):
        if line and text_width((line + piece).rstrip(), points=points, bold=bold) > width:
            lines.append(line.rstrip())
            line = piece.lstrip()
        else:
            line += piece
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


def _pieces(text: str, width: float, points: float, bold: bool) -> list[str]:
    pieces = []
    for piece in MARKS.split(text):
        while len(piece) > 1 and text_width(piece.rstrip(), points=points, bold=bold) > width:
            fitting = max(1, int(len(piece) * width / text_width(piece, points=points, bold=bold)))
            while fitting > 1 and text_width(piece[:fitting], points=points, bold=bold) > width:
                fitting -= 1
            pieces.append(piece[:fitting])
            piece = piece[fitting:]
        pieces.append(piece)
    return pieces
