"""How far a run's evidence reaches for each clause of the crosswalk, and the way back from section to clauses."""

from dataclasses import dataclass
from datetime import date

from reports.data_files import Clause, Crosswalk, Framework, Standing
from wolfhound.evidence import Evidence

_ATTACKS = ("universal", "transfer", "targeted")


@dataclass(frozen=True)
class Mapped:
    """A clause with how far the evidence reaches and what is missing for more."""

    framework: Framework
    clause: Clause
    standing: Standing
    missing: tuple[str, ...]


def present(evidence: Evidence) -> frozenset[str]:
    """Return what a run holds, in the words of the crosswalk's `needs`."""
    kinds = {finding.kind for finding in evidence.findings}
    holds = {
        "attack": any(kind in kinds for kind in _ATTACKS),
        "criteria": bool(evidence.criteria),
        "dated_criteria": bool(evidence.criteria) and all(_is_date(c.fixed_on) for c in evidence.criteria),
        "images": bool(evidence.images),
        "subjects": bool(evidence.subjects),
        "limitations": bool(evidence.limitations),
        "not_tested": bool(evidence.not_tested),
        "ledgers": any(finding.ledgers for finding in evidence.findings),
        "controls": any(finding.controls for finding in evidence.findings),
    }
    return frozenset(kinds) | {name for name, held in holds.items() if held}


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def map_clauses(crosswalk: Crosswalk, evidence: Evidence) -> tuple[Mapped, ...]:
    """Return every clause with its standing.

    Absent: nothing that the clause needs is there. Partial: some of it, or all of it while the clause asks for more
    than tests can give. Sufficient: all of it. A finding in doubt is not evidence enough for more than partial.
    """
    held = present(evidence)
    doubted: frozenset[str] = frozenset(finding.kind for finding in evidence.findings if finding.doubts)
    return tuple(
        Mapped(framework, clause, _standing(clause, held, doubted), tuple(n for n in clause.needs if n not in held))
        for framework in crosswalk.frameworks
        for clause in framework.clauses
    )


def _standing(clause: Clause, held: frozenset[str], doubted: frozenset[str]) -> Standing:
    if not any(need in held for need in clause.needs):
        return "absent"
    complete = all(need in held and need not in doubted for need in clause.needs)
    return clause.ceiling if complete else "partial"


def clauses_by_section(crosswalk: Crosswalk) -> dict[str, list[str]]:
    """Return for each section's anchor the clauses that it is evidence for, with the name of their framework."""
    found: dict[str, list[str]] = {}
    for framework in crosswalk.frameworks:
        for clause in framework.clauses:
            for section in clause.sections:
                found.setdefault(section, []).append(f"{framework.name} {clause.clause}")
    return found
