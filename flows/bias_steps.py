"""Findings of bias probes as step values, and back."""

from pydantic import TypeAdapter

from flows.steps import StepValue, pack
from wolfhound.evidence import Finding, Subject
from wolfhound.verification import artefacts_of

FINDING = TypeAdapter(Finding)
SUBJECT = TypeAdapter(Subject)


def packed_finding(finding: Finding, **more: object) -> StepValue:
    """Return a finding as a JSON value that names every artefact of its; `more` is kept beside it."""
    return {
        "finding": FINDING.dump_python(finding, mode="json"),
        "artefacts": [pack(artefact) for artefact in artefacts_of(finding)],
        **more,
    }
