"""Facts about comparisons: who is paired with whom, what is called a change, and what can't be compared."""

from dataclasses import replace
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wolfhound.audits import finding, ledger, measured, side
from wolfhound.comparison import compare_audits, direction, dump_comparison, load_comparison
from wolfhound.errors import EvidenceError
from wolfhound.evidence import Doubt


def closed_form(only_before: int, only_after: int) -> float:
    """Twice the lower tail of Binomial(n, 1/2), at most 1: the exact test of McNemar (1947) written out."""
    n, least = only_before + only_after, min(only_before, only_after)
    return min(1.0, 2 * sum(comb(n, k) for k in range(least + 1)) / 2**n)


@given(st.lists(st.sampled_from(["00", "01", "10", "11"]), min_size=1, max_size=60))
def test_the_paired_test_is_mcnemars_on_the_discordant_images(pairs: list[str]) -> None:
    row = compare_audits(measured("".join(p[0] for p in pairs)), measured("".join(p[1] for p in pairs))).changes[0]
    assert (row.only_before, row.only_after, row.pairs) == (pairs.count("10"), pairs.count("01"), len(pairs))
    assert row.p == pytest.approx(closed_form(pairs.count("10"), pairs.count("01")))


def test_more_fooled_images_are_worse_and_more_right_ones_better() -> None:
    assert compare_audits(measured("0" * 20), measured("1" * 20)).changes[0].change == "worse"
    assert compare_audits(measured("1" * 20), measured("0" * 20)).changes[0].change == "better"
    accuracy = {"rate": "accuracy", "identifier": "clean/net"}
    assert compare_audits(measured("0" * 20, **accuracy), measured("1" * 20, **accuracy)).changes[0].change == "better"


def test_equal_rates_on_other_images_are_no_evidence_of_change() -> None:
    """Ten fooled of twenty on either side, but not the same ten: the rates agree, and so does the test."""
    row = compare_audits(measured("1" * 10 + "0" * 10), measured("0" * 10 + "1" * 10)).changes[0]
    assert (row.change, row.p) == ("no evidence of change", 1.0)


def test_pairing_finds_what_overlapping_intervals_hide() -> None:
    before, after = measured("1" * 50 + "0" * 50), measured("1" * 60 + "0" * 40)
    row = compare_audits(before, after).changes[0]
    assert row.before is not None
    assert row.after is not None
    assert row.before.interval().high > row.after.interval().low
    assert row.change == "worse"


def test_holm_adjusts_over_every_test_of_the_comparison() -> None:
    """Six discordant images: p = 0.03125 alone, but not one of two tests."""
    assert compare_audits(measured("0" * 6), measured("1" * 6)).changes[0].change == "worse"
    findings = [finding({"fooling_rate": "0" * 6}, identifier=f"universal/{name}/net") for name in ("a", "b")]
    before = side(findings, {(found.id, "fooling_rate"): ledger("000000") for found in findings})
    after = side(
        [finding({"fooling_rate": "1" * 6}, identifier=found.id) for found in findings],
        {(found.id, "fooling_rate"): ledger("111111") for found in findings},
    )
    rows = compare_audits(before, after).changes
    assert [row.p_adjusted for row in rows] == [0.0625, 0.0625]
    assert {row.change for row in rows} == {"no evidence of change"}


def test_rates_of_a_condition_are_paired_on_the_images_that_both_count() -> None:
    row = compare_audits(measured("111100.."), measured("..001111")).changes[0]
    assert (row.pairs, row.only_before, row.only_after) == (4, 2, 2)
    assert "paired on the 4 images that both audits counted (6, 6)" in row.said


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"conditions": {"threat": "linf 4/255", "seed": "1"}}, "other threat: threat: linf 8/255 before, linf 4/255"),
        ({"conditions": {"threat": "linf 8/255", "settings": "9"}}, "other conditions: settings: not stated before, 9"),
        ({"knowledge": "transfer"}, "other threat: white-box before, transfer now"),
    ],
)
def test_another_threat_or_setting_is_not_comparable(facts: dict[str, object], reason: str) -> None:
    comparison = compare_audits(measured("0" * 20), measured("1" * 20, **facts))
    row = comparison.changes[0]
    assert row.change == "not comparable"
    assert row.reason.startswith(reason)
    assert row.p is None
    assert comparison.exit_code == 3


