"""Facts about audits that use every section of the attacks: what is printed is what the ledgers say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from flows.audit import conduct, prepare
from flows.audit_job import AuditJob
from flows.conclusion import _left_out
from flows.ledgers import read_csv
from flows.robust_findings import _black_box_doubt, _check_doubts, _checks, _quantities
from flows.robust_stage import robust_entries
from flows.table_stage import judged_on
from flows.universal_stage import best_run, universal_entries
from wolfhound.errors import DataError, PlanError
from wolfhound.evidence import Evidence, Finding
from wolfhound.plan_reading import parse_plan
from wolfhound.store import EvidenceStore
from wolfhound.verification import rate_checks

pytestmark = pytest.mark.timeout(900)

PLAN = """\
wolfhound: 1
name: sections
purpose: A test of every section that attacks.
seed: 3
device: cpu
batch_size: 50
images: {source: demonstration, count: 700, seed: 1}
splits: {craft: 60, select: 40, report: 80}
classifiers:
  - {name: first, source: demonstration, architecture: vgg_f}
  - {name: second, source: demonstration, architecture: caffenet}
universal:
  - attack: sgd_uap
    tier: quick
    threat: {norm: linf, epsilon: 16/255}
    sources: [first]
    ensembles: {both: [first, second]}
    seeds: 2
    epsilons: [4/255, 16/255]
  - {attack: df_uap, tier: quick, target: wolf, threat: {norm: linf, epsilon: 16/255}, sources: [second]}
  - {attack: patch_uap, tier: quick, threat: {norm: patch, epsilon: 0.1}, sources: [first], targets: [first]}
replay:
  - {files: [{name: old, path: old.npy}], threat: {norm: linf, epsilon: 16/255}}
robust:
  - {ensemble: quick, threat: {norm: linf, epsilon: 2/255}, classifiers: [first], images: 12, checked: 6}
  - {attack: pgd, threat: {norm: linf, epsilon: 2/255}, classifiers: [first], images: 12, checked: 6, curve: true}
  - {attack: mi_fgsm, threat: {norm: linf, epsilon: 8/255}, surrogate: second, images: 12}
targeted:
  - {threat: {norm: linf, epsilon: 8/255}, classifiers: [first], images: 5, shown: 2, target: every}
  - {attack: pgd, threat: {norm: linf, epsilon: 8/255}, classifiers: [first], images: 6, shown: 2, start: noise,
     target: least likely}
  - {attack: hopskipjump, options: {iterations: 1, first_evaluations: 20, gamma: 1000}, threat: {norm: l2, epsilon: 30},
     classifiers: [first], images: 4, shown: 1}
