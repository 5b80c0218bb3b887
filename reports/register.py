"""The findings register: one row for each judgement, the worst first, and every finding that nothing judges."""

from dataclasses import dataclass
from itertools import takewhile

from reports.sections import section_of
from reports.verdict_page import rank
from reports.wording import stated
from wolfhound.errors import EvidenceError
from wolfhound.evidence import Criterion, Evidence, Finding, Judgement
from wolfhound.statistics import Rate
from wolfhound.verdicts import SEVERITIES, residual_risk


@dataclass(frozen=True)
class Entry:
    """One row. `number` runs through the register; `section` is the anchor of the section with the details.

    `residual_risk` follows from verdict and severity; `owner` is whom the plan names as responsible, or "not stated".
    """

    number: int
    judgement: Judgement
    criterion: Criterion
    finding: Finding | None
    section: str
    residual_risk: str
    owner: str


def register(evidence: Evidence) -> tuple[Entry, ...]:
    """Return the judgements by severity, verdict and then the plan's order.

    Raises:
        EvidenceError: a judgement names a criterion or a finding that the evidence doesn't hold.
    """
    criteria = {criterion.id: criterion for criterion in evidence.criteria}
    ordered = sorted(evidence.judgements, key=lambda j: (SEVERITIES.index(j.severity), rank(j)))
    entries = []
    for number, judgement in enumerate(ordered, start=1):
        if judgement.criterion not in criteria:
            raise EvidenceError(f"expected the criterion {judgement.criterion!r} in the evidence, found none")
        finding = evidence.finding(judgement.finding) if judgement.finding is not None else None
        section = section_of(finding.kind) if finding is not None else "scope"
        risk = residual_risk(judgement.verdict, judgement.severity)
        owner = stated(evidence.responsible)
        entries.append(Entry(number, judgement, criteria[judgement.criterion], finding, section, risk, owner))
    return tuple(entries)


def unjudged(evidence: Evidence) -> tuple[Finding, ...]:
    """Return the findings for which the plan set no criterion, in the plan's order."""
    judged = {judgement.finding for judgement in evidence.judgements}
    return tuple(finding for finding in evidence.findings if finding.id not in judged)


@dataclass(frozen=True)
class ControlCheck:
    """A control of a finding beside the strongest of its results, and whether their intervals are apart."""

    finding: Finding
    control: str
    control_rate: Rate
    result: str
    result_rate: Rate
    standing: str


def control_checks(evidence: Evidence) -> tuple[ControlCheck, ...]:
    """Return every control beside the result that it controls.

    Raises:
        EvidenceError: a finding names a control that is not among its rates.
    """
    return tuple(
        check
        for finding in evidence.findings
        for name in finding.controls
        if (check := _check(finding, name)) is not None
    )


def _check(finding: Finding, name: str) -> ControlCheck | None:
    if name not in finding.rates:
        raise EvidenceError(f"finding {finding.id}: expected the control {name!r} among its rates, found none")
    control = finding.rates[name]
    result = _controlled(finding, name)
    if result is None:
        return None
    rate = finding.rates[result]
    return ControlCheck(finding, name, control, result, rate, _standing(rate, control))


def _controlled(finding: Finding, control: str) -> str | None:
    """Return the result that a control belongs to: of its denominator, named most alike, the worst or else the first.

    So "flip_rate_placebo" stands beside "flip_rate_other_background", and "noise_control" beside "fooling_rate".
    """
    denominator = finding.rates[control].denominator
    results = [name for name in finding.rates if name not in finding.controls]
    same = [name for name in results if finding.rates[name].denominator == denominator] or results
    alike = max((_likeness(name, control) for name in same), default=0)
    nearest = [name for name in same if _likeness(name, control) == alike]
    return next((name for name in nearest if name.startswith("worst_")), nearest[0] if nearest else None)


def _likeness(first: str, second: str) -> int:
    """Return how many signs two names have in common from the start."""
    pairs = zip(first, second, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _standing(result: Rate, control: Rate) -> str:
    if not (result.measured and control.measured):
        return "not measured"
    if result.interval().low > control.interval().high:
        return "above the control"
    return "below the control" if result.interval().high < control.interval().low else "not told apart from the control"
