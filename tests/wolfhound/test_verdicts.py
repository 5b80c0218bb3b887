"""Facts about verdicts: the interval decides, doubts forbid green, and missing is not passed."""

from dataclasses import replace
from itertools import product

import pytest

from wolfhound.evidence import Criterion, Doubt, Finding, Quantity, Subject, Verdict
from wolfhound.statistics import Interval, Rate
from wolfhound.verdicts import (
    compare,
    excess,
    exit_code,
    judge_all,
    judge_criterion,
    overall,
    residual_risk,
    transfers_to,
)

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


@pytest.mark.parametrize(
    ("low", "high", "verdict", "severity"),
    [(0.0, 0.2, "met", "info"), (0.2, 0.4, "inconclusive", "medium"), (0.4, 0.6, "not met", "high")],
)
def test_a_gap_is_judged_by_its_own_interval(low: float, high: float, verdict: Verdict, severity: str) -> None:
    gap = Quantity((low + high) / 2, "share of images", "gap", Interval(low, high, 0.95, "newcombe"))
    criterion = replace(AT_MOST, rate="universal.gap")
    (row,) = judge_criterion(criterion, [replace(finding(0, 10), quantities={"gap": gap})])
    assert (row.verdict, row.severity, row.observed, row.quantity) == (verdict, severity, None, gap)
    assert row.reason.startswith(f"{100 * gap.value:.1f} points [{100 * low:.1f}, {100 * high:.1f}] (newcombe): ")
    assert "at most 30 points" in row.reason
    assert excess(row, criterion) == pytest.approx(gap.value - 0.3)
    doubted = replace(finding(0, 10), quantities={"gap": gap}, doubts=(Doubt("randomised", "d"),))
    assert [one.verdict for one in judge_criterion(criterion, [doubted])] == ["inconclusive"]


def test_a_quantity_without_an_interval_or_of_another_unit_is_not_tested() -> None:
    for quantity in (Quantity(0.1, "share of images", "g"), Quantity(2, "logits", "g", Interval(1, 3))):
        row = judge_criterion(
            replace(AT_MOST, rate="universal.gap"), [replace(finding(0, 9), quantities={"gap": quantity})]
        )
        assert [one.verdict for one in row] == ["not tested"]


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


def transferred(target: str, successes: int, *, noise: int = 20, source: str = "net", entry: str = "a") -> Finding:
    rates = {f"from {source}": Rate(successes, 1000, "images"), "noise_control": Rate(noise, 1000, "images")}
    return replace(
        finding(0, 1000),
        id=f"transfer/{entry}/{target}",
        kind="transfer",
        subject=target,
        knowledge="transfer",
        rates=rates,
    )


def subject(name: str, architecture: str) -> Subject:
    return Subject(name, architecture, "p", "0" * 64, 1, (8, 8), 2, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def test_a_rate_is_held_against_its_own_controls_and_not_those_of_another_measure() -> None:
    """Of 16 objects some background of many changes three; another intervention has a stronger placebo."""
    weak = finding(200, 1000, noise=20)
    crossed = {**weak.rates, "some_change": Rate(3, 16, "objects")}
    found = replace(weak, rates=crossed, controls=("noise_control", "some_change"))
    assert judge_criterion(AT_MOST, [found])[0].severity == "low"
    placebos = {"tint": Rate(200, 1000, "images"), "tint_placebo": Rate(20, 1000, "images"),
                "tiles_placebo": Rate(300, 1000, "images")}  # fmt: skip
    named = replace(weak, rates=placebos, controls=("tint_placebo", "tiles_placebo"))
    assert judge_criterion(replace(AT_MOST, rate="universal.tint"), [named])[0].severity == "low"


def severity_with(*others: Finding, own: Finding | None = None, architectures: dict[str, str] | None = None) -> str:
    names = architectures or {}
    subjects = [subject(name, names.get(name, name)) for name in ("net", "other", "third")]
    return judge_all([AT_MOST], [own or finding(20, 1000, noise=20), *others], subjects)[0].severity


def test_a_perturbation_that_works_on_two_other_architectures_is_high_though_its_criterion_is_met() -> None:
    both = (transferred("other", 200), transferred("third", 90))
    row = judge_all([AT_MOST], [finding(20, 1000, noise=20), *both], [])[0]
    assert (row.verdict, row.severity) == ("met", "high")
    assert "transfers to 2 other architectures" in row.reason
    assert severity_with(*both) == "high"


def test_one_other_architecture_is_not_enough() -> None:
    assert severity_with(transferred("other", 900)) == "info"
    same = {"other": "resnet", "third": "resnet"}
    assert severity_with(transferred("other", 900), transferred("third", 900), architectures=same) == "info"
    own = {"net": "resnet", "other": "resnet"}
    assert severity_with(transferred("other", 900), transferred("third", 900), architectures=own) == "info"


@pytest.mark.parametrize(
    "second",
    [
        transferred("third", 30),
        replace(transferred("third", 900), doubts=(Doubt("randomised", "two clean passes differ"),)),
        transferred("third", 900, source="elsewhere"),
        transferred("third", 900, entry="b"),
        transferred("third", 900, noise=900),
    ],
    ids=["interval meets the noise's", "in doubt", "from another source", "of another attack", "noise does the same"],
)
def test_what_does_not_show_a_transfer_of_this_perturbation_is_not_counted(second: Finding) -> None:
    assert severity_with(transferred("other", 900), second) == "info"


def test_a_perturbation_crafted_on_several_networks_is_followed_by_its_sources_name() -> None:
    own = replace(finding(20, 1000), id="universal/a/both/net")
    others = [transferred("other", 900, source="both"), transferred("third", 900, source="both")]
    assert transfers_to(own, [own, *others], {}) == ("other", "third")
    assert transfers_to(finding(20, 1000), [own, *others], {}) == ()


def test_transfer_never_lowers_a_severity() -> None:
    both = (transferred("other", 900), transferred("third", 900))
    black_box = finding(900, 1000, knowledge="black-box score")
    assert severity_with(*both, own=black_box) == "critical"
    assert severity_with(*both, own=finding(300, 1000)) == "high"


def test_residual_risk_is_low_only_where_a_criterion_is_met_and_nothing_speaks_against_it() -> None:
    verdicts: list[Verdict] = ["not met", "inconclusive", "not tested", "met"]
    low = [
        (verdict, severity)
        for verdict, severity in product(verdicts, ("critical", "high", "medium", "low", "info"))
        if residual_risk(verdict, severity).startswith("low")  # type: ignore[arg-type]
    ]
    assert low == [("met", "info")]
    assert residual_risk("not met", "critical").startswith("very high")
    assert residual_risk("met", "high").startswith("high")
    assert all("unknown" in residual_risk(verdict, "info") for verdict in ("inconclusive", "not tested"))