"""


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> AuditJob:
    folder = tmp_path_factory.mktemp("sections")
    generator = np.random.default_rng(0)
    np.save(folder / "old.npy", generator.choice([-16.0, 16.0], size=(96, 96, 3)))
    return AuditJob(PLAN.encode(), folder, folder / "run", folder / "cache", "wolfhound run plan.yaml")


@pytest.fixture(scope="module")
def evidence(job: AuditJob) -> Evidence:
    prepare(job)
    return conduct(job)


def ledger(job: AuditJob, finding: Finding, name: str) -> pd.DataFrame:
    return read_csv(job.store.get(finding.ledgers[name]))


def test_every_rate_counts_again_from_its_ledger(job: AuditJob, evidence: Evidence) -> None:
    (check,) = rate_checks(evidence, job.store.get)
    assert (check.ok, check.detail.split()[0]) == (True, str(sum(len(one.rates) for one in evidence.findings)))


def test_every_checked_attack_states_its_checks_and_the_doubts_they_raised(evidence: Evidence) -> None:
    robust = {finding.id: finding for finding in evidence.findings if finding.kind == "robust"}
    surrogate = {finding.id for finding in robust.values() if "crafted on" in finding.conditions}
    assert {name for name, finding in robust.items() if not finding.checks} == surrogate
    for finding in robust.values():
        raised = {check.doubt for check in finding.checks} - {""}
        assert raised <= {doubt.code for doubt in finding.doubts}
        if finding.checks:
            assert finding.checks[1].outcome == "0 of 6 predictions differ from the clean ones"
            assert {"epsilon 0", "twice the iterations", "linf 0.5"} <= {check.name for check in finding.checks}


def test_the_checks_name_the_doubt_that_they_raise_and_no_other() -> None:
    few, many = [False] * 4, [True] * 4
    checks = {
        "images": 4,
        "labels": [0, 1, 2, 3],
        "clean": [0, 1, 2, 3],
        "again": [0, 1, 2, 3],
        "zero": {"success": few, "adversarial": [0, 1, 2, 2]},
        "once": {"success": few, "adversarial": [0, 1, 2, 3]},
        "twice": {"success": many, "adversarial": [1, 2, 3, 0]},
    }
    rows = {row.name: row for row in _checks(checks, {"still-rising", "epsilon-zero"})}
    assert [row.doubt for row in rows.values()] == ["", "epsilon-zero", "still-rising"]
    assert rows["twice the iterations"].outcome == "4 of 4 right images fooled, 0 with the iterations of the plan"
    wrong = checks | {"clean": [1, 1, 2, 3], "again": [1, 1, 2, 3], "once": {"success": [True, *few[1:]]}}
    told = {row.name: row.outcome for row in _checks(wrong, set())}["twice the iterations"]
    assert told == "3 of 3 right images fooled, 0 with the iterations of the plan"
    assert _checks({}, set()) == ()


def test_every_section_leaves_its_findings(evidence: Evidence) -> None:
    assert {finding.id for finding in evidence.findings} == {
        "clean/first",
        "clean/second",
        "universal/sgd_uap-linf-16of255/first",
        "universal/sgd_uap-linf-16of255/both/first",
        "universal/sgd_uap-linf-16of255/both/second",
        "universal/df_uap-linf-16of255-to-0/second",
        "universal/patch_uap-patch-0.1-centre/first",
        "transfer/sgd_uap-linf-16of255/second",
        "transfer/df_uap-linf-16of255-to-0/first",
        "transfer/replay-linf-16of255/first",
        "transfer/replay-linf-16of255/second",
        "robust/quick_check-linf-2of255/first",
        "robust/pgd-linf-2of255/first",
        "robust/mi_fgsm-linf-8of255/first",
        "targeted/targeted_ascent-linf-8of255/first",
        "targeted/pgd-linf-8of255/first",
        "targeted/hopskipjump-l2-30/first",
    }


def test_an_ensemble_s_row_is_white_box_on_every_member(evidence: Evidence) -> None:
    table = next(table for table in evidence.tables if table.name == "cross_architecture_sgd_uap-linf-16of255")
    assert table.rows[:2] == ("first", "both")
    assert table.columns == ("first", "second")
    assert set(table.marked) == {("first", "first"), ("both", "first"), ("both", "second")}


def test_the_judged_seed_is_the_best_on_the_select_split_and_the_spread_is_over_all(
    job: AuditJob, evidence: Evidence
) -> None:
    finding = evidence.finding("universal/sgd_uap-linf-16of255/first")
    rows = ledger(job, finding, "predictions of first")
    own, runs = "sgd_uap-linf-16of255/first", [f"sgd_uap-linf-16of255/first/run {i}" for i in (1, 2)]
    shares = [(rows[run] != rows["clean"]).mean() for run in runs]
    assert finding.quantities["mean over seeds"].value == pytest.approx(100 * np.mean(shares))
    spread = finding.quantities["standard deviation over seeds"].value
    assert spread == pytest.approx(100 * np.std(shares, ddof=1))
    assert any(rows[own].equals(rows[run]) for run in runs)
    assert best_run([{"chosen": [2, 0.6]}, {"chosen": [1, 0.6]}, {"chosen": [1, 0.5]}]) == 0
    assert best_run([{"chosen": [2, 0.5]}, {"chosen": [1, 0.6]}]) == 1


def test_the_curve_over_epsilon_is_what_the_scaled_perturbation_does(job: AuditJob, evidence: Evidence) -> None:
    finding = evidence.finding("universal/sgd_uap-linf-16of255/first")
    rows = ledger(job, finding, "predictions of first")
    (points,) = [points for name, points in finding.series.items() if "epsilon" in name]
    assert [x for x, _ in points] == pytest.approx([4, 16])
    assert points[-1][1] == pytest.approx(finding.rates["fooling_rate"].share)
    small = next(name for name in rows.columns if name.startswith("sgd_uap-linf-16of255/first/epsilon 0.0156"))
    assert points[0][1] == pytest.approx((rows[small] != rows["clean"]).mean())


def test_a_targeted_perturbation_is_counted_by_what_becomes_its_target(job: AuditJob, evidence: Evidence) -> None:
    finding = evidence.finding("universal/df_uap-linf-16of255-to-0/second")
    rows = ledger(job, finding, "predictions of second")
    others = rows[rows["clean"] != 0]
    counted = finding.rates["targeted_change"]
    assert counted.total == len(others)
    assert counted.successes == (others["df_uap-linf-16of255-to-0/second"] == 0).sum()
    table = next(table for table in evidence.tables if "df_uap" in table.name)
    assert table.cell("second", "second") == counted
    assert "wolf" in table.title


def test_a_replayed_file_is_judged_beside_noise_with_its_digest(job: AuditJob, evidence: Evidence) -> None:
    finding = evidence.finding("transfer/replay-linf-16of255/second")
    rows = ledger(job, finding, "predictions of second")
    fooled = (rows["replay-linf-16of255/old"] != rows["clean"]).sum()
    assert finding.rates["file old"].successes == fooled
    assert finding.rates["worst_transfer"].successes == fooled
    # 96 pixels brought to 64 are of no whole levels: it is judged once more before they are rounded.
    unrounded = (rows["replay-linf-16of255/old (floating point)"] != rows["clean"]).sum()
    assert finding.rates["worst_transfer_float"].successes == unrounded
    assert "SHA-256" in finding.conditions["old"]


def test_an_ensemble_s_robust_accuracy_is_the_worst_of_its_attacks_on_each_image(
    job: AuditJob, evidence: Evidence
) -> None:
    finding = evidence.finding("robust/quick_check-linf-2of255/first")
    tried = ledger(job, finding, "every attack tried")
    worst = ledger(job, finding, "per image")
    right = worst[worst["clean"] == worst["label"]]
    broken = set(tried.loc[tried["success"], "image"])
    assert finding.rates["robust_accuracy"].successes == sum(image not in broken for image in right["image"])
    assert finding.rates["accuracy_without_attack"].successes == len(right)
    assert finding.title.startswith("Quick check (not the standard ensemble)")


def test_floating_point_stands_beside_the_eight_bit_rate_and_never_looks_safer(
    job: AuditJob, evidence: Evidence
) -> None:
    for finding in evidence.findings:
        if finding.kind == "robust":
            rates, rows = finding.rates, ledger(job, finding, "per image")
            assert rates["robust_accuracy_float"].successes <= rates["robust_accuracy"].successes
            if "success_float" in rows:
                broken = rows["success"] | rows["success_float"]
                stands = (rows["clean"] == rows["label"]) & ~broken
                assert rates["robust_accuracy_float"].successes == stands.sum()
        if finding.kind == "targeted":
            assert finding.rates["targeted_success_float"].total == finding.rates["targeted_success"].total
            assert finding.rates["targeted_success_float"].successes >= finding.rates["targeted_success"].successes
        if finding.kind == "universal":
            assert "the same in floating point" in finding.conditions["judged on"]
            assert not any(name.endswith("(floating point)") for name in rows_of(job, finding) if "/old" not in name)


def rows_of(job: AuditJob, finding: Finding) -> list[str]:
    (name,) = finding.ledgers
    return list(ledger(job, finding, name).columns)


def test_the_curve_of_an_attack_starts_at_the_clean_accuracy_and_ends_at_zero(evidence: Evidence) -> None:
    finding = evidence.finding("robust/pgd-linf-2of255/first")
    points = finding.series["accuracy by epsilon in 255ths"]
    shares = [share for _, share in points]
    assert points[0] == (0.0, pytest.approx(finding.rates["accuracy_without_attack"].share))
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == 0.0
    assert 0 < finding.quantities["median ssim"].value <= 1


def test_sizes_are_of_images_that_had_to_be_changed() -> None:
    rows = {"label": [0, 0, 0], "clean": [1, 1, 0], "success": [True] * 3, "linf": [0.0, 0.0, 0.1], "l2": [0, 0, 2.0]}
    single = pd.DataFrame(rows | {"queries": [1, 1, 7]})
    found = _quantities(single, None)
    assert {name: found[name].value for name in found} == {"median linf": 0.1, "median l2": 2.0, "median queries": 7.0}


def test_an_attack_through_a_surrogate_asks_the_judged_network_nothing(job: AuditJob, evidence: Evidence) -> None:
    finding = evidence.finding("robust/mi_fgsm-linf-8of255/first")
    assert finding.knowledge == "transfer"
    assert finding.conditions["crafted on"] == "second"
    assert (ledger(job, finding, "per image")["queries"] == 0).all()


def test_every_pair_of_classes_is_counted_once(job: AuditJob, evidence: Evidence) -> None:
    finding = evidence.finding("targeted/targeted_ascent-linf-8of255/first")
    (table,) = finding.tables
    cells = [rate for row in table.cells for rate in row if rate is not None]
    rate = finding.rates["targeted_success"]
    assert sum(cell.total for cell in cells) == rate.total
    assert sum(cell.successes for cell in cells) == rate.successes
    rows = ledger(job, finding, "per image").iloc[2:]  # the first two are those that are shown
    assert rate.total == (rows["clean"] != rows["target"]).sum()
    assert (rows["target"] != rows["label"]).all()


def test_an_attack_may_start_from_noise(job: AuditJob, evidence: Evidence) -> None:
    finding = evidence.finding("targeted/pgd-linf-8of255/first")
    rows = ledger(job, finding, "per image")
    assert "noise" in finding.conditions["images"]
    assert (rows["target"] != rows["clean"]).all()


def test_an_attack_by_labels_begins_at_crafting_images_of_the_target(job: AuditJob, evidence: Evidence) -> None:
    finding = evidence.finding("targeted/hopskipjump-l2-30/first")
    rows = ledger(job, finding, "per image")
    assert finding.conditions["begins at"] == "pictures labelled with the target, of the 60 images of the craft split"
    assert (
        finding.rates["targeted_success"].successes == (rows["success"] & (rows["clean"] != rows["target"])).sum() > 0
    )
    idle = (rows["steps"] == 0) & ~rows["success"]
    assert ("not-started" in {doubt.code for doubt in finding.doubts}) == idle.any()


def test_a_second_run_finds_everything_done(job: AuditJob, evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.steps.Step.once", _only_finished)
    assert conduct(job) == evidence


def _only_finished(step, work):  # type: ignore[no-untyped-def]  # noqa: ARG001
    value = step.finished()
    assert value is not None, f"{step.name} would be done again"
    return value


def test_seeds_and_smaller_epsilons_are_judged_on_the_crafted_networks_alone(job: AuditJob) -> None:
    entries = universal_entries(job)[:1]
    artefact = {"artefact": {"sha256": "0" * 64, "suffix": ".safetensors", "bytes": 0}}
    run = {"deltas": artefact, "history": [[1, 1, 0.5]], "chosen": [1, 0.5]}
    crafted = {entries[0].column(source): [run, run] for source in entries[0].sources}
    on_first, on_second = (judged_on(target, entries, crafted, (), {}) for target in ("first", "second"))
    assert len(on_first) == 2 * (1 + 2 + 2)
    assert len(on_second) == 1 + (1 + 2 + 2)


def test_a_bad_file_to_replay_is_found_before_anything_is_run(job: AuditJob, tmp_path: Path) -> None:
    np.save(tmp_path / "old.npy", np.zeros((3, 8, 8)))
    with pytest.raises(DataError, match=r"old\.npy"):
        prepare(replace(job, folder=tmp_path))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("robust:\n  - {threat: {epsilon: 0.1}}", "exactly one of attack and ensemble"),
        ("robust:\n  - {ensemble: quick, curve: true, threat: {epsilon: 0.1}}", "its attacks are fixed"),
        ("universal:\n  - {attack: sgd_uap, threat: {epsilon: 0.1}, epsilons: [0.2]}", "at most 0.1"),
        ("universal:\n  - {attack: sgd_uap, threat: {epsilon: 0.1}, ensembles: {a: [first]}}", "at least two"),
        ("universal:\n  - {attack: sgd_uap, threat: {epsilon: 0.1}, ensembles: {a: [first, third]}}", "'third'"),
        ("robust:\n  - {attack: pgd, surrogate: third, threat: {epsilon: 0.1}}", "'third'"),
        ("robust:\n  - {attack: pgd, images: 500, threat: {epsilon: 0.1}}", "report split has 80"),
    ],
)
def test_sections_that_contradict_themselves_are_refused(section: str, message: str) -> None:
    head = PLAN[: PLAN.index("universal:")]
    with pytest.raises(PlanError, match=message):
        parse_plan((head + section).encode(), name="plan", folder=Path())


def test_an_unconverged_attack_a_stuck_one_and_an_unstable_network_are_doubted(job: AuditJob) -> None:
    entry = robust_entries(job)[1]
    labels = list(range(8)) * 8
    wrong = [label + 1 for label in labels]
    few, many = [False] * 64, [True] * 40 + [False] * 24

    def doubts(**changed: object) -> list[str]:
        checks: dict[str, object] = {
            "labels": labels,
            "clean": labels,
            "again": labels,
            "zero": {"success": few, "adversarial": labels},
            "once": {"success": many, "adversarial": wrong},
            "twice": {"success": many, "adversarial": wrong},
            "large": {"success": [True] * 64, "adversarial": wrong},
        }
        found = _check_doubts(job, entry, checks | changed)
        return [doubt.code for doubt in found if doubt is not None]

    assert doubts() == []
    assert doubts(once={"success": few, "adversarial": labels}) == ["still-rising"]
    stuck = {"success": few, "adversarial": labels}
    assert doubts(large=stuck) == ["above-chance", "not-monotone"]
    assert doubts(again=wrong) == ["epsilon-zero"]


def test_a_black_box_attack_that_breaks_what_the_gradients_could_not_is_a_doubt() -> None:
    attacks = ["square"] * 10 + ["apgd_ce"] * 5 + [""] * 5
    worst = pd.DataFrame({"label": 0, "clean": 0, "attack": attacks})
    access = {"square": "black-box score", "apgd_ce": "white-box"}
    found = _black_box_doubt(worst, access)
    assert found is not None
    assert found.code == "black-box-stronger"
    assert _black_box_doubt(worst.replace({"attack": {"square": "apgd_ce"}}), access) is None


def test_no_unfinished_crafting_is_left_behind(job: AuditJob, evidence: Evidence) -> None:
    del evidence
    assert not list((job.cache / "unfinished").glob("*"))
    assert torch.is_grad_enabled()
    assert isinstance(job.store, EvidenceStore)


def test_attacks_by_queries_count_as_untested_only_where_the_plan_has_none(job: AuditJob, evidence: Evidence) -> None:
    assert not any("by queries" in text for text in evidence.not_tested)
    without = PLAN[: PLAN.index("robust:")] + PLAN[PLAN.index("targeted:") :]
    assert any("by queries" in text for text in _left_out(replace(job, source=without.encode())))


def test_a_plan_that_only_replays_perturbations_says_that_none_was_crafted_for_its_networks(job: AuditJob) -> None:
    first, replay, last = (PLAN.index(name) for name in ("universal:", "replay:", "robust:"))
    texts = {
        name: _left_out(replace(job, source=(PLAN[:first] + PLAN[start:]).encode()))
        for name, start in (("replayed", replay), ("neither", last))
    }
    assert "universal perturbations and their transfer: not in the plan" in texts["neither"]
    assert "universal perturbations crafted for these networks: not in the plan" in texts["replayed"]
