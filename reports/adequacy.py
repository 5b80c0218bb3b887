"""What speaks for and against the attacks themselves: how far they converged, what was checked and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from wolfhound.evidence import Evidence, Finding

BY_PASS = " by pass"


@dataclass(frozen=True)
class Convergence:
    """How a rate of a finding went from pass to pass of its attack, as shares of images.

    `gained` is what the last pass added, `best` the pass with the highest rate (the first of equals).
    """

    finding: Finding
    quantity: str
    passes: int
    first: float
    last: float
    gained: float
    best: int

    @property
    def standing(self) -> str:
        """Whether the curve still rises: then more passes might find more, and the rate is a lower bound."""
        if self.passes < 2:
            return "a single pass: nothing can be said"
        if self.gained > 0 and self.best == self.passes:
            return "still rising: more passes might find more"
        return "no longer rising in the last pass"


def convergences(findings: Sequence[Finding]) -> tuple[Convergence, ...]:
    """Return the curves by pass of all findings, in their order; empty ones are left out."""
    return tuple(
        _convergence(finding, name, points)
        for finding in findings
        for name, points in finding.series.items()
        if name.endswith(BY_PASS) and points
    )


def _convergence(finding: Finding, name: str, points: Sequence[tuple[float, float]]) -> Convergence:
    values = [value for _, value in points]
    return Convergence(
        finding=finding,
        quantity=name.removesuffix(BY_PASS),
        passes=len(points),
        first=values[0],
        last=values[-1],
        gained=values[-1] - values[-2] if len(values) > 1 else 0.0,
        best=values.index(max(values)) + 1,
    )


def unchecked(evidence: Evidence) -> tuple[Finding, ...]:
    """Return the findings on per-image attacks for which no check of the attack was run."""
    return tuple(finding for finding in evidence.findings if finding.kind == "robust" and not finding.checks)
