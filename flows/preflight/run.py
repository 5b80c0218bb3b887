"""All checks of a plan, once a process, and what follows from them."""

from flows.audit_job import AuditJob
from flows.opened import once
from flows.preflight.notice import Notice
from flows.preflight.registry import CHECKS
from flows.preflight.sample import inspect
from wolfhound.errors import PlanError, fault_list

_ORDER = {"error": 0, "warning": 1, "note": 2}

_FED_WRONGLY = frozenset(
    {
        "colour-order",
        "pixel-range",
        "double-normalisation",
        "missing-normalisation",
        "other-normalisation",
        "other-resolution",
        "image-range",
    }
)
_EXPLAINED_BY = {"label-order": _FED_WRONGLY, "near-chance": _FED_WRONGLY | {"label-order"}}
"""Faults that follow from others, which are then named alone."""


def notices(job: AuditJob) -> tuple[Notice, ...]:
    """Return what every check has to say, errors first. Opens images and networks; writes nothing.

    Raises:
        PlanError, DataError, ModelError: they cannot be opened.
    """
    found: tuple[Notice, ...] = once(job, ("preflight",), lambda: _found(job))
    return found


def _found(job: AuditJob) -> tuple[Notice, ...]:
    inspected = inspect(job)
    every = [notice for check in CHECKS for notice in check(inspected)]
    kept = [notice for notice in every if not _explained(notice, every)]
    return tuple(sorted(kept, key=lambda notice: _ORDER[notice.severity]))


def _explained(notice: Notice, every: list[Notice]) -> bool:
    causes = _EXPLAINED_BY.get(notice.code, frozenset())
    return any(other.code in causes and other.subject in (notice.subject, "images") for other in every)


def stop_at_errors(job: AuditJob) -> None:
    """Raise where a check found an error that the plan does not accept.

    Raises:
        PlanError: names every such error, and how to accept it where it is meant.
    """
    accepted = job.plan.preflight.accept
    faults = [notice.text for notice in notices(job) if notice.severity == "error" and notice.code not in accepted]
    if faults:
        headline = (
            f"{len(faults)} fault(s) found before the run, each of which makes its numbers wrong (docs/preflight.md; "
            "one that is meant is accepted in the plan: preflight: {accept: [CODE]}):"
        )
        raise PlanError(fault_list(headline, faults))


def limitations(job: AuditJob) -> tuple[str, ...]:
    """Return the sentences that the report prints: every warning, and every error that the plan accepts."""
    accepted = job.plan.preflight.accept
    return tuple(
        f"Seen before the run, {notice.subject}: {notice.seen}. "
        + ("The plan accepts it." if notice.code in accepted else f"Advised: {notice.change}.")
        for notice in notices(job)
        if notice.severity != "note"
    )
