"""From the plan's `report` section to the stored document that a report is rendered with: files read once, checked."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from flows.audit_job import AuditJob
from reports.logo import checked_logo
from reports.own_crosswalk import own_clauses
from reports.presentation import NAME, PLAIN, Logo, OwnClauses, OwnText, Person, Presentation, dump_presentation
from wolfhound.errors import PlanError, fault_list
from wolfhound.plan import ReportSection
from wolfhound.plan_report import LogoSection, OwnCrosswalk, OwnSection, PersonSection
from wolfhound.store import sha256

MOST_BYTES = 2_000_000
MOST_SIGNS = 100_000
"""A chapter of that many signs fills about forty pages."""
_T = TypeVar("_T")


def presentation_of(section: ReportSection) -> Presentation:
    """Return the presentation that a plan asks for, every file of it read and checked.

    Raises:
        PlanError: a file is missing, too large, or holds what a report can't; names every fault.
    """
    faults: list[str] = []
    approver = None if section.approver is None else _person(section.approver)
    presentation = Presentation(
        language=section.language,
        logo=None if section.logo is None else _or_fault(faults, partial(_logo, section.logo)),
        reviewers=tuple(_person(person) for person in section.reviewers),
        approver=approver,
        sections=tuple(text for own in section.sections if (text := _or_fault(faults, partial(_text, own)))),
        crosswalk=None if section.crosswalk is None else _or_fault(faults, partial(_clauses, section.crosswalk)),
    )
    if faults:
        raise PlanError(fault_list(f"{len(faults)} fault(s) in the plan's report section:", faults))
    return presentation


def record_presentation(job: AuditJob) -> None:
    """Write what the plan says of its report into the run folder; nothing where it says nothing.

    Raises:
        PlanError: as `presentation_of`.
    """
    presentation = presentation_of(job.plan.report)
    if presentation == PLAIN:
        (job.root / NAME).unlink(missing_ok=True)  # of an earlier plan in the same folder
        return
    job.store.write(NAME, dump_presentation(presentation))


def _or_fault(faults: list[str], read: Callable[[], _T]) -> _T | None:
    try:
        return read()
    except PlanError as error:
        faults.append(str(error))
        return None


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise PlanError(f"expected a file at {path}, but it cannot be read: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise PlanError(f"{path.name}: expected at most {MOST_BYTES} bytes, got more")
    return data


def _logo(section: LogoSection) -> Logo:
    return checked_logo(_read(section.file), name=section.file.name, alt=section.alt)


def _clauses(section: OwnCrosswalk) -> OwnClauses:
    return own_clauses(_read(section.file), name=section.file.name)


def _person(person: PersonSection) -> Person:
    return Person(person.name, person.role)


def _text(section: OwnSection) -> OwnText:
    name = section.file.name
    data = _read(section.file)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PlanError(f"{name}: expected UTF-8 text, got byte {error.object[error.start]:#x}") from error
    if not text.strip() or len(text) > MOST_SIGNS:
        raise PlanError(f"{name}: expected 1 to {MOST_SIGNS} signs of text, got {len(text.strip())}")
    markup: Literal["markdown", "plain"] = "markdown" if section.file.suffix.lower() == ".md" else "plain"
    return OwnText(section.title, markup, text.replace("\r\n", "\n"), name, sha256(data))