def test_another_seed_is_said_and_no_obstacle() -> None:
    after = measured("1" * 20, conditions={"threat": "linf 8/255", "seed": "2"}, seed=2)
    row = compare_audits(measured("0" * 20), after).changes[0]
    assert (row.change, row.said) == ("worse", ("seed: 1 before, 2 now",))


def test_a_doubt_of_either_side_is_said() -> None:
    after = measured("1" * 20, doubts=(Doubt("masked", "gradients vanish"),))
    assert compare_audits(measured("0" * 20), after).changes[0].said == ("the later finding is in doubt: masked",)


def test_other_images_labels_classes_and_rules_are_not_comparable() -> None:
    before = measured("0" * 20)
    key = ("universal/sgd/net", "fooling_rate")
    others = {
        "other images: 20 before, 21 now, 20 in common": ledger("1" * 21),
        "other labels: 1 of 20 images carry another label now": ledger("1" * 20, labels={"image-3": "1"}),
        "counted another way: clean != perturbed, of every row before, clean == 7 now": ledger(
            "1" * 20, rule="clean == 7"
        ),
        "there is no ledger": "there is no ledger",
        "no image that both audits counted": ledger("." * 20),
    }
    for reason, other in others.items():
        row = compare_audits(before, side(before.evidence.findings, {key: other})).changes[0]
        assert (row.change, row.reason) == ("not comparable", reason)
    renamed = side(before.evidence.findings, before.ledgers, classes=("husky", "wolf"))
    assert compare_audits(before, renamed).changes[0].reason == "other classes"


def test_what_only_one_audit_measured_is_listed() -> None:
    before, after = measured("01"), measured("01", identifier="universal/deepfool/net")
    rows = compare_audits(before, after).changes
    assert [(row.finding, row.reason) for row in rows] == [
        ("universal/sgd/net", "measured only in the earlier audit"),
        ("universal/deepfool/net", "measured only in the later audit"),
    ]


def test_other_weights_are_the_point_and_are_said() -> None:
    comparison = compare_audits(measured("01"), measured("01", weights="e" * 64))
    assert [subject.text for subject in comparison.subjects] == ["other weights"]
    assert comparison.changes[0].change == "no evidence of change"
    gone = replace(comparison.subjects[0], after_sha256="")
    assert gone.text == "only in the earlier audit"


def test_exit_codes_are_one_for_worse_and_three_for_nothing_compared() -> None:
    assert compare_audits(measured("0" * 20), measured("1" * 20)).exit_code == 1
    assert compare_audits(measured("1" * 20), measured("0" * 20)).exit_code == 0
    assert compare_audits(side([], {}), side([], {})).exit_code == 3


def test_no_direction_is_guessed_for_rates_that_nobody_described() -> None:
    assert direction("universal", "sparkle") is None
    row = compare_audits(measured("0" * 9, rate="sparkle"), measured("1" * 9, rate="sparkle")).changes[0]
    assert row.change == "not comparable"


@pytest.mark.parametrize(
    ("kind", "rate", "way"),
    [
        ("clean", "accuracy", "high"),
        ("clean", "trivial_baseline", None),
        ("universal", "targeted_success", "low"),
        ("targeted", "targeted_success_float", "low"),
        ("robust", "robust_accuracy_float", "high"),
        ("transfer", "worst_transfer_float", "low"),
        ("universal", "noise_control", "low"),
        ("transfer", "file published", "low"),
        ("robust", "robust_accuracy", "high"),
        ("robust", "accuracy_without_attack", "high"),
        ("natural", "worst_corruption", "high"),
        ("natural", "right_under_all", "high"),
        ("bias", "flip_rate_other_background", "low"),
        ("bias", "accuracy_other_background", "high"),
        ("inside", "pointing_game grad_cam", None),
    ],
)
def test_which_way_a_rate_is_better(kind: str, rate: str, way: str | None) -> None:
    assert direction(kind, rate) == way


def test_a_comparison_survives_as_json() -> None:
    comparison = compare_audits(measured("0" * 20), measured("1" * 20))
    assert load_comparison(dump_comparison(comparison)) == comparison
    with pytest.raises(EvidenceError, match="wolfhound-comparison/1"):
        load_comparison(b"{}")
