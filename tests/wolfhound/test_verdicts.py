"""Facts about verdicts: the interval decides, doubts forbid green, and missing is not passed."""

from dataclasses import replace
from itertools import product

import pytest

from wolfhound.evidence import Criterion, Doubt, Finding, Verdict
from wolfhound.statistics import Rate
from wolfhound.verdicts import compare, exit_code, judge_criterion, overall

AT_MOST = Criterion("c", "text", "universal.fooling_rate", "*", "at most", 0.3, "2026-01-01")
AT_LEAST = replace(AT_MOST, comparator="at least")


def finding(
    successes: int, total: int, *, knowledge: str = "white-box", noise: int = 0, subject: str = "net"
) -> Finding:
    return Finding(
        id=f"universal/a/{subject}",
        kind="universal",
        subject=subject,
        title="t",
        claim="c",
        knowledge=knowledge,
        conditions={},
        rates={"fooling_rate": Rate(successes, total, "images"), "noise_control": Rate(noise, max(total, 1), "images")},
        controls=("noise_control",),
        reproduce="wolfhound demo",
    )


@pytest.mark.parametrize(
    ("successes", "at_most", "at_least"),
    [(100, "met", "not met"), (300, "inconclusive", "inconclusive"), (600, "not met", "met")],
)
def test_the_whole_interval_decides(successes: int, at_most: Verdict, at_least: Verdict) -> None:
    assert compare(Rate(successes, 1000, "images"), AT_MOST) == at_most
    assert compare(Rate(successes, 1000, "images"), AT_LEAST) == at_least


def test_few_images_are_inconclusive_however_good_they_look() -> None:
    assert compare(Rate(0, 3, "images"), AT_MOST) == "inconclusive"


def test_a_rate_that_was_not_measured_is_not_tested() -> None:
    assert compare(Rate(0, 0, "images"), AT_MOST) == "not tested"


def test_a_criterion_without_a_finding_is_not_tested_and_not_passed() -> None:
    rows = judge_criterion(replace(AT_MOST, subjects="other*"), [finding(0, 1000)])
    assert [row.verdict for row in rows] == ["not tested"]
    assert exit_code(overall(rows)) == 3


@pytest.mark.parametrize("successes", [0, 1000])
def test_a_finding_in_doubt_is_inconclusive_whatever_it_shows(successes: int) -> None:
    doubted = replace(finding(successes, 1000), doubts=(Doubt("randomised", "two clean passes differ"),))
    (row,) = judge_criterion(AT_MOST, [doubted])
    assert row.verdict == "inconclusive"
    assert "randomised" in row.reason


def test_severity_is_impact_times_access() -> None:
    def severity(*arguments: int, **options: object) -> str:
        (row,) = judge_criterion(AT_MOST, [finding(*arguments, **options)])  # type: ignore[arg-type]
        return row.severity

    assert severity(900, 1000, knowledge="transfer") == "critical"
    assert severity(900, 1000, knowledge="black-box label") == "critical"
    assert severity(900, 1000) == "high"
    assert severity(300, 1000) == "medium"
    assert severity(200, 1000, noise=20) == "low"
    assert severity(20, 1000, noise=20) == "info"


def test_subjects_are_chosen_by_pattern() -> None:
    rows = judge_criterion(
        replace(AT_MOST, subjects="vgg*"), [finding(0, 1000, subject=name) for name in ("vgg16", "vgg19", "resnet")]
    )
    assert [row.finding for row in rows] == ["universal/a/vgg16", "universal/a/vgg19"]


def test_the_worst_judgement_is_the_audits() -> None:
    order: list[Verdict] = ["not met", "inconclusive", "not tested", "met"]
    rows = {verdict: replace(judge_criterion(AT_MOST, [finding(0, 1000)])[0], verdict=verdict) for verdict in order}
    for first, second in product(order, order):
        assert overall([rows[first], rows[second]]) == min(first, second, key=order.index)
    assert overall([]) == "not tested"
    assert [exit_code(verdict) for verdict in order] == [1, 3, 3, 0]
