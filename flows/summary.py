"""The last lines of a run: every criterion with its worst observation, and where the report is."""

from pathlib import Path

from flows.audit import AuditResult
from wolfhound.evidence import Criterion, Evidence
from wolfhound.verdicts import excess, overall

_MARKS = {"met": "+", "not met": "x", "inconclusive": "?", "not tested": "-"}


def summary_lines(result: AuditResult, root: Path) -> list[str]:
    """Return what a person wants to read when the audit is done."""
    evidence = result.evidence
    verdict = overall(evidence.judgements)
    return [
        "",
        f"{evidence.name}: {verdict.upper()}  (exit code {result.exit_code})",
        *(_criterion_line(evidence, criterion) for criterion in evidence.criteria),
        "",
        f"report  {root / 'report.pdf'}",
        f"        {root / 'report.html'}",
        f"seal    {result.seal}",
        f"check   wolfhound verify {root}",
    ]


def _criterion_line(evidence: Evidence, criterion: Criterion) -> str:
    rows = [row for row in evidence.judgements if row.criterion == criterion.id]
    verdict = overall(rows)
    worst = [row for row in rows if row.verdict == verdict]
    shown = max(worst, key=lambda row: excess(row, criterion))
    observed = shown.observed.text if shown.observed else shown.reason
    where = f"{shown.finding}: " if shown.finding else ""
    count = f"{len(worst)} of {len(rows)}"
    return f"  {_MARKS[verdict]} {criterion.id:22} {verdict:13} {count:9} {where}{observed}"
