"""From findings and criteria to verdicts and severities: pure rules, the same for every audit."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from wolfhound.evidence import SHARE, Criterion, Finding, Judgement, Quantity, Severity, Subject, Verdict
from wolfhound.statistics import Interval, Rate

_ORDER: tuple[Verdict, ...] = ("not met", "inconclusive", "not tested", "met")
WIDESPREAD = 2
"""Architectures from which on a transfer is of high severity by itself."""

SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low", "info")


def compare(rate: Rate, criterion: Criterion) -> Verdict:
    """Return the verdict on one rate by its Wilson 95 % interval.

    Met: the whole interval keeps the threshold. Not met: the whole interval breaks it. Otherwise inconclusive: the
    images were too few to tell. A rate that was not measured is not tested.
    """
    return "not tested" if not rate.measured else compare_interval(rate.interval(), criterion)


def compare_interval(bounds: Interval, criterion: Criterion) -> Verdict:
    """Return the verdict on a share by its interval; see `compare`."""
    if criterion.comparator == "at most":
        kept, broken = bounds.high <= criterion.threshold, bounds.low > criterion.threshold
    else:
        kept, broken = bounds.low >= criterion.threshold, bounds.high < criterion.threshold
    return "met" if kept else "not met" if broken else "inconclusive"


def judge_all(
    criteria: Sequence[Criterion], findings: Sequence[Finding], subjects: Sequence[Subject]
) -> tuple[Judgement, ...]:
    """Return every judgement of an audit, in the order of its criteria.

    A judgement on a universal perturbation that transfers to two or more architectures (see `transfers_to`) is of high
    severity at the least, whatever its own criterion says: one stored file then threatens networks that nobody chose.
    """
    architectures = {subject.name: subject.architecture for subject in subjects}
    reached = {finding.id: transfers_to(finding, findings, architectures) for finding in findings}
    judged = [row for criterion in criteria for row in judge_criterion(criterion, findings)]
    return tuple(_raised(row, reached.get(row.finding or "", ())) for row in judged)


def _raised(row: Judgement, reached: tuple[str, ...]) -> Judgement:
    if len(reached) < WIDESPREAD or SEVERITIES.index(row.severity) <= SEVERITIES.index("high"):
        return row
    spread = f"the perturbation transfers to {len(reached)} other architectures, each above the noise control"
    return replace(row, severity="high", reason=f"{row.reason}; {spread}")


def transfers_to(finding: Finding, findings: Sequence[Finding], architectures: Mapping[str, str]) -> tuple[str, ...]:
    """Return the other architectures that a universal perturbation works on: whole interval above the noise control's.

    It is read from the transfer findings of the same plan entry, of their rates from this perturbation's source; those
    in doubt don't count. `architectures` by classifier; an unknown one counts by its name.
    """
    if finding.kind != "universal":
        return ()
    entry, source = _entry_and_source(finding)
    own = architectures.get(finding.subject, finding.subject)
    reached = {
        architectures.get(other.subject, other.subject)
        for other in findings
        if other.id == f"transfer/{entry}/{other.subject}" and not other.doubts and _above_noise(other, source)
    }
    return tuple(sorted(reached - {own}))


def _entry_and_source(finding: Finding) -> tuple[str, str]:
    """Return entry and source of "universal/ENTRY/NETWORK" or, crafted on several, "universal/ENTRY/SOURCE/NETWORK"."""
    entry, _, source = finding.id.removeprefix("universal/").partition("/")
    return entry, source if source == finding.subject else source.removesuffix(f"/{finding.subject}")


def _above_noise(finding: Finding, source: str) -> bool:
    rate, noise = finding.rates.get(f"from {source}"), finding.rates.get("noise_control")
    if rate is None or noise is None or not (rate.measured and noise.measured):
        return False
    return rate.interval().low > noise.interval().high


def judge_criterion(criterion: Criterion, findings: Sequence[Finding]) -> tuple[Judgement, ...]:
    """Return one judgement for each finding that the criterion speaks of, or a single "not tested" if there is none."""
    kind, _, name = criterion.rate.partition(".")
    speaks_of = [f for f in findings if f.kind == kind and fnmatchcase(f.subject, criterion.subjects)]
    shares = [(f, f.quantities[name]) for f in speaks_of if name not in f.rates and _is_share(f.quantities.get(name))]
    chosen = [finding for finding in speaks_of if name in finding.rates]
    if not chosen and not shares:
        reason = f"no finding measured {criterion.rate} on a subject matching {criterion.subjects!r}"
        return (Judgement(criterion.id, "not tested", reason),)
    return (
        *(_judge(criterion, finding, finding.rates[name]) for finding in chosen),
        *(_judge_share(criterion, finding, quantity) for finding, quantity in shares),
    )


def _is_share(quantity: Quantity | None) -> bool:
    return quantity is not None and quantity.unit == SHARE and quantity.interval is not None


def _judge_share(criterion: Criterion, finding: Finding, observed: Quantity) -> Judgement:
    """Return the judgement on a share that is no proportion (a gap between groups): its own interval decides."""
    bounds = observed.interval
    assert bounds is not None  # `_is_share`
    verdict = compare_interval(bounds, criterion)
    value = f"{100 * observed.value:.1f} points [{100 * bounds.low:.1f}, {100 * bounds.high:.1f}] ({bounds.method})"
    reason = f"{value}: {_reason(verdict, criterion, unit='points')}"
    if finding.doubts:
        codes = ", ".join(doubt.code for doubt in finding.doubts)
        verdict, reason = "inconclusive", f"{value}; the finding is in doubt: {codes}"
    # No rate, so no control of the same kind to be above: what is kept is for information.
    severities: dict[Verdict, Severity] = {"not met": "high", "inconclusive": "medium", "met": "info"}
    return Judgement(criterion.id, verdict, reason, severities[verdict], finding.id, quantity=observed)


def _judge(criterion: Criterion, finding: Finding, observed: Rate) -> Judgement:
    verdict = compare(observed, criterion)
    reason = _reason(verdict, criterion)
    if finding.doubts:
        codes = ", ".join(doubt.code for doubt in finding.doubts)
        verdict, reason = "inconclusive", f"the finding is in doubt: {codes}"
    severity = severity_of(finding, verdict, observed, criterion)
    return Judgement(criterion.id, verdict, reason, severity, finding.id, observed)


def _reason(verdict: Verdict, criterion: Criterion, *, unit: str = "%") -> str:
    limit = f"{criterion.comparator} {100 * criterion.threshold:g} {unit}"
    return {
        "met": f"the whole interval is {limit}",
        "not met": f"no part of the interval is {limit}",
        "inconclusive": f"the interval contains the threshold ({limit}): more images are needed to tell",
        "not tested": "nothing was measured",
    }[verdict]


def severity_of(finding: Finding, verdict: Verdict, observed: Rate, criterion: Criterion) -> Severity:
    """Return the severity of a judgement: impact times the access that an attacker needs.

    Critical: broken without access to the network (transfer, black-box). High: broken otherwise. Medium: the interval
    straddles the threshold, or the finding is in doubt. Low: kept, but above every control. Info: the rest.
    `judge_all` raises universal perturbations that transfer widely to high.
    """
    if verdict == "not met":
        return "critical" if finding.knowledge.startswith(("transfer", "black-box")) else "high"
    if verdict == "inconclusive":
        return "medium"
    controls = [rate for rate in _controls_of(finding, observed, criterion) if rate.measured]
    if verdict == "not tested" or criterion.comparator == "at least" or not controls:
        return "info"
    return "low" if observed.interval().low > max(control.interval().high for control in controls) else "info"


def _controls_of(finding: Finding, observed: Rate, criterion: Criterion) -> list[Rate]:
    """Return the controls that a rate is held against: its own placebo, else those of its denominator, else all.

    What some of many backgrounds do to few objects is no measure for what one of them does.
    """
    placebo = f"{criterion.rate.partition('.')[2]}_placebo"
    if placebo in finding.controls:
        return [finding.rates[placebo]]
    every = [finding.rates[name] for name in finding.controls]
    return [rate for rate in every if rate.denominator == observed.denominator] or every


def excess(judgement: Judgement, criterion: Criterion) -> float:
    """Return by how much what was observed breaks the threshold; negative where it keeps it, 0 where nothing was."""
    if judgement.quantity is not None:
        difference = judgement.quantity.value - criterion.threshold
    elif judgement.observed is None or not judgement.observed.measured:
        return 0.0
    else:
        difference = judgement.observed.share - criterion.threshold
    return difference if criterion.comparator == "at most" else -difference


def residual_risk(verdict: Verdict, severity: Severity) -> str:
    """Return what is left of the risk that a criterion speaks of, by one rule for every audit.

    The audit changes nothing in a network, so what it found is still there; what it could not tell is still unknown.

    >>> residual_risk("met", "info"), residual_risk("inconclusive", "medium")
    ('low under the tested conditions', 'unknown: to be treated as high')
    """
    if verdict in ("inconclusive", "not tested"):
        return "unknown: to be treated as high"
    if verdict == "not met":
        return "very high: open to anybody" if severity == "critical" else "high: the criterion is broken"
    if severity == "low":
        return "moderate: attacks do more than their controls"
    return "low under the tested conditions" if severity == "info" else "high: the perturbation works on other networks"


def overall(judgements: Sequence[Judgement]) -> Verdict:
    """Return the verdict of a whole audit: the worst of its judgements; "not tested" if there is none."""
    if not judgements:
        return "not tested"
    return min((judgement.verdict for judgement in judgements), key=_ORDER.index)


def exit_code(verdict: Verdict) -> int:
    """Return the process exit code of an audit that ran to its end: 0 met, 1 not met, 3 inconclusive or not tested."""
    return {"met": 0, "not met": 1, "inconclusive": 3, "not tested": 3}[verdict]
