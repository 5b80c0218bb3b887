"""Make reports/fonts/scripts/scripts.zip from packages of @fontsource on npm: it draws names in other scripts.

    python scripts/report_fonts.py FOLDER

FOLDER holds the unpacked packages, each under its name (`npm pack @fontsource/noto-sans-sc` and so on; see SOURCES).
Each package has its font in slices. Of each slice, this keeps the signs that no font before it draws, and drops what a
report needs not: rare Han signs and Hangul syllables, which stand in no national character set, and their features
for vertical setting. Signs that turn the direction of writing are left out: a report names them. The index in the
archive says which file draws which signs. The same packages give the same archive.
"""

import io
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from fontTools.ttLib.tables._g_l_y_f import Glyph

sys.path.insert(0, str(Path(__file__).parent.parent))

from reports.scripts import BLANKS, JOINERS
from reports.typefaces import covered, visible

PLEX = ("arabic", "hebrew", "devanagari", "thai")
NOTO = ("bengali", "tamil", "sc", "jp", "kr")
SOURCES = {name: f"ibm-plex-sans-{name}" for name in PLEX} | {name: f"noto-sans-{name}" for name in NOTO}
TARGET = Path(__file__).parent.parent / "reports" / "fonts" / "scripts"


def two_byte_set(codec: str, leads: range) -> set[int]:
    """Return the code points of a national character set of two bytes a sign."""
    pairs = (bytes((lead, trail)) for lead in leads for trail in range(0x40, 0xFF))
    texts = (pair.decode(codec, errors="ignore") for pair in pairs)
    return {ord(text) for text in texts if len(text) == 1}


def wanted() -> set[int]:
    """Return what is kept: GB 2312, JIS X 0208, KS X 1001, level 1 of Big5, and all that is neither Han nor Hangul."""
    high = range(0xA1, 0xFF)
    east = two_byte_set("gb2312", high) | two_byte_set("euc_jp", high) | two_byte_set("euc_kr", high)
    east |= two_byte_set("big5", range(0xA1, 0xC7))
    others = {sign for sign in range(0x300, 0x10000) if not _national(sign) and visible(chr(sign)) == chr(sign)}
    return east | others


def _national(sign: int) -> bool:
    return 0x3400 <= sign < 0xA000 or 0xAC00 <= sign < 0xD7B0 or 0xE000 <= sign < 0xFB00


def subset(font: TTFont, signs: set[int], *, east: bool) -> bytes:
    """Return a font of those signs alone as WOFF2."""
    options = Options()
    options.flavor = "woff2"
    options.hinting = False
    options.recalc_timestamp = False
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14]
    options.drop_tables += ["vhea", "vmtx"]
    if east:
        options.layout_features = []
    cutter = Subsetter(options)
    cutter.populate(unicodes=signs)
    cutter.subset(font)
    add_blanks(font)
    font.flavor = "woff2"
    stream = io.BytesIO()
    font.save(stream)
    return stream.getvalue()


def add_blanks(font: TTFont) -> None:
    """Give a font its blanks, in thousandths of its size wide; the slices have none."""
    order = font.getGlyphOrder()
    for name, width, signs in (("blank", 260, BLANKS - {0x3000}), ("wide", 1000, {0x3000})):
        font["glyf"].glyphs[name], font["hmtx"].metrics[name] = Glyph(), (width, 0)
        order = [*order, name]
        for table in font["cmap"].tables:
            table.cmap |= dict.fromkeys(signs, name)
    font.setGlyphOrder(order)


def slices(folder: Path) -> Iterator[tuple[str, bytes, str]]:
    """Yield name, font and signs of each slice that draws something new."""
    left = wanted() - covered()
    for source, package in SOURCES.items():
        for number, path in enumerate(sorted(folder.glob(f"{package}/files/*-400-normal.woff2"))):
            font = TTFont(path, recalcTimestamp=False)
            held = set(font.getBestCmap())
            drawn = held & left
            if not drawn:
                continue
            left -= drawn
            east = source in ("sc", "jp", "kr")
            kept = drawn if east else drawn | held & JOINERS
            yield f"{source}-{number:03d}.woff2", subset(font, kept, east=east), "".join(map(chr, sorted(drawn)))


def main(folder: Path) -> None:
    """Write the archive."""
    TARGET.mkdir(parents=True, exist_ok=True)
    index = {}
    with zipfile.ZipFile(TARGET / "scripts.zip", "w") as archive:
        for name, data, signs in slices(folder):
            index[name] = signs
            archive.writestr(zipfile.ZipInfo(name), data)
        text = json.dumps(index, ensure_ascii=False, indent=0)
        archive.writestr(zipfile.ZipInfo("index.json"), text, compress_type=zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
