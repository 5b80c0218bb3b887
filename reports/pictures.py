"""From stored bytes to what a page can show: every picture is checked against its digest and really decoded."""

import base64
import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files

from PIL import Image, UnidentifiedImageError

from wolfhound.errors import EvidenceError
from wolfhound.evidence import Artefact, Picture
from wolfhound.store import EvidenceStore

# Turns bytes of a media type into a URL that the page can use.
Link = Callable[[bytes, str], str]

PNG = "image/png"
SVG = "image/svg+xml"
WOFF2 = "font/woff2"


def data_uri(data: bytes, media_type: str) -> str:
    """Return the bytes as a data URI, so that one HTML file holds everything."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


@dataclass
class MemoryLinks:
    """Keeps bytes in memory and names them by digest: the only things that the PDF renderer can fetch."""

    held: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    def __call__(self, data: bytes, media_type: str) -> str:
        """Return the URL of the bytes."""
        url = f"report:{hashlib.sha256(data).hexdigest()}"
        self.held[url] = (data, media_type)
        return url


@dataclass(frozen=True)
class Pictures:
    """The pictures of one run folder, each read and checked once."""

    store: EvidenceStore
    read: dict[str, bytes] = field(default_factory=dict)

    def png(self, picture: Picture) -> bytes:
        """Return a picture's bytes.

        Raises:
            EvidenceError: the file is missing, is no PNG that can be decoded, or has no description.
            VerificationError: the bytes are not those that were stored.
        """
        if not picture.alt.strip():
            raise EvidenceError(f"expected a description of the picture {picture.caption!r}, got an empty one")
        digest = picture.artefact.sha256
        if digest not in self.read:
            self.read[digest] = _decoded(self.store.get(picture.artefact), picture.artefact)
        return self.read[digest]


def _decoded(data: bytes, artefact: Artefact) -> bytes:
    """Return the bytes after decoding them as a trial: a broken picture must not print as blank."""
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.verify()  # the PDF renderer makes Pillow load truncated files without a word
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise EvidenceError(f"expected a PNG in {artefact.path}, got something that cannot be decoded") from error
    return data


def font(name: str) -> bytes:
    """Return one of the bundled fonts."""
    return (files("reports") / "fonts" / name).read_bytes()
