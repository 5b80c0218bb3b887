"""Checks a report's PDF against what is attached to it, without a network and without the run folder.

What digests can't show is said as plainly as what they show: whether an unsigned PDF's pages were exchanged can be
checked against the sums of its run folder only, or by rendering the attached evidence again. A signature covers them.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, cast

from pypdf import PdfReader
from pypdf.generic import DictionaryObject, IndirectObject

from reports import presentation
from reports.attachments import MANIFEST, MANIFEST_SCHEMA
from reports.presentation import LanguageCode, load_presentation
from reports.printed_rates import attached_rate_checks
from reports.provenance.check import attachment_checks
from reports.signing.check import SignatureReport, signature_report
from reports.xmp import Digests, read_digests
from wolfhound.errors import EvidenceError
from wolfhound.evidence import load_evidence, load_run
from wolfhound.store import SUMS
from wolfhound.verification import Check

EVIDENCE = "evidence.json"
_END = re.compile(rb"startxref\s+\d+\s+%%EOF")


def pdf_faults(path: Path, *, roots: Sequence[Any] | None = None) -> list[str]:
    """Return everything that is wrong with a report's PDF, one line a fault; empty if nothing is."""
    return [f"{check.name}: {check.detail}" for check in pdf_checks(path, roots=roots) if check.ok is False]


