"""How far a run's evidence reaches for each clause of the crosswalk, and the way back from section to clauses."""

from dataclasses import dataclass, replace
from datetime import date
from typing import get_args

from reports.data_files import Clause, Crosswalk, Framework, Standing
from reports.presentation import OwnClauses
from wolfhound.evidence import Evidence, Kind

_ATTACKS = ("universal", "transfer", "robust", "targeted")
NEVER_HELD = frozenset({"formal", "poisoning", "confident_errors"})
"""What no audit of this kind holds: clauses that need it are printed as absent, not left out."""


@dataclass(frozen=True)
class Mapped:
    """A clause with how far the evidence reaches and what is missing for more."""

    framework: Framework
    clause: Clause
    standing: Standing
    missing: tuple[str, ...]


def present(evidence: Evidence, *, compared: bool = False, reviewed: bool = False) -> frozenset[str]:
    """Return what a run holds, in the words of the crosswalk's `needs`.

    `compared`: the report says what changed since an earlier audit. `reviewed`: it names reviewers.
    """
    kinds: frozenset[str] = frozenset(finding.kind for finding in evidence.findings)
    holds = _holds(evidence, kinds) | {"comparison": compared, "reviewers": reviewed}
    return kinds | {name for name, held in holds.items() if held}


def _holds(evidence: Evidence, kinds: frozenset[str]) -> dict[str, bool]:
    return {
        "attack": any(kind in kinds for kind in _ATTACKS),
        "black_box": any(finding.knowledge.startswith("black-box") for finding in evidence.findings),
        "criteria": bool(evidence.criteria),
        "dated_criteria": bool(evidence.criteria) and all(is_day(c.fixed_on) for c in evidence.criteria),
        "images": bool(evidence.images),
        "subjects": bool(evidence.subjects),
        "limitations": bool(evidence.limitations),
        "not_tested": bool(evidence.not_tested),
        "ledgers": any(finding.ledgers for finding in evidence.findings),
        "controls": any(finding.controls for finding in evidence.findings),
    }


def known_needs() -> frozenset[str]:
    """Return every word that a clause's `needs` may hold."""
    nothing = Evidence("", "", "", 0, (), (), (), (), (), (), (), (), ())
    return frozenset(get_args(Kind)) | _holds(nothing, frozenset()).keys() | {"comparison", "reviewers"} | NEVER_HELD


def is_day(text: str) -> bool:
    """Return whether a text is an ISO day such as 2026-01-31."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def map_clauses(
    crosswalk: Crosswalk, evidence: Evidence, *, compared: bool = False, reviewed: bool = False
) -> tuple[Mapped, ...]:
    """Return every clause with its standing; `compared` and `reviewed` as in `present`.

    Absent: nothing that the clause needs is there. Partial: some of it, or all of it while the clause asks for more
    than tests can give. Sufficient: all of it. A finding in doubt is not evidence enough for more than partial.
    """
    held = present(evidence, compared=compared, reviewed=reviewed)
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


_METHODS = {"clean": "statistical", "bias": "empirical, by intervention"}
_EMPIRICAL = ("table", "universal", "robust", "targeted", "natural")


def method_of(anchor: str) -> str:
    """Return which kind of method ISO/IEC TR 24029-1 would call a section's tests; empty where it tests nothing.

    Statistical: a measure on a set of images. Empirical: trials of inputs chosen to fail. None here is formal.

    >>> method_of("clean"), method_of("universal"), method_of("scope")
    ('statistical', 'empirical', '')
    """
    return _METHODS.get(anchor, "empirical" if anchor in _EMPIRICAL else "")


def with_own(crosswalk: Crosswalk, own: OwnClauses | None) -> Crosswalk:
    """Return the crosswalk with an organisation's own frameworks.

    One that has the name of ours takes its place whole, and is printed as theirs: no clause is ever of both.
    """
    if own is None:
        return crosswalk
    named = {framework.name: framework for framework in own.frameworks}
    kept = tuple(named.pop(framework.name, framework) for framework in crosswalk.frameworks)
    return replace(crosswalk, frameworks=(*kept, *named.values()))
