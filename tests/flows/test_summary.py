"""The last lines of a run name the worst observation of each criterion, whatever kind of number it is."""

from pathlib import Path

from flows.audit import AuditResult
from flows.summary import summary_lines
from wolfhound.evidence import Criterion, Evidence, Finding, Quantity
from wolfhound.statistics import Interval
from wolfhound.verdicts import judge_all


def gap(subject: str, value: float) -> Finding:
    return Finding(
        id=f"bias/by-class/{subject}",
        kind="bias",
        subject=subject,
        title="t",
        claim="c",
        knowledge="none",
        conditions={},
        rates={},
        reproduce="wolfhound demo",
        quantities={"gap": Quantity(value, "share of images", "g", Interval(value - 0.1, value + 0.05, 0.95, "m"))},
    )


def test_the_widest_of_several_gaps_is_shown(tmp_path: Path) -> None:
    criterion = Criterion("even", "Groups alike", "bias.gap", "*", "at most", 0.1, "2026-01-01")
    findings = (gap("a", 0.3), gap("b", 0.6), gap("c", 0.4))
    judged = judge_all((criterion,), findings, ())
    evidence = Evidence("n", "p", "0" * 64, 0, (), (), (), findings, (criterion,), judged, (), (), ())
    (line,) = [line for line in summary_lines(AuditResult(evidence, 1, "0" * 64), tmp_path) if " even " in line]
    assert "3 of 3" in line
    assert "bias/by-class/b: 60.0 points [50.0, 65.0] (m): no part of the interval is at most 10 points" in line