def pdf_checks(path: Path, *, roots: Sequence[Any] | None = None) -> list[Check]:
    """Return every check of a report's PDF in order, passed or not.

    `roots` are trusted root certificates, for the signer's identity (see `reports.signing.check`). A file that cannot
    be read as a PDF is one failed check, never an exception.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        return [Check("file", False, f"expected a PDF at {path}, but it cannot be read: {error.strerror}")]
    try:
        reader = PdfReader(BytesIO(data), strict=True)
        content = _Content.of(reader)
    except Exception as error:  # a forged file may break the parser in any way, and each way is a failed check
        return [Check("file", False, f"expected a PDF with attachments, but it cannot be read: {error}")]
    signature = signature_report(data, roots=roots)
    checks = [
        *_revision_checks(data, content, signature),
        *_manifest_checks(content),
        *_digest_checks(content),
        *_provenance_checks(content),
        *_document_checks(content),
        _pages_check(path, data, signature),
    ]
    intact = all(check.ok is not False for check in checks)
    return [*checks, *_rate_checks(content, reader if intact else None)]


def _rate_checks(content: "_Content", reader: PdfReader | None) -> list[Check]:
    """Check every rate against ledgers and pages; without a `reader`, whose pages take seconds, the ledgers alone."""
    try:
        pages = None if reader is None else [page.extract_text() for page in reader.pages]
    except Exception as error:  # as above: a page that cannot be read shows nothing, so it is a failed check
        return [Check("printed numbers", False, f"the text of the pages cannot be read: {error}")]
    held = content.attachments
    return attached_rate_checks(held.get(EVIDENCE, b""), held.values(), pages, code=content.language)


@dataclass(frozen=True)
class _Content:
    attachments: Mapping[str, bytes]
    repeated: tuple[str, ...]
    digests: Digests | None
    first_page: str

    @classmethod
    def of(cls, reader: PdfReader) -> "_Content":
        found: dict[str, bytes] = {}
        repeated: list[str] = []
        for name, data in _embedded(reader):
            repeated += [name] if name in found else []
            found.setdefault(name, data)
        metadata = cast(DictionaryObject, reader.trailer["/Root"]).get("/Metadata")
        digests = read_digests(metadata.get_object().get_data()) if metadata is not None else None
        return cls(found, tuple(repeated), digests, reader.pages[0].extract_text())

    @property
    def language(self) -> LanguageCode:
        """The language that the report was rendered in; English where its document cannot be read."""
        try:
            return load_presentation(self.attachments[presentation.NAME]).language
        except (KeyError, EvidenceError):
            return "en"

    def manifest(self) -> dict[str, Any] | None:
        """Return the attached manifest, or None if there is none that can be read."""
        try:
            manifest = json.loads(self.attachments.get(MANIFEST, b""))
        except ValueError:
            return None
        well_formed = isinstance(manifest, dict) and isinstance(manifest.get("attachments"), dict)
        return manifest if well_formed and manifest.get("schema") == MANIFEST_SCHEMA else None


def _embedded(reader: PdfReader) -> list[tuple[str, bytes]]:
    """Return the name and bytes of every embedded file, from every file specification that the PDF holds.

    Not from the name tree alone: a file that is hidden from it is found too.
    """
    found: list[tuple[str, bytes]] = []
    numbers = {number for generation in reader.xref.values() for number in generation} | set(reader.xref_objStm)
    for number in sorted(numbers):
        specification = reader.get_object(IndirectObject(number, 0, reader))
        if isinstance(specification, dict) and specification.get("/Type") == "/Filespec":
            name = str(specification.get("/UF", specification.get("/F", "")))
            found.append((name, specification["/EF"]["/F"].get_object().get_data()))
    return found


def _revision_checks(data: bytes, content: _Content, signature: SignatureReport) -> list[Check]:
    """Check the signature and that it is the one which the report announces; without one, that nothing was appended."""
    announced = () if content.digests is None else content.digests.signer
    if not signature.checks:
        checks = [_one_revision(data)]
        if announced:
            what = f"the report names the certificate {announced[0]} as its signer's, but no signature is there"
            checks.append(Check("signature", False, f"cut off: {what}"))
        return checks
    same = bool(announced) and signature.certificates == announced
    detail = "the certificates of the signature are those that the report names"
    return [*signature.checks, Check("announced signer", same, detail if same else f"not so: {detail}")]


def _provenance_checks(content: _Content) -> list[Check]:
    digest = hashlib.sha256(content.attachments.get(EVIDENCE, b"")).hexdigest()
    signer = "" if content.digests is None else next(iter(content.digests.signer), "")
    return attachment_checks(content.attachments, evidence_sha256=digest, signer=signer)


def _one_revision(data: bytes) -> Check:
    """Check that nothing was appended: a later revision of a PDF can change any page and keep the earlier bytes."""
    name = "one revision"
    if len(_END.findall(data)) > 1:
        return Check(name, False, "the file was changed by an incremental update")
    end = data.rfind(b"%%EOF")
    if data[end:].strip() != b"%%EOF":
        return Check(name, False, f"{len(data) - end - 5} bytes follow the end of the PDF")
    return Check(name, True, "nothing was appended to the file")


def _manifest_checks(content: _Content) -> list[Check]:
    manifest = content.manifest()
    if manifest is None:
        return [Check("manifest", False, f"expected an attached {MANIFEST} of schema {MANIFEST_SCHEMA}, found none")]
    listed = {name: entry for name, entry in manifest["attachments"].items() if isinstance(entry, dict)}
    attached = content.attachments.keys() - {MANIFEST}
    checks = [
        Check(f"attachment {name}", False, "listed in the manifest, not attached") for name in listed.keys() - attached
    ]
    checks += [
        Check(f"attachment {name}", False, "attached, not listed in the manifest") for name in attached - listed.keys()
    ]
    checks += [Check(f"attachment {name}", False, "attached more than once") for name in content.repeated]
    for name in sorted(attached & listed.keys()):
        checks.append(
            _same(f"attachment {name}", listed[name].get("sha256"), content.attachments[name], "the manifest")
        )
    return sorted(checks, key=lambda check: check.name)


def _digest_checks(content: _Content) -> list[Check]:
    evidence = content.attachments.get(EVIDENCE)
    if evidence is None:
        return [Check("evidence", False, f"expected an attached {EVIDENCE}, found none")]
    checks = []
    if content.digests is None:
        checks.append(Check("metadata", False, "expected the digests of evidence and manifest in the XMP, found none"))
    else:
        checks.append(_same("evidence digest in the metadata", content.digests.evidence, evidence, "the metadata"))
        manifest = content.attachments.get(MANIFEST, b"")
        checks.append(_same("manifest digest in the metadata", content.digests.manifest, manifest, "the metadata"))
    printed = re.sub(r"\s+", "", content.first_page)
    on_page = hashlib.sha256(evidence).hexdigest() in printed
    detail = "the first page prints the digest of the attached evidence"
    checks.append(Check("evidence digest on the first page", on_page, detail if on_page else f"not so: {detail}"))
    return checks


def _same(name: str, expected: object, data: bytes, where: str) -> Check:
    actual = hashlib.sha256(data).hexdigest()
    if actual == expected:
        return Check(name, True, f"SHA-256 {actual}")
    return Check(name, False, f"changed: its SHA-256 is {actual}, {where} says {expected}")


def _document_checks(content: _Content) -> list[Check]:
    """Check that evidence and run record can be read: from them the report can be rendered again."""
    checks = []
    documents: list[tuple[str, Callable[[bytes], object]]] = [(EVIDENCE, load_evidence), ("run.json", load_run)]
    if presentation.NAME in content.attachments:
        documents.append((presentation.NAME, load_presentation))
    for name, load in documents:
        if name not in content.attachments:
            checks.append(Check(f"{name} is readable", False, "not attached"))
            continue
        try:
            load(content.attachments[name])
        except EvidenceError as error:
            checks.append(Check(f"{name} is readable", False, str(error)))
        else:
            checks.append(Check(f"{name} is readable", True, "a well-formed document"))
    return checks


def _pages_check(path: Path, data: bytes, signature: SignatureReport) -> Check:
    """Check the whole file against the sums of the run folder it lies in, if it lies in one, or by its signature."""
    name = "pages"
    sums = path.parent / SUMS
    if not sums.is_file() and signature.checks:
        detail = "the signature covers every page" if signature.covers_all else "the signature does not vouch for them"
        return Check(name, signature.covers_all, detail)
    if not sums.is_file():
        return Check(
            name,
            None,
            "not checked: this PDF is unsigned, and digests inside it cannot vouch for its pages. "
            f"Compare it with {SUMS} of its run folder, or render the evidence again (wolfhound report RUN)",
        )
    digest = hashlib.sha256(data).hexdigest()
    lines = sums.read_text(encoding="utf-8", errors="replace").splitlines()
    expected = next((line[:64] for line in lines if line[64:] == f"  {path.name}"), None)
    if expected is None:
        return Check(name, False, f"{SUMS} beside it does not list {path.name}")
    if digest != expected:
        return Check(name, False, f"changed: the file's SHA-256 is {digest}, {SUMS} says {expected}")
    return Check(name, True, f"the whole file is the one that {SUMS} lists")
