"""A logo from outside, made safe: a PNG decoded and written anew, an SVG of shapes alone.

A logo is the only picture of a report that no audit drew, so it gets the strictest door: nothing that runs, loads or
refers to anything, nothing whose look depends on the machine's fonts, and no more pixels than a page can show.
"""

import base64
import io
import re
from xml.etree import ElementTree

from PIL import Image, UnidentifiedImageError

from reports.presentation import Logo
from wolfhound.errors import PlanError
from wolfhound.store import sha256

MOST_BYTES = 1_000_000
MOST_PIXELS = 4_000_000
SVG_NAMESPACE = "http://www.w3.org/2000/svg"
_PAINT = ("defs", "clipPath", "linearGradient", "radialGradient", "stop", "title", "desc")
_SHAPES = frozenset(("svg", "g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", *_PAINT))
_REFERENCE = re.compile(r"url\s*\(", re.IGNORECASE)
_OWN_REFERENCE = re.compile(r"url\(\s*#[A-Za-z_][\w.-]*\s*\)")


def checked_logo(data: bytes, *, name: str, alt: str) -> Logo:
    """Return the logo of a file's bytes; `name` is what faults call it.

    Raises:
        PlanError: too large, no PNG or SVG, or an SVG with anything but shapes; says how to mend it.
    """
    if len(data) > MOST_BYTES:
        raise PlanError(f"{name}: expected a logo of at most {MOST_BYTES} bytes, got {len(data)} (save it smaller)")
    digest = sha256(data)
    if name.lower().endswith(".svg"):
        return Logo("image/svg+xml", base64.b64encode(_svg(data, name)).decode(), alt, digest)
    return Logo("image/png", base64.b64encode(_png(data, name)).decode(), alt, digest)


def _png(data: bytes, name: str) -> bytes:
    """Return the picture decoded and written anew: no text chunks, no colour profile, no animation."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.verify()  # a truncated file would decode to a half: PDF renderers make Pillow lenient
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if image.width * image.height > MOST_PIXELS:
                size = f"{image.width} x {image.height}"
                raise PlanError(f"{name}: expected at most {MOST_PIXELS} pixels, got {size} (save it smaller)")
            pixels = image.convert("RGBA")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PlanError(f"{name}: expected a PNG that can be decoded, got something else ({error})") from error
    stream = io.BytesIO()
    # A pixel's colour is kept where it is opaque only: what nobody sees is no part of the picture.
    Image.composite(pixels, Image.new("RGBA", pixels.size), pixels.getchannel("A").point(bool)).save(stream, "PNG")
    return stream.getvalue()


def _svg(data: bytes, name: str) -> bytes:
    """Return the drawing, parsed and written anew, so that nothing is in it but what was looked at."""
    if b"<!" in data.replace(b"<!--", b"") or b"<?xml-" in data:
        raise PlanError(f"{name}: expected an SVG without DOCTYPE, entities and style sheets (export it as plain SVG)")
    try:
        root = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError) as error:
        raise PlanError(f"{name}: expected well-formed XML in an SVG, got {error}") from error
    if root.tag != f"{{{SVG_NAMESPACE}}}svg":
        raise PlanError(f"{name}: expected an svg element at the root, got {root.tag!r}")
    if "viewBox" not in root.attrib:
        raise PlanError(f"{name}: expected a viewBox, found none, so its size is unknown (export it as plain SVG)")
    for element in root.iter():
        _check_element(element, name)
    ElementTree.register_namespace("", SVG_NAMESPACE)
    return bytes(ElementTree.tostring(root, encoding="utf-8"))


def _check_element(element: ElementTree.Element, name: str) -> None:
    tag = element.tag.removeprefix(f"{{{SVG_NAMESPACE}}}")
    if tag not in _SHAPES:
        advice = (
            "turn text into paths, and styles into attributes" if tag in ("text", "style") else "export shapes only"
        )
        raise PlanError(f"{name}: expected shapes in an SVG logo, found a {tag!r} element ({advice})")
    for key, value in element.attrib.items():
        foreign = "href" in key.lower() or key.lower().startswith("on")
        if foreign or _REFERENCE.search(_OWN_REFERENCE.sub("", value)) or "\\" in value:
            raise PlanError(f"{name}: expected no links and no scripts in an SVG logo, found the attribute {key!r}")
