"""Which characters the bundled fonts can draw. A PDF may hold no missing glyph, and no report may print a blank."""

import io
import re
import unicodedata
from functools import cache

from reports.pictures import font
from reports.scripts import drawn_by

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
    """Return the text with each character that no bundled font draws named as Unicode names it.

    So a report is the same on every machine, whatever fonts that has, and nothing vanishes.

    >>> printable("Wölfe, δ ≤ ε, 狼, 🐺")
    'Wölfe, δ ≤ ε, 狼, ‹wolf face, U+1F43A›'
    """
    known = _drawn()
    return re.sub(r"[^\n\t\x20-\x7e]", lambda match: match[0] if ord(match[0]) in known else _named(match[0]), text)


def plain(text: str) -> str:
    """Return the text as the text fonts alone can draw it, for pictures that have no others.

    >>> plain("Wölfe, 狼")
    'Wölfe, ‹U+72FC›'
    """
    known = covered()
    return "".join(sign if ord(sign) in known or " " <= sign <= "~" else _named(sign) for sign in text)


def visible(text: str) -> str:
    """Return the text with control characters named, those among them that turn the direction of writing.

    A browser has its own fonts for other scripts, but such a sign could make it print a number backwards.

    >>> visible("20 \\u202e% 01")
    '20 ‹right-to-left override, U+202E›% 01'
    """
    return _CONTROLS.sub(lambda match: _named(match[0]), text)


@cache
def _drawn() -> frozenset[int]:
    return covered() | drawn_by().keys()


def _named(sign: str) -> str:
    number = f"U+{ord(sign):04X}"
    name = unicodedata.name(sign, "").lower()
    return f"‹{number}›" if not name or name.endswith(number[2:].lower()) else f"‹{name}, {number}›"
