"""Whether a run folder is still what was sealed: one line a check, recomputed from the stored bytes. Knows no torch."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from wolfhound.counting import Ledger, read_ledger, recount
from wolfhound.errors import EvidenceError, WolfhoundError
from wolfhound.evidence import Artefact, Evidence, Finding
from wolfhound.store import SUMS, EvidenceStore, file_sha256, sha256
from wolfhound.verdicts import judge_all


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
    checks += [_plan(store, evidence), _artefacts(store, evidence)]
    rates = rate_checks(evidence, lambda artefact: store.get(artefact) if store.holds(artefact) else None)
    return [*checks, *rates, _judgements(evidence)]


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
    again = judge_all(evidence.criteria, evidence.findings, evidence.subjects)
    return Check("judgements", again == evidence.judgements, "recomputed from the findings and the criteria")


def rate_checks(evidence: Evidence, read: Callable[[Artefact], bytes | None]) -> list[Check]:
    """Return what became of counting every rate of every finding again from its ledger.

    One line for each rate that differs, and one line for all that agree. A rate of which the finding does not say how
    it is counted, or whose ledger is not at hand (`read` gives None), is named as not recomputed, never as agreeing.
    """

    @cache
    def ledger(artefact: Artefact) -> Ledger | None:
        data = read(artefact)
        return None if data is None else read_ledger(data)

    faults = [
        Check(f"rates of {finding.id}", False, f"{name}: is counted, but the finding has no such rate")
        for finding in evidence.findings
        for name in finding.counted.keys() - finding.rates.keys()
    ]
    unstated, absent, agreed = [], [], 0
    for finding, name in [(one, name) for one in evidence.findings for name in one.rates]:
        if name not in finding.counted:
            unstated.append(f"{finding.id}: {name}")
            continue
        found, fault = _recounted(finding, name, ledger)
        faults += [Check(f"rates of {finding.id}", False, f"{name}: {fault}")] if fault else []
        absent += [f"{finding.id}: {name}"] if found is None and not fault else []
        agreed += found is not None and not fault
    return [*faults, *_agreed(agreed), *_left("no rule of counting is stated", unstated), *_left(_ABSENT, absent)]


def _recounted(
    finding: Finding, name: str, ledger: Callable[[Artefact], Ledger | None]
) -> tuple[tuple[int, int] | None, str]:
    """Return the counts of a rate from its ledger (None without one), and the fault if they are not the stored ones."""
    rule, rate = finding.counted[name], finding.rates[name]
    if rule.ledger not in finding.ledgers:
        return None, f"the finding has no ledger {rule.ledger!r} to count it from"
    try:
        rows = ledger(finding.ledgers[rule.ledger])
        found = None if rows is None else recount(rule, rows)
    except EvidenceError as error:
        return None, str(error)
    if found is None or found == (rate.successes, rate.total):
        return found, ""
    stored = f"stored {rate.successes} of {rate.total}"
    return found, f"{stored}, recomputed {found[0]} of {found[1]} from the ledger {rule.ledger!r}"


_ABSENT = "the ledger is not at hand"


def _agreed(count: int) -> list[Check]:
    return [Check("rates", True, f"{count} recomputed from their per-image ledgers, all agree")] if count else []


def _left(why: str, names: list[str]) -> list[Check]:
    """Return a line on what was not recomputed, by name of the rate where there are many."""
    if not names:
        return []
    listed = names if len(names) <= 3 else [f"{rate} ({count} findings)" for rate, count in _by_rate(names).items()]
    return [Check("rates", None, f"{len(names)} not recomputable ({why}): {'; '.join(listed)}")]


def _by_rate(names: list[str]) -> Counter[str]:
    return Counter(name.rpartition(": ")[2] for name in names)


def artefacts_of(finding: Finding) -> list[Artefact]:
    """Return every artefact that a finding refers to: ledgers, pictures and the rest."""
    pictures = [picture.artefact for gallery in finding.galleries for row in gallery.rows for picture in row]
    return [*finding.ledgers.values(), *finding.artefacts.values(), *pictures]


def as_json(checks: list[Check]) -> str:
    """Return the checks as JSON, for machines."""
    return json.dumps([{"check": c.name, "ok": c.ok, "detail": c.detail} for c in checks], indent=1)
