"""Fooling by group and hypotheses, on a small audit: what is printed is what the ledgers say."""

from pathlib import Path

import pandas as pd
import pytest

from flows.audit import conduct, prepare
from flows.audit_job import AuditJob
from flows.group_stage import LEDGER, check_groups
from flows.ledgers import read_csv
from reports.wording import gap as printed_gap
from tests.flows.test_explain_command import MODEL
from wolfhound.errors import DataError, PlanError
from wolfhound.evidence import Evidence, Finding, RunRecord
from wolfhound.outputs.text import observed
from wolfhound.result import result_of
from wolfhound.verdicts import compare_interval
from wolfhound.verification import rate_checks

pytestmark = pytest.mark.timeout(600)

PLAN = """\
wolfhound: 1
name: groups
purpose: A test of fooling by group.
seed: 3
device: cpu
batch_size: 50
images: {source: demonstration, count: 200, seed: 1}
splits: {craft: 30, select: 20, report: 120}
classifiers:
  - {name: first, source: factory, file: model.py, callable: Network,
     preprocessing: {mean: [0, 0, 0], std: [0.1, 0.1, 0.1]}}
universal:
  - {attack: sgd_uap, tier: quick, threat: {norm: linf, epsilon: 10/255}}
targeted:
  - {threat: {norm: linf, epsilon: 8/255}, images: 30, shown: 1}
groups: {by: [class, group], least: 10}
hypotheses: {images: 120, least: 12, shown: 2}
criteria:
  - {id: worst-group, text: Predictions changed in the worst group, rate: bias.worst_group_universal, at_most: 30 %}
  - {id: gap, text: Difference between two groups, rate: bias.gap_universal, at_most: 20 %}
"""


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> AuditJob:
    folder = tmp_path_factory.mktemp("groups")
    (folder / "model.py").write_text(MODEL.replace("nn.Linear(8, 3)", "nn.Linear(8, 10)"))
    return AuditJob(PLAN.encode(), folder, folder / "run", folder / "cache", "wolfhound run plan.yaml")


@pytest.fixture(scope="module")
def evidence(job: AuditJob) -> Evidence:
    prepare(job)
    return conduct(job)


def ledger_of(job: AuditJob, finding: Finding) -> pd.DataFrame:
    return read_csv(job.store.get(finding.ledgers[LEDGER]))


def test_a_finding_by_class_and_one_by_group_are_there(evidence: Evidence) -> None:
    found = [finding.id for finding in evidence.findings if finding.id.startswith("bias/")]
    assert found == ["bias/by-class/first", "bias/by-group/first", "bias/hypotheses/first"]


def test_the_worst_group_is_that_of_the_universal_ledger(job: AuditJob, evidence: Evidence) -> None:
    finding = evidence.finding("bias/by-class/first")
    source = evidence.finding("universal/sgd_uap-linf-10of255/first")
    (whole,) = source.ledgers.values()
    ledger = read_csv(job.store.get(whole))
    flipped = ledger["clean"] != ledger["sgd_uap-linf-10of255/first"]
    shares = flipped.groupby(ledger["label"]).mean()
    assert finding.rates["worst_group_universal"].share == shares.max()
    assert finding.rates["best_group_universal"].share == shares.min()
    assert finding.quantities["gap_universal"].value == pytest.approx(shares.max() - shares.min())
    assert flipped.sum() == (ledger_of(job, finding)["universal sgd_uap-linf-10of255/first"] == "yes").sum()


def test_targeted_attacks_count_only_the_images_they_started_from(job: AuditJob, evidence: Evidence) -> None:
    finding = evidence.finding("bias/by-group/first")
    (name,) = [one for one in ledger_of(job, finding).columns if one.startswith("targeted ")]
    total = evidence.finding(f"targeted/{name.removeprefix('targeted ')}/first").rates["targeted_success"]
    cells = ledger_of(job, finding)[name]
    assert ((cells != "").sum(), (cells == "yes").sum()) == (total.total, total.successes)


def test_groups_that_are_too_small_are_named_and_have_no_rate(evidence: Evidence) -> None:
    finding = evidence.finding("bias/by-class/first")
    (hidden,) = [text for name, text in finding.facts.items() if name.startswith("suppressed, targeted")]
    assert "fewer than 10 images that count of class" in hidden
    assert "worst_group_targeted" not in finding.rates
    assert "worst_group_universal" in finding.rates


