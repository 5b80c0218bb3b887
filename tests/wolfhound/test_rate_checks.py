"""Facts about counting an audit's rates again: each difference is named, and what can't be counted is never agreed."""

from dataclasses import replace
from pathlib import Path

from tests.reports.sample import small_run
from wolfhound.counting import Counted, holds
from wolfhound.evidence import Evidence, Finding
from wolfhound.statistics import Rate
from wolfhound.store import EvidenceStore
from wolfhound.verification import Check, rate_checks, verify_run

CLEAN = "clean/vgg_f"


def changed(evidence: Evidence, **changes: object) -> Evidence:
    findings = tuple(replace(f, **changes) if f.id == CLEAN else f for f in evidence.findings)  # type: ignore[arg-type]
    return replace(evidence, findings=findings)


def checks(store: EvidenceStore, evidence: Evidence) -> list[Check]:
    return rate_checks(evidence, store.get)


def rates(evidence: Evidence) -> int:
    return sum(len(finding.rates) for finding in evidence.findings)


def test_rates_that_agree_are_one_line(tmp_path: Path) -> None:
    store = small_run(tmp_path / "run")
    (check,) = checks(store, store.evidence())
    assert check == Check(
        "rates", True, f"{rates(store.evidence())} recomputed from their per-image ledgers, all agree"
    )


def test_a_rate_that_differs_is_named_with_both_counts(tmp_path: Path) -> None:
    store = small_run(tmp_path / "run")
    forged = changed(store.evidence(), rates={"accuracy": Rate(911, 1000, "held-out images")})
    (fault, rest) = checks(store, forged)
    assert fault == Check(
        f"rates of {CLEAN}",
        False,
        "accuracy: stored 911 of 1000, recomputed 910 of 1000 from the ledger 'predictions'",
    )
    assert (rest.ok, rest.detail.split()[0]) == (True, str(rates(forged) - 1))


def test_a_folder_that_was_forged_and_sealed_again_is_caught(tmp_path: Path) -> None:
    store = small_run(tmp_path / "run")
    forged = changed(store.evidence(), rates={"accuracy": Rate(990, 1000, "held-out images")})
    store.write_evidence(forged, store.run_record())
    store.seal()
    assert f"rates of {CLEAN}" in {check.name for check in verify_run(store.root) if check.ok is False}


def test_a_rate_without_a_rule_is_listed_as_not_recomputable(tmp_path: Path) -> None:
    store = small_run(tmp_path / "run")
    agreed, left = checks(store, changed(store.evidence(), counted={}))
    assert agreed.ok
    assert left == Check("rates", None, f"1 not recomputable (no rule of counting is stated): {CLEAN}: accuracy")


def test_many_rates_without_a_rule_are_counted_by_name(tmp_path: Path) -> None:
    evidence = small_run(tmp_path / "run").evidence()
    bare = replace(evidence, findings=tuple(replace(f, counted={}) for f in evidence.findings))
    (left,) = rate_checks(bare, lambda _: b"")
    assert left.ok is None
    assert left.detail.startswith(f"{rates(evidence)} not recomputable")
    assert "noise_control (2 findings)" in left.detail


def test_a_ledger_that_is_not_at_hand_is_no_agreement(tmp_path: Path) -> None:
    evidence = small_run(tmp_path / "run").evidence()
    (left,) = rate_checks(evidence, lambda _: None)
    assert (left.ok, "the ledger is not at hand" in left.detail) == (None, True)


def test_rules_that_do_not_fit_their_finding_are_faults(tmp_path: Path) -> None:
    store = small_run(tmp_path / "run")
    finding: Finding = store.evidence().finding(CLEAN)
    of_nothing = {**finding.counted, "gone": Counted("predictions", ())}
    no_ledger = {"accuracy": Counted("gone", ((holds("accuracy", 1),),))}
    no_column = {"accuracy": Counted("predictions", ((holds("gone", 1),),))}
    found = [checks(store, changed(store.evidence(), counted=one))[0] for one in (of_nothing, no_ledger, no_column)]
    assert [check.ok for check in found] == [False, False, False]
    assert "no such rate" in found[0].detail
    assert "no ledger 'gone'" in found[1].detail
    assert "column 'gone'" in found[2].detail
