"""A finished, sealed run folder, read once it has been verified. Knows no torch."""

from dataclasses import dataclass
from pathlib import Path

from wolfhound.comparison import Comparison, RunIdentity, load_comparison
from wolfhound.errors import VerificationError, fault_list
from wolfhound.evidence import Evidence, RunRecord
from wolfhound.result import Result, result_of
from wolfhound.store import SUMS, EvidenceStore, file_sha256
from wolfhound.verification import verify_run

COMPARISON_NAME = "comparison.json"


@dataclass(frozen=True)
class FinishedRun:
    """What a run folder holds. `seal` is empty while the folder isn't sealed yet."""

    store: EvidenceStore
    evidence: Evidence
    run: RunRecord
    evidence_sha256: str
    seal: str
    since: Comparison | None

    @property
    def identity(self) -> RunIdentity:
        """Which audit this is."""
        evidence = self.evidence
        return RunIdentity(evidence.name, self.run.finished, self.seal, self.evidence_sha256, evidence.plan_sha256)

    @property
    def result(self) -> Result:
        """The audit as pipelines read it."""
        return result_of(
            self.evidence, self.run, evidence_sha256=self.evidence_sha256, seal=self.seal, since=self.since
        )


def read_finished(root: Path) -> FinishedRun:
    """Return a run folder, verified: nothing is passed on from a folder that isn't what was sealed.

    Raises:
        EvidenceError: there is none, or its audit hasn't finished.
        VerificationError: it doesn't verify; names every fault.
    """
    finished = read_unsealed(root)
    faults = [f"{check.name}: {check.detail}" for check in verify_run(root) if check.ok is False]
    if faults:
        raise VerificationError(fault_list(f"{root} does not verify, {len(faults)} fault(s):", faults))
    return finished


def read_unsealed(root: Path) -> FinishedRun:
    """Return a run folder as it is, unverified: for the audit that is just writing it.

    Raises:
        EvidenceError: there is none, or its audit hasn't finished.
    """
    store = EvidenceStore(root)
    sums = root / SUMS
    return FinishedRun(
        store,
        store.evidence(),
        store.run_record(),
        file_sha256(root / "evidence.json"),
        file_sha256(sums) if sums.is_file() else "",
        stored_comparison(root),
    )


def stored_comparison(root: Path) -> Comparison | None:
    """Return what a run folder stores about what changed since an earlier audit; None where its plan named none.

    Raises:
        EvidenceError: it's malformed.
    """
    path = root / COMPARISON_NAME
    return load_comparison(path.read_bytes()) if path.is_file() else None
