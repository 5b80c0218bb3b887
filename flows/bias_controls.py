"""What becomes of an audit whose own bias controls failed: its gate does not pass, whatever the plan asks for."""

from collections.abc import Sequence

from wolfhound.evidence import Criterion, Finding

CONTROL_FAILED = "bias-control-failed"


def failed_control_criteria(findings: Sequence[Finding]) -> tuple[Criterion, ...]:
    """Return one further criterion where a control failed, none otherwise.

    Findings in doubt are inconclusive, so the criterion cannot be met; without it an audit whose plan sets no criterion
    for bias would pass although its probes are not to be trusted.
    """
    if not any(doubt.code == CONTROL_FAILED for finding in findings for doubt in finding.doubts):
        return ()
    return (
        Criterion(
            id=CONTROL_FAILED,
            text="The audit's own bias controls: planted shortcut caught, balanced classifier passed",
            rate="bias.flip_rate_other_background",
            subjects="*",
            comparator="at least",
            threshold=0.0,
            fixed_on="part of every audit",
        ),
    )
