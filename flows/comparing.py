"""Comparisons in the terminal, and the earlier run that a plan names."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from wolfhound.approval import APPROVED, Approval, approved_run
from wolfhound.comparing import compare_runs
from wolfhound.comparison import CHANGES, Comparison, RateChange, dump_comparison
from wolfhound.errors import PlanError
from wolfhound.finished import COMPARISON_NAME, FinishedRun, read_finished, read_unsealed

if TYPE_CHECKING:
    from flows.audit_job import AuditJob

APPROVED_RUN = "approved"
_MARKS = {"worse": "x", "better": "+", "no evidence of change": "=", "not comparable": "-"}


def earlier_run(wanted: str, *, folder: Path, root: Path, audit: str) -> tuple[FinishedRun, Approval | None]:
    """Return the run that a plan's `compare_with` names, verified, and the approval if it is the approved one.

    `wanted` is "approved" (in approved.json beside the run folder `root`), or a run folder relative to the plan's
    `folder`.

    Raises:
        PlanError: there is none, or it is the very folder that the audit writes into.
        EvidenceError, VerificationError: it isn't finished, or doesn't verify.
    """
    if wanted == APPROVED_RUN:
        run, approval = approved_run(root.parent / APPROVED, audit)
    else:
        run, approval = read_finished(folder / wanted), None
    if run.store.root.resolve() == root.resolve():
        raise PlanError(
            f"expected another run folder than the one to compare with, got {root} for both (give --output FOLDER)"
        )
    return run, approval


def earlier_of(job: "AuditJob") -> tuple[FinishedRun, Approval | None] | None:
    """Return the run that the job's plan names to compare with, verified; None where it names none.

    Raises:
        PlanError, EvidenceError, VerificationError: as `earlier_run`.
    """
    wanted = job.plan.compare_with
    return None if wanted is None else earlier_run(wanted, folder=job.folder, root=job.root, audit=job.plan.name)


def record_comparison(job: "AuditJob") -> None:
    """Write what changed since the earlier run into the run folder, beside the evidence that was just written.

    Raises:
        PlanError, EvidenceError, VerificationError: as `earlier_run`.
    """
    earlier = earlier_of(job)
    if earlier is None:
        (job.root / COMPARISON_NAME).unlink(missing_ok=True)  # of an earlier plan in the same folder
        return
    before, approval = earlier
    comparison = compare_runs(before, replace(read_unsealed(job.root), seal=""))
    if approval is not None:
        comparison = replace(comparison, approved_by=approval.approved_by, approved_on=approval.approved_on)
    job.store.write(COMPARISON_NAME, dump_comparison(comparison))


def comparison_lines(comparison: Comparison) -> list[str]:
    """Return the comparison as a table for the terminal, the worst first."""
    before, after = comparison.before, comparison.after
    rows = [row for change in CHANGES for row in comparison.of(change)]
    counted = ", ".join(f"{len(comparison.of(change))} {change}" for change in CHANGES)
    return [
        f"before  {before.audit}, finished {before.finished}, seal {before.seal or 'none'}",
        f"after   {after.audit}, finished {after.finished}, seal {after.seal or 'none'}",
        "",
        *(f"  {subject.name}: {subject.text}" for subject in comparison.subjects),
        "",
        *(line for row in rows for line in _lines(row)),
        "",
        f"{counted}. {comparison.tests} exact McNemar tests, adjusted by Holm.",
        "No evidence of change is no evidence that nothing changed.",
    ]


def _lines(row: RateChange) -> list[str]:
    tested = "" if row.p_adjusted is None else f"  p {row.p:.3g}, adjusted {row.p_adjusted:.3g}"
    rates = "" if row.before is None or row.after is None else f"  {row.before.text} -> {row.after.text}"
    return [
        f"  {_MARKS[row.change]} {row.change:22} {row.finding}  {row.rate}{rates}{tested}",
        f"      {row.reason}",
        *(f"      said: {text}" for text in row.said),
    ]
