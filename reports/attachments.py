"""What travels inside the PDF: the evidence, the plan, tables and ledgers, and a manifest with the digest of each."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reports.attached import AttachedFile
from reports.matrix import rate_table_csv
from reports.presentation import NAME as PRESENTATION_NAME
from reports.provenance import bill, envelope, statement
from reports.signing.keys import SigningKey
from wolfhound import __version__
from wolfhound.errors import EvidenceError
from wolfhound.evidence import Artefact, Evidence
from wolfhound.finished import COMPARISON_NAME
from wolfhound.store import EvidenceStore

MANIFEST = "manifest.json"
MANIFEST_SCHEMA = "wolfhound-manifest/1"
LEDGER_BYTES = 8_000_000


@dataclass(frozen=True)
class Attachments:
    """All attached files in the order of their names, and the ledgers that were too large to attach."""

    files: tuple[AttachedFile, ...]
    left_out: tuple[str, ...]

    def __getitem__(self, name: str) -> AttachedFile:
        return next(file for file in self.files if file.name == name)


def collect(store: EvidenceStore, evidence: Evidence, *, key: SigningKey | None = None) -> Attachments:
    """Return everything that is attached, with the manifest over all of it and over every artefact of the evidence.

    With a `key`, the statement is attached once more in an envelope that the key signed.

    Raises:
        EvidenceError: a file is missing.
        VerificationError: an artefact's bytes are not those that were stored.
    """
    documents = [
        _document(store, "evidence.json", "Everything that was found: the source of every number in this report"),
        _document(store, "run.json", "When, where and with what the audit ran"),
        _document(store, "plan.yaml", "The audit plan as it was given"),
    ]
    if (store.root / COMPARISON_NAME).exists():
        documents.append(_document(store, COMPARISON_NAME, "What changed since the earlier audit, rate by rate"))
    if (store.root / PRESENTATION_NAME).exists():
        documents.append(_document(store, PRESENTATION_NAME, "Language, logo, sign-off and chapters of this report"))
    ledgers, left_out = _ledgers(store, evidence)
    tables = list(_tables(evidence))
    provenance = _provenance(store, evidence, tuple(documents), key)
    files = [*documents, *tables, *ledgers, *provenance]
    manifest = AttachedFile(MANIFEST, manifest_bytes(files, evidence), "Digests of all attachments and artefacts")
    ordered = tuple(sorted([*files, manifest], key=lambda file: file.name))
    return Attachments(ordered, left_out)


def _provenance(
    store: EvidenceStore, evidence: Evidence, documents: tuple[AttachedFile, ...], key: SigningKey | None
) -> Iterator[AttachedFile]:
    attested = statement.statement_bytes(evidence, documents, artefacts(evidence))
    yield AttachedFile(statement.NAME, attested, "What this audit attests, for machines (in-toto)", statement.NAME)
    listed = bill.bill_bytes(evidence, store.run_record(), evidence_sha256=documents[0].sha256)
    yield AttachedFile(bill.NAME, listed, "Classifiers, images and software (CycloneDX ML-BOM)", bill.NAME)
    if key is not None:
        sealed = envelope.envelope_bytes(attested, key)
        yield AttachedFile(envelope.NAME, sealed, "The statement, signed (DSSE)", envelope.NAME)


def _document(store: EvidenceStore, name: str, description: str) -> AttachedFile:
    path = store.root / name
    if path.is_symlink() or not path.is_file():
        raise EvidenceError(f"expected {name} in {store.root}, found none: the run folder is incomplete")
    return AttachedFile(name, path.read_bytes(), description, name)


def _tables(evidence: Evidence) -> Iterator[AttachedFile]:
    tables = [*evidence.tables, *(table for finding in evidence.findings for table in finding.tables)]
    for number, table in enumerate(tables, start=1):
        yield AttachedFile(f"table-{number:02d}-{_safe(table.name)}.csv", rate_table_csv(table), table.title)


def _ledgers(store: EvidenceStore, evidence: Evidence) -> tuple[list[AttachedFile], tuple[str, ...]]:
    """Return the ledgers up to the size that a PDF can bear, and the paths of the others."""
    named = {
        artefact: f"{finding.id}: {name}" for finding in evidence.findings for name, artefact in finding.ledgers.items()
    }
    attached, left_out, total = [], [], 0
    for number, (artefact, title) in enumerate(named.items(), start=1):
        if total + artefact.bytes > LEDGER_BYTES:
            left_out.append(artefact.path)
            continue
        total += artefact.bytes
        name = f"ledger-{number:03d}-{_safe(title)}{artefact.suffix}"
        attached.append(AttachedFile(name, store.get(artefact), f"Per-image ledger, {title}", artefact.path))
    return attached, tuple(left_out)


def _safe(text: str) -> str:
    """Return the text as a part of a file name, whatever it holds."""
    return "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in text).strip("-")[:60] or "unnamed"


def manifest_bytes(files: list[AttachedFile], evidence: Evidence) -> bytes:
    """Return the manifest as JSON: the digest and size of each attachment and of each artefact of the evidence."""
    digests = {file.name: file.sha256 for file in files}
    manifest = {
        "schema": MANIFEST_SCHEMA,
        "wolfhound": __version__,
        "evidence_sha256": digests["evidence.json"],
        "attachments": {
            file.name: {"sha256": file.sha256, "bytes": len(file.data), "path": file.path}
            for file in sorted(files, key=lambda file: file.name)
        },
        "artefacts": {
            artefact.path: {"sha256": artefact.sha256, "bytes": artefact.bytes} for artefact in artefacts(evidence)
        },
    }
    return json.dumps(manifest, indent=1).encode() + b"\n"


def artefacts(evidence: Evidence) -> tuple[Artefact, ...]:
    """Return every artefact that the evidence names, once, by path."""
    return tuple(sorted(set(_walk(evidence)), key=lambda artefact: artefact.path))


def _walk(value: Any) -> Iterator[Artefact]:
    if isinstance(value, Artefact):
        yield value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _walk(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _walk(item)
    elif isinstance(value, tuple):
        for item in value:
            yield from _walk(item)
