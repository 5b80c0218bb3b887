"""The deployer's extract: what who puts a classifier to use has to know, on one page."""

from collections.abc import Sequence
from dataclasses import dataclass

from reports.verdict_page import CriterionSummary, verdict_page
from wolfhound.evidence import Evidence, Finding
from wolfhound.statistics import Rate

ACCURACIES, CRITERIA, UNTESTED = 8, 8, 6
"""Rows that leave the extract on one page; it says how many more there are."""


@dataclass(frozen=True)
class Extract:
    """The extract's content: rows that find no place are counted, never dropped in silence.

    Attributes:
        accuracies: classifier and accuracy without an attack.
        more_accuracies, more_criteria, more_untested: how many have no place.
        criteria: the worst first, with the worst of their judgements.
        untested: what no test of this audit speaks of.
    """

    accuracies: tuple[tuple[str, Rate], ...]
    more_accuracies: int
    criteria: tuple[CriterionSummary, ...]
    more_criteria: int
    untested: tuple[str, ...]
    more_untested: int


def deployer_extract(evidence: Evidence) -> Extract:
    """Return what the extract prints of an audit."""
    page = verdict_page(evidence)
    criteria = (*page.criteria, *page.unlisted)
    accuracies = _accuracies(evidence.findings)
    return Extract(
        accuracies=accuracies[:ACCURACIES],
        more_accuracies=max(0, len(accuracies) - ACCURACIES),
        criteria=criteria[:CRITERIA],
        more_criteria=max(0, len(criteria) - CRITERIA),
        untested=evidence.not_tested[:UNTESTED],
        more_untested=max(0, len(evidence.not_tested) - UNTESTED),
    )


def _accuracies(findings: Sequence[Finding]) -> tuple[tuple[str, Rate], ...]:
    clean = [finding for finding in findings if finding.kind == "clean" and "accuracy" in finding.rates]
    return tuple((finding.subject, finding.rates["accuracy"]) for finding in clean)
