"""Which characters the bundled fonts can draw. A PDF may hold no missing glyph, and no report may print a blank."""

import io
import re
from functools import cache

from reports.pictures import font

FONTS = {
    "sans": "IBMPlexSans-Regular.woff2",
    "sans-italic": "IBMPlexSans-Italic.woff2",
    "sans-bold": "IBMPlexSans-SemiBold.woff2",
    "condensed": "IBMPlexSansCondensed-Regular.woff2",
    "mono": "IBMPlexMono-Regular.woff2",
}
_TEXT_FONTS = ("sans", "sans-italic", "sans-bold", "condensed")  # what mono lacks is taken from sans
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@cache
def covered() -> frozenset[int]:
    """Return the code points that all text fonts can draw."""
    from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

    maps = [TTFont(io.BytesIO(font(FONTS[name]))).getBestCmap() for name in _TEXT_FONTS]
    return frozenset(set.intersection(*(set(map_) for map_ in maps)) | {0x0A, 0x09, 0x0D})


def printable(text: str) -> str:
    """Return the text with each character that the fonts lack named by its code point.

    So a report is the same on every machine, whatever fonts that has, and nothing vanishes.

    >>> printable("Wölfe, δ ≤ ε, 狼")
    'Wölfe, δ ≤ ε, ‹U+72FC›'
    """
    known = covered()
    return re.sub(r"[^\n\t\x20-\x7e]", lambda match: _named(match[0], known), text)


def visible(text: str) -> str:
    """Return the text with control characters named, those among them that turn the direction of writing.

    A browser has its own fonts for other scripts, but such a sign could make it print a number backwards.

    >>> visible("20 \\u202e% 01")
    '20 ‹U+202E›% 01'
    """
    return _CONTROLS.sub(lambda match: f"‹U+{ord(match[0]):04X}›", text)


def _named(sign: str, known: frozenset[int]) -> str:
    return sign if ord(sign) in known else f"‹U+{ord(sign):04X}›"
