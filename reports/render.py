"""Renders a run folder's stored evidence to report.html and report.pdf. Needs no torch, no network and no clock."""

from dataclasses import dataclass
from pathlib import Path

from reports import wording
from reports.attachments import MANIFEST, collect
from reports.page import Audit, Signer, fill
from reports.pdf import write_pdf
from reports.pictures import MemoryLinks, Pictures, data_uri
from reports.presentation import stored_presentation
from reports.provenance import bill, envelope, statement
from reports.scripts import dress
from reports.signing.keys import SigningKey
from reports.signing.pades import TimeStamping, sign_pdf
from reports.typefaces import visible
from reports.xmp import Digests
from wolfhound.finished import stored_comparison
from wolfhound.store import EvidenceStore

HTML_NAME = "report.html"
PDF_NAME = "report.pdf"
PROVENANCE = (statement.NAME, envelope.NAME, bill.NAME)


@dataclass(frozen=True)
class RenderedReport:
    """Where the two files of a report lie."""

    html: Path
    pdf: Path


def render(
    store: EvidenceStore, *, key: SigningKey | None = None, stamping: TimeStamping | None = None
) -> RenderedReport:
    """Write report.html and report.pdf into the run folder, from what it stores alone, and return where they are.

    The same evidence gives the same bytes; a `key` signs the statement and the PDF on top of them. The folder is not
    sealed: whoever calls this does that afterwards.

    Raises:
        EvidenceError: a file or a value that the report needs is missing or malformed, or the key does not sign.
        VerificationError: a stored file isn't what its digest says.
    """
    audit = read(store, key=key)
    html = html_bytes(audit)
    pdf = pdf_bytes(audit)
    signed = pdf if key is None else sign_pdf(pdf, key, stamping=stamping)
    for name in PROVENANCE:
        (store.root / name).unlink(missing_ok=True)  # of an earlier rendering, perhaps with another key
    for file in audit.attachments.files:
        if file.path in PROVENANCE:
            store.write(file.path, file.data)
    store.write(HTML_NAME, html)
    store.write(PDF_NAME, signed)
    return RenderedReport(store.root / HTML_NAME, store.root / PDF_NAME)


def read(store: EvidenceStore, *, key: SigningKey | None = None) -> Audit:
    """Return everything that a report is made of, read and checked."""
    evidence = store.evidence()
    signer = None if key is None else Signer(key.name, key.fingerprint, key.algorithm, key.demonstration, key.chain)
    attached = collect(store, evidence, key=key)
    presentation = stored_presentation(store)
    comparison = stored_comparison(store.root)
    return Audit(evidence, store.run_record(), attached, Pictures(store), signer, comparison, presentation)


def html_bytes(audit: Audit) -> bytes:
    """Return the report as one HTML file that needs nothing beside it."""
    return dress(visible(fill(audit, data_uri, screen=True)), data_uri, screen=True).encode()


def pdf_bytes(audit: Audit) -> bytes:
    """Return the report as PDF/A-3a and PDF/UA-1 with its evidence attached."""
    links = MemoryLinks()
    html = dress(fill(audit, links, screen=False), links, screen=False)
    digests = Digests(
        audit.attachments["evidence.json"].sha256,
        audit.attachments[MANIFEST].sha256,
        () if audit.signer is None else (audit.signer.fingerprint, *audit.signer.chain),
    )
    created = wording.moment(audit.run.finished)
    return write_pdf(html, links, audit.attachments, digests=digests, created=created)
