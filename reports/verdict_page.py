"""What the first page says: the verdict, each criterion with its worst observation, and the worst finding."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from wolfhound.evidence import Criterion, Evidence, Finding, Judgement, Severity, Verdict
from wolfhound.statistics import Rate
from wolfhound.verdicts import SEVERITIES, excess, overall

VERDICTS: tuple[Verdict, ...] = ("not met", "inconclusive", "not tested", "met")
CRITERIA_SHOWN = 7
SUBJECTS_SHOWN = 6
_FEW_CRITERIA = 5

_HEADLINES: dict[Verdict, str] = {
    "met": "Every criterion of the plan was met under the conditions tested. "
    "A failed attack is not a proof of robustness.",
    "not met": "At least one criterion of the plan was not met.",
    "inconclusive": "No criterion was broken, but at least one could not be decided.",
    "not tested": "At least one criterion was not tested. Missing is not passed.",
}


@dataclass(frozen=True)
class CriterionSummary:
    """A criterion with the worst of its judgements; `judged` counts all of them by verdict."""

    criterion: Criterion
    worst: Judgement
    subject: str
    verdict: Verdict
    severity: Severity
    judged: tuple[tuple[Verdict, int], ...]

    @property
    def observed(self) -> Rate | None:
        """The rate of the worst judgement; None where nothing was tested."""
        return self.worst.observed


@dataclass(frozen=True)
class VerdictPage:
    """Everything that the first page prints beside the subjects."""

    verdict: Verdict
    headline: str
    judged: tuple[tuple[Verdict, int], ...]
    criteria: tuple[CriterionSummary, ...]
    unlisted: tuple[CriterionSummary, ...]
    worst: Judgement | None
    worst_finding: Finding | None


def subjects_shown(criteria: int) -> int:
    """Return how many classifiers the first page lists beside that many criteria: each further one costs two of them.

    >>> subjects_shown(5), subjects_shown(6), subjects_shown(7), subjects_shown(20)
    (6, 4, 2, 2)
    """
    return max(2, SUBJECTS_SHOWN - 2 * max(0, criteria - _FEW_CRITERIA))


def verdict_page(evidence: Evidence) -> VerdictPage:
    """Return the first page's content: the worst criteria first, and counts of those that find no place."""
    verdict = overall(evidence.judgements)
    headline = _HEADLINES[verdict]
    if not evidence.judgements:
        headline = "The plan sets no criterion, so nothing was judged. Missing is not passed."
    summaries = _in_order([summary for c in evidence.criteria if (summary := _summary(c, evidence)) is not None])
    worst = worst_judgement(evidence)
    return VerdictPage(
        verdict=verdict,
        headline=headline,
        judged=tally(evidence.judgements),
        criteria=tuple(summaries[:CRITERIA_SHOWN]),
        unlisted=tuple(summaries[CRITERIA_SHOWN:]),
        worst=worst,
        worst_finding=evidence.finding(worst.finding) if worst is not None and worst.finding is not None else None,
    )


def _in_order(summaries: Sequence[CriterionSummary]) -> list[CriterionSummary]:
    # The plan's order reads best; only where there is no room for all do the worst come first.
    if len(summaries) <= CRITERIA_SHOWN:
        return list(summaries)
    return sorted(summaries, key=lambda summary: rank(summary.worst))


def _summary(criterion: Criterion, evidence: Evidence) -> CriterionSummary | None:
    judgements = [judgement for judgement in evidence.judgements if judgement.criterion == criterion.id]
    if not judgements:
        judgements = [Judgement(criterion.id, "not tested", "the audit holds no judgement on this criterion")]
    worst = min(judgements, key=lambda judgement: (*rank(judgement), -excess(judgement, criterion)))
    subject = evidence.finding(worst.finding).subject if worst.finding is not None else ""
    return CriterionSummary(criterion, worst, subject, worst.verdict, worst.severity, tally(judgements))


def rank(judgement: Judgement) -> tuple[int, int]:
    """Return the place of a judgement in a register that begins with the worst: by verdict, then severity."""
    return VERDICTS.index(judgement.verdict), SEVERITIES.index(judgement.severity)


def worst_judgement(evidence: Evidence) -> Judgement | None:
    """Return the judgement of the highest severity, and among those the one furthest beyond its threshold.

    None where nothing was found that speaks against the subjects: every judgement is met or none was made.
    """
    criteria = {criterion.id: criterion for criterion in evidence.criteria}
    bad = [judgement for judgement in evidence.judgements if judgement.verdict in ("not met", "inconclusive")]

    def place(judgement: Judgement) -> tuple[int, int, float]:
        criterion = criteria.get(judgement.criterion)
        beyond = 0.0 if criterion is None else excess(judgement, criterion)
        return SEVERITIES.index(judgement.severity), VERDICTS.index(judgement.verdict), -beyond

    return min(bad, key=place, default=None)


def tally(judgements: Sequence[Judgement]) -> tuple[tuple[Verdict, int], ...]:
    """Return how many judgements there are of each verdict, the worst first, without the verdicts that none has."""
    counts = Counter(judgement.verdict for judgement in judgements)
    return tuple((verdict, counts[verdict]) for verdict in VERDICTS if counts[verdict])
