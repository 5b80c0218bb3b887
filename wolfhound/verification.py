"""Whether a run folder is still what was sealed: one line a check, recomputed from the stored bytes. Knows no torch."""

import json
from dataclasses import dataclass
from pathlib import Path

from wolfhound.errors import WolfhoundError
from wolfhound.evidence import Artefact, Evidence, Finding
from wolfhound.store import SUMS, EvidenceStore, file_sha256, sha256
from wolfhound.verdicts import judge_criterion


@dataclass(frozen=True)
class Check:
    """One thing that was looked at and what was seen. `ok` is None where it could not be checked."""

    name: str
    ok: bool | None
    detail: str


def verify_run(root: Path) -> list[Check]:
    """Return every check of a run folder. Nothing is written."""
    store = EvidenceStore(root)
    if not root.is_dir():
        return [Check("run folder", False, f"expected a folder at {root}, found none")]
    checks = _sums(store)
    try:
        evidence = store.evidence()
        store.run_record()
    except WolfhoundError as error:
        return [*checks, Check("evidence.json", False, str(error))]
    checks.append(Check("evidence.json and run.json", True, f"readable, {len(evidence.findings)} findings"))
    return [*checks, _plan(store, evidence), _artefacts(store, evidence), _judgements(evidence)]


def _sums(store: EvidenceStore) -> list[Check]:
    faults = store.faults()
    if faults:
        return [Check(SUMS, False, fault) for fault in faults]
    digest = file_sha256(store.root / SUMS)
    return [Check(SUMS, True, f"{len(list(store.files()))} files unchanged, none missing, none added; seal {digest}")]


def _plan(store: EvidenceStore, evidence: Evidence) -> Check:
    path = store.root / "plan.yaml"
    found = sha256(path.read_bytes()) if path.is_file() else "no file"
    return Check("plan.yaml", found == evidence.plan_sha256, f"the evidence was made with plan {evidence.plan_sha256}")


def _artefacts(store: EvidenceStore, evidence: Evidence) -> Check:
    wanted = {artefact for finding in evidence.findings for artefact in artefacts_of(finding)}
    lost = sorted(artefact.path for artefact in wanted if not store.holds(artefact))
    if lost:
        return Check("artefacts", False, f"{len(lost)} missing or changed, first {lost[0]}")
    return Check("artefacts", True, f"all {len(wanted)} that findings refer to are there")


def _judgements(evidence: Evidence) -> Check:
    again = tuple(row for criterion in evidence.criteria for row in judge_criterion(criterion, evidence.findings))
    return Check("judgements", again == evidence.judgements, "recomputed from the findings and the criteria")


def artefacts_of(finding: Finding) -> list[Artefact]:
    """Return every artefact that a finding refers to: ledgers, pictures and the rest."""
    pictures = [picture.artefact for gallery in finding.galleries for row in gallery.rows for picture in row]
    return [*finding.ledgers.values(), *finding.artefacts.values(), *pictures]


def as_json(checks: list[Check]) -> str:
    """Return the checks as JSON, for machines."""
    return json.dumps([{"check": c.name, "ok": c.ok, "detail": c.detail} for c in checks], indent=1)
