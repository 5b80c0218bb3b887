"""Fonts for names in other scripts (Han, kana, Hangul, Arabic, Hebrew, Indic, Thai): only what a page needs of them.

The bundled text fonts have Latin, Greek and Cyrillic. What they lack is drawn with subsets of IBM Plex Sans and Noto
Sans, so that a page is the same on every machine, whatever fonts that has. A page without such signs is not changed by
a byte.
"""

import io
import json
import re
import unicodedata
import zipfile
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files

from reports.pictures import WOFF2, Link

BLANKS = frozenset((0x20, 0xA0, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000))
"""Every font has these: the PDF renderer takes a blank from the font of the sign before it."""
JOINERS = frozenset((0x200C, 0x200D, 0x25CC))
"""Signs that a script's own font must have, too, for its letters to join or part as they are written."""
_ARCHIVE = "scripts/scripts.zip"
_STYLE_END = "</style>"
_GENERIC = re.compile(r", (?=(?:sans-serif|monospace)[;}])")
_TURNED = "\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc"
# A name from right to left: words with nothing between them but blanks and joining signs. Numbers stay outside, so that
# none can be turned to the other side of its name; the extra digits of these blocks are weak and stay with their word.
_NAME = re.compile(rf"[{_TURNED}](?:[{_TURNED}\u200c\u200d \u00a0'’_-]*[{_TURNED}])?")
_TEXT = re.compile(r"(<title>.*?</title>|<[^>]*>)", re.DOTALL)


@cache
def drawn_by() -> Mapping[int, str]:
    """Return the code points that the fonts for other scripts draw, each with its file in the archive."""
    index: dict[str, str] = json.loads(_read("index.json"))
    return {ord(sign): name for name, signs in index.items() for sign in signs}


def dress(html: str, link: Link, *, screen: bool) -> str:
    """Return a page that can draw its names in other scripts and holds each from right to left together.

    The page's first style sheet gets the fonts, of which `link` makes URLs; `screen` declares them as browsers like it.
    """
    head, end, body = html.partition(_STYLE_END)
    faces = _faces(body)
    if not faces:
        return html
    names = ", ".join(f'"{family}"' for family in faces)
    rules = "".join(_rules(family, link(data, WOFF2), screen=screen) for family, data in faces.items())
    return _GENERIC.sub(f", {names}, ", head) + rules + end + _isolated(body, screen=screen)


def _faces(text: str) -> dict[str, bytes]:
    """Return a font for each file that has signs of the text, cut down to those, by the name of its family."""
    held, needed = drawn_by(), dict[str, set[int]]()
    for sign in sorted(set(map(ord, text)) & held.keys()):
        needed.setdefault(held[sign], set()).add(sign)
    return {f"Wolfhound {name.removesuffix('.woff2')}": _cut(name, frozenset(needed[name])) for name in sorted(needed)}


@lru_cache(maxsize=512)
def _cut(name: str, signs: frozenset[int]) -> bytes:
    from fontTools.subset import Options, Subsetter  # type: ignore[import-untyped]
    from fontTools.ttLib import TTFont  # type: ignore[import-untyped]

    font = TTFont(io.BytesIO(_read(name)), recalcTimestamp=False)
    cutter = Subsetter(Options(hinting=False, recalc_timestamp=False))
    parts = {ord(part) for sign in signs for part in _taken_apart(chr(sign))}
    cutter.populate(unicodes=signs | (font.getBestCmap().keys() & (parts | BLANKS | JOINERS)))
    cutter.subset(font)
    font.flavor = "woff2"
    stream = io.BytesIO()
    font.save(stream)
    return stream.getvalue()


def _taken_apart(sign: str) -> str:
    """Return the signs that shaping makes of one, such as the Thai sara am."""
    return "" if unicodedata.normalize("NFD", sign) != sign else unicodedata.normalize("NFKD", sign)


def _rules(family: str, url: str, *, screen: bool) -> str:
    """Return the font's rules. One weight serves for all: a machine's own way of thickening would change the bytes."""
    styles = ["font-weight: 1 999"] if screen else [f"font-weight: {w}; font-style: {s}" for w, s in _STYLES]
    return "".join(f'@font-face {{ font-family: "{family}"; {style}; src: url({url}); }}\n' for style in styles)


_STYLES = ((400, "normal"), (400, "italic"), (600, "normal"), (600, "italic"))


def _isolated(body: str, *, screen: bool) -> str:
    """Return the page with each name from right to left held apart, attributes and tags left alone.

    Browsers have an element for it, and what is copied from it has no sign too many. In print a mark ends the name: an
    element inside a link would be a part of the link that PDF/UA finds untagged.
    """
    apart = r"<bdi>\g<0></bdi>" if screen else r"\g<0>&lrm;"
    parts = _TEXT.split(body)
    parts[::2] = [_NAME.sub(apart, text) for text in parts[::2]]
    return "".join(parts)


@cache
def _read(name: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO((files("reports") / "fonts" / _ARCHIVE).read_bytes())) as archive:
        return archive.read(name)
