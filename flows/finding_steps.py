"""Findings as step values, and back."""

from pydantic import TypeAdapter

from flows.steps import StepValue, pack
from wolfhound.evidence import Finding, Subject
from wolfhound.verification import artefacts_of

_FINDING, _SUBJECT = TypeAdapter(Finding), TypeAdapter(Subject)


def packed_finding(finding: Finding, *, subject: Subject | None = None, **more: object) -> StepValue:
    """Return a finding as a JSON value that names every artefact of its.

    Its subject, where that is no classifier of the plan, and `more` are kept beside it.
    """
    given = {} if subject is None else {"subject": _SUBJECT.dump_python(subject, mode="json")}
    return {
        "finding": _FINDING.dump_python(finding, mode="json"),
        "artefacts": [pack(artefact) for artefact in artefacts_of(finding)],
        **given,
        **more,
    }


def finding_of(value: StepValue) -> Finding:
    """Return the finding that a step recorded."""
    return _FINDING.validate_python(value["finding"])


def subject_of(value: StepValue) -> Subject | None:
    """Return the subject that a step recorded beside its finding; None where there is none."""
    return _SUBJECT.validate_python(value["subject"]) if value.get("subject") else None
