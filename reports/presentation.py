"""What a report shows beside its evidence: language, logo, sign-off, own sections, own clauses. Stored with the run.

Everything that it needs is in the document itself, so a report can be rendered again without the files of the plan.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from reports.data_files import Framework
from wolfhound.errors import EvidenceError
from wolfhound.store import EvidenceStore

NAME = "presentation.json"
SCHEMA = "wolfhound-presentation/1"
LanguageCode = Literal["en", "de"]


@dataclass(frozen=True)
class Logo:
    """A checked picture: `data` is base64, `sha256` the digest of the file that the plan named."""

    media_type: Literal["image/png", "image/svg+xml"]
    data: str
    alt: str
    sha256: str

    @property
    def bytes(self) -> bytes:
        """The picture itself.

        Raises:
            EvidenceError: the stored text is no base64.
        """
        try:
            return base64.b64decode(self.data, validate=True)
        except binascii.Error as error:
            raise EvidenceError(f"expected the logo in {NAME} as base64, got something else: {error}") from error


@dataclass(frozen=True)
class Person:
    """Somebody who reviews or approves; `role` may be empty."""

    name: str
    role: str = ""


@dataclass(frozen=True)
class OwnText:
    """A chapter of the organisation's own: its text as it was given, and the digest of the file."""

    title: str
    markup: Literal["markdown", "plain"]
    text: str
    file: str
    sha256: str


@dataclass(frozen=True)
class OwnClauses:
    """Laws and standards of the organisation's own, and the digest of the file."""

    frameworks: tuple[Framework, ...]
    file: str
    sha256: str


@dataclass(frozen=True)
class Presentation:
    """The whole document. The default is a report in English with nothing of the organisation's own."""

    language: LanguageCode = "en"
    logo: Logo | None = None
    reviewers: tuple[Person, ...] = ()
    approver: Person | None = None
    sections: tuple[OwnText, ...] = ()
    crosswalk: OwnClauses | None = None
    schema: str = SCHEMA


PLAIN = Presentation()
_ADAPTER = TypeAdapter(Presentation)


def dump_presentation(presentation: Presentation) -> bytes:
    """Return the document as indented UTF-8 JSON; equal documents give equal bytes."""
    return _ADAPTER.dump_json(presentation, indent=1) + b"\n"


def load_presentation(data: bytes) -> Presentation:
    """Return the presentation of a JSON document.

    Raises:
        EvidenceError: another schema, or a malformed document.
    """
    try:
        presentation = _ADAPTER.validate_json(data)
    except ValidationError as error:
        raise EvidenceError(f"{NAME} is malformed: {error}") from error
    if presentation.schema != SCHEMA:
        raise EvidenceError(f"expected a presentation of schema {SCHEMA}, got {presentation.schema!r}")
    return presentation


def stored_presentation(store: EvidenceStore) -> Presentation:
    """Return what the run folder says of its report; the default where it says nothing.

    Raises:
        EvidenceError: the document is malformed.
    """
    path = store.root / NAME
    if path.is_symlink():
        raise EvidenceError(f"expected {NAME} as a plain file in {store.root}, found a link")
    return load_presentation(path.read_bytes()) if path.is_file() else PLAIN
