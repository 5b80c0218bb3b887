"""Whether the attested files are still what the statement says, and who signed the statement."""

import json
from collections.abc import Mapping
from pathlib import Path

from reports.provenance import bill, envelope, statement
from wolfhound.store import file_sha256, sha256
from wolfhound.verification import Check


def folder_checks(root: Path) -> list[Check]:
    """Return the checks of a run folder's statement: every file that it names, by digest; and its envelope."""
    path = root / statement.NAME
    if not path.is_file():
        return [Check("statement", False, f"expected {statement.NAME} in the run folder, found none")]
    checks = [_subjects(path.read_bytes(), root)]
    sealed = root / envelope.NAME
    if sealed.is_file():
        checks.append(envelope_check(sealed.read_bytes(), path.read_bytes()))
    return checks


def _subjects(payload: bytes, root: Path) -> Check:
    name = "statement against the files"
    try:
        subjects = {entry["name"]: entry["digest"]["sha256"] for entry in json.loads(payload)["subject"]}
    except (ValueError, KeyError, TypeError) as error:
        return Check(name, False, f"expected an in-toto statement, but: {error!r}")
    faults = [fault for file, digest in subjects.items() if (fault := _fault(root, file, digest))]
    if faults:
        return Check(name, False, f"{len(faults)} of {len(subjects)} files differ, first {faults[0]}")
    return Check(name, True, f"all {len(subjects)} attested files are there, unchanged")


def _fault(root: Path, file: str, digest: str) -> str | None:
    path = (root / file).resolve()
    if not path.is_relative_to(root.resolve()):
        return f"{file} (outside the run folder)"
    if not path.is_file():
        return f"{file} (missing)"
    return None if file_sha256(path) == digest else f"{file} (changed)"


def attachment_checks(attached: Mapping[str, bytes], *, evidence_sha256: str, signer: str) -> list[Check]:
    """Return the checks of the provenance files of a PDF.

    `signer` is the digest of the certificate that its metadata states, or "".
    """
    checks = [_present(attached, name) for name in (statement.NAME, bill.NAME)]
    payload = attached.get(statement.NAME, b"")
    about = f'"{evidence_sha256}"' in payload.decode(errors="replace")
    checks.append(Check("statement is about this evidence", about, f"evidence.json with SHA-256 {evidence_sha256}"))
    sealed = attached.get(envelope.NAME)
    if sealed is None and signer:
        checks.append(Check("signed statement", False, f"expected an attached {envelope.NAME}, found none"))
    if sealed is not None:
        checks.append(envelope_check(sealed, payload, signer=signer))
    return checks


def _present(attached: Mapping[str, bytes], name: str) -> Check:
    there = name in attached
    return Check(name, there, f"attached, SHA-256 {sha256(attached[name])}" if there else "not attached")


def envelope_check(sealed: bytes, payload: bytes, *, signer: str | None = None) -> Check:
    """Return the check of a signed statement; `signer` is the digest that its certificate must have, if known."""
    name = "signed statement"
    try:
        opened = envelope.open_envelope(sealed)
    except ValueError as error:
        return Check(name, False, str(error))
    if not opened.valid:
        return Check(name, False, f"the signature is not that of {opened.name} on this statement")
    if opened.payload != payload:
        return Check(name, False, f"the signed statement is another one than {statement.NAME}")
    if signer is not None and opened.fingerprint != signer:
        return Check(name, False, f"signed by the certificate {opened.fingerprint}, not by {signer or 'none'}")
    return Check(name, True, f"signed by {opened.name}, certificate SHA-256 {opened.fingerprint}")
