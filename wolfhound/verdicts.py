"""From findings and criteria to verdicts and severities: pure rules, the same for every audit."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from wolfhound.evidence import Criterion, Finding, Judgement, Severity, Verdict
from wolfhound.statistics import Rate

_ORDER: tuple[Verdict, ...] = ("not met", "inconclusive", "not tested", "met")
SEVERITIES: tuple[Severity, ...] = ("critical", "high", "medium", "low", "info")


def compare(rate: Rate, criterion: Criterion) -> Verdict:
    """Return the verdict on one rate by its Wilson 95 % interval.

    Met: the whole interval keeps the threshold. Not met: the whole interval breaks it. Otherwise inconclusive: the
    images were too few to tell. A rate that was not measured is not tested.
    """
    if not rate.measured:
        return "not tested"
    bounds = rate.interval()
    if criterion.comparator == "at most":
        kept, broken = bounds.high <= criterion.threshold, bounds.low > criterion.threshold
    else:
        kept, broken = bounds.low >= criterion.threshold, bounds.high < criterion.threshold
    return "met" if kept else "not met" if broken else "inconclusive"


def judge_criterion(criterion: Criterion, findings: Sequence[Finding]) -> tuple[Judgement, ...]:
    """Return one judgement for each finding that the criterion speaks of, or a single "not tested" if there is none."""
    kind, _, name = criterion.rate.partition(".")
    chosen = [f for f in findings if f.kind == kind and name in f.rates and fnmatchcase(f.subject, criterion.subjects)]
    if not chosen:
        reason = f"no finding measured {criterion.rate} on a subject matching {criterion.subjects!r}"
        return (Judgement(criterion.id, "not tested", reason),)
    return tuple(_judge(criterion, finding, finding.rates[name]) for finding in chosen)


def _judge(criterion: Criterion, finding: Finding, observed: Rate) -> Judgement:
    verdict = compare(observed, criterion)
    reason = _reason(verdict, criterion)
    if finding.doubts:
        codes = ", ".join(doubt.code for doubt in finding.doubts)
        verdict, reason = "inconclusive", f"the finding is in doubt: {codes}"
    severity = severity_of(finding, verdict, observed, criterion)
    return Judgement(criterion.id, verdict, reason, severity, finding.id, observed)


def _reason(verdict: Verdict, criterion: Criterion) -> str:
    limit = f"{criterion.comparator} {100 * criterion.threshold:g} %"
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
    """
    if verdict == "not met":
        return "critical" if finding.knowledge.startswith(("transfer", "black-box")) else "high"
    if verdict == "inconclusive":
        return "medium"
    controls = [finding.rates[name] for name in finding.controls if finding.rates[name].measured]
    if verdict == "not tested" or criterion.comparator == "at least" or not controls:
        return "info"
    return "low" if observed.interval().low > max(control.interval().high for control in controls) else "info"


def overall(judgements: Sequence[Judgement]) -> Verdict:
    """Return the verdict of a whole audit: the worst of its judgements; "not tested" if there is none."""
    if not judgements:
        return "not tested"
    return min((judgement.verdict for judgement in judgements), key=_ORDER.index)


def exit_code(verdict: Verdict) -> int:
    """Return the process exit code of an audit that ran to its end: 0 met, 1 not met, 3 inconclusive or not tested."""
    return {"met": 0, "not met": 1, "inconclusive": 3, "not tested": 3}[verdict]
