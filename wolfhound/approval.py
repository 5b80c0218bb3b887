"""Which audits were approved as the baseline that later ones are compared with: a small JSON file beside the runs."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from wolfhound.errors import EvidenceError, PlanError, VerificationError
from wolfhound.evidence import Verdict
from wolfhound.finished import FinishedRun, read_finished
from wolfhound.store import write_atomically
from wolfhound.verdicts import overall

APPROVED = "approved.json"


@dataclass(frozen=True)
class Approval:
    """One approved run. `run` is its folder, relative to the file; `approved_on` a moment in ISO 8601."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    run: str
    seal: str
    evidence_sha256: str
    verdict: Verdict
    approved_by: str
    approved_on: str


@dataclass(frozen=True)
class Approvals:
    """The approved run of each audit, by the audit's name."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    approved: Mapping[str, Approval] = field(default_factory=dict)
    schema: Literal["wolfhound-approvals/1"] = "wolfhound-approvals/1"


_APPROVALS = TypeAdapter(Approvals)


def read_approvals(path: Path) -> Approvals:
    """Return what a file approves; nothing if there is no file.

    Raises:
        EvidenceError: it's malformed.
    """
    if not path.exists():
        return Approvals()
    try:
        return _APPROVALS.validate_json(path.read_bytes())
    except ValidationError as error:
        raise EvidenceError(f"expected approvals in {path}, but: {error}") from error


def approve(root: Path, file: Path, *, by: str, on: str) -> Approval:
    """Record the run folder as the approved one of its audit, and return the record.

    Raises:
        EvidenceError, VerificationError: the run isn't finished, or doesn't verify.
        PlanError: nobody is named.
    """
    if not by.strip():
        raise PlanError("expected the name of who approves the run, got none (--by NAME)")
    finished = read_finished(root)
    record = Approval(
        run=_relative(root, file.parent),
        seal=finished.seal,
        evidence_sha256=finished.evidence_sha256,
        verdict=overall(finished.evidence.judgements),
        approved_by=by.strip(),
        approved_on=on,
    )
    known = read_approvals(file).approved
    data = _APPROVALS.dump_json(Approvals({**known, finished.evidence.name: record}), indent=1) + b"\n"
    write_atomically(file, data)
    return record


def _relative(root: Path, folder: Path) -> str:
    """Return the run folder as seen from the file's, so that both may move together."""
    return Path(os.path.relpath(root.resolve(), folder.resolve())).as_posix()


def approved_run(file: Path, audit: str) -> tuple[FinishedRun, Approval]:
    """Return the approved run of an audit, verified, and the record that approves it.

    A folder that was sealed anew since (its report was rendered or signed again) is still the approved one as long as
    its evidence is.

    Raises:
        PlanError: none is approved.
        VerificationError: the folder isn't what was approved.
    """
    record = read_approvals(file).approved.get(audit)
    if record is None:
        raise PlanError(
            f"expected an approved run of {audit!r} in {file}, found none (approve one with: wolfhound approve RUN)"
        )
    finished = read_finished(file.parent / record.run)
    if finished.evidence_sha256 != record.evidence_sha256:
        raise VerificationError(
            f"expected the approved evidence {record.evidence_sha256} in {record.run}, got "
            f"{finished.evidence_sha256}: another audit has been written into that folder"
        )
    return finished, record