def test_the_table_has_every_attack_and_its_noise_by_group_and_no_cell_of_a_suppressed_one(evidence: Evidence) -> None:
    finding = evidence.finding("bias/by-class/first")
    (table,) = finding.tables
    universal, noise, targeted = "universal sgd_uap-linf-10of255/first", "noise of ", "targeted "
    assert [row.startswith((universal, noise, targeted)) for row in table.rows] == [True] * 3
    assert table.control_rows == (f"{noise}{universal}",)
    measured = [cell for group in table.columns if (cell := table.cell(universal, group)) is not None]
    assert max(cell.share for cell in measured) == finding.rates["worst_group_universal"].share
    (aimed,) = [row for row in table.rows if row.startswith(targeted)]
    assert all(table.cell(aimed, group) is None for group in table.columns)


def test_every_rate_counts_again_from_its_ledger(job: AuditJob, evidence: Evidence) -> None:
    (check,) = rate_checks(evidence, job.store.get)
    assert (check.ok, check.detail.split()[0]) == (True, str(sum(len(one.rates) for one in evidence.findings)))


def test_a_criterion_judges_the_worst_group_of_every_property(evidence: Evidence) -> None:
    judged = [row for row in evidence.judgements if row.criterion == "worst-group"]
    assert [row.finding for row in judged] == ["bias/by-class/first", "bias/by-group/first"]
    assert all(row.observed == evidence.finding(row.finding or "").rates["worst_group_universal"] for row in judged)


def test_a_criterion_judges_the_gap_and_outputs_print_it(evidence: Evidence) -> None:
    judged = [row for row in evidence.judgements if row.criterion == "gap"]
    assert [row.finding for row in judged] == ["bias/by-class/first", "bias/by-group/first"]
    run = RunRecord("2026-01-01T00:00:00+00:00", "2026-01-01T00:01:00+00:00", {}, {}, {})
    rows = [row for row in result_of(evidence, run, evidence_sha256="", seal="").judgements if row.criterion == "gap"]
    for row, printed in zip(judged, rows, strict=True):
        gap = evidence.finding(row.finding or "").quantities["gap_universal"]
        assert row.quantity == gap
        assert gap.interval is not None
        assert row.verdict == compare_interval(gap.interval, evidence.criteria[1])
        assert observed(printed).startswith(printed_gap(gap))


def test_hypotheses_say_so_everywhere_and_have_no_rate_to_be_judged(job: AuditJob, evidence: Evidence) -> None:
    finding = evidence.finding("bias/hypotheses/first")
    assert finding.rates == {}
    assert finding.title.endswith("not findings")
    assert finding.claim.startswith("A hypothesis, not a finding")
    texts = [*finding.facts.values(), *(quantity.meaning for quantity in finding.quantities.values())]
    texts += [gallery.title for gallery in finding.galleries]
    assert all("hypothesis, not a finding" in text for text in texts)
    assert texts
    ledger = read_csv(job.store.get(finding.ledgers["attributes per image"]))
    assert len(ledger) == 120
    assert {"class", "group", "brightness", "border_green", "wrong"} <= set(ledger.columns)


def test_a_plan_without_attacks_or_groups_is_refused(tmp_path: Path) -> None:
    def job_of(plan: str) -> AuditJob:
        return AuditJob(plan.encode(), tmp_path, tmp_path / "run", tmp_path / "cache", "again")

    bare = PLAN.split("universal:")[0] + "groups: {by: [class]}\n"
    with pytest.raises(PlanError, match="expected universal or targeted attacks"):
        check_groups(job_of(bare))
    (tmp_path / "photos" / "a").mkdir(parents=True)
    from PIL import Image

    for index in range(4):
        Image.new("RGB", (16, 16), (index, 0, 0)).save(tmp_path / "photos" / "a" / f"{index}.png")
    folder = "images: {source: folder, path: photos, size: 16}\nsplits: {craft: 1, select: 1, report: 2}\n"
    mine = (
        "classifiers: [{name: first, source: torchvision, architecture: vgg_f, weights: random}]\n"
        "universal: [{attack: sgd_uap, threat: {norm: linf, epsilon: 0.1}}]\ngroups: {by: [group]}\n"
    )
    with pytest.raises(DataError, match="the images have none"):
        check_groups(job_of("wolfhound: 1\nname: g\npurpose: p\n" + folder + mine))
