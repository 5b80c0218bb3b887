"""Facts about plans that name an earlier audit: what is written beside the evidence, and what the report says."""

from dataclasses import replace
from pathlib import Path

import pytest

from flows.audit_job import AuditJob
from flows.comparing import earlier_of, record_comparison
from reports.render import html_bytes, read
from tests.flows.gated_runs import sealed_run
from wolfhound.approval import approve
from wolfhound.comparison import Comparison, dump_comparison, load_comparison
from wolfhound.errors import PlanError
from wolfhound.finished import COMPARISON_NAME, read_finished, stored_comparison
from wolfhound.store import EvidenceStore

PLAN = """\
wolfhound: 1
name: audit
purpose: a test
images: {source: folder, path: photos}
splits: {craft: 1, select: 1, report: 1}
classifiers:
  - {name: net, source: torchvision, architecture: resnet18, weights: nothing.pth}
"""
FEW, MANY = "1" * 5 + "0" * 95, "1" * 60 + "0" * 40


def job(folder: Path, root: Path, compare_with: str = "") -> AuditJob:
    source = PLAN + (f"compare_with: {compare_with}\n" if compare_with else "")
    return AuditJob(source.encode(), folder, root, folder / "cache", "wolfhound run plan.yaml")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    sealed_run(tmp_path / "first", FEW)
    sealed_run(tmp_path / "second", MANY, weights="e" * 64, finished="2026-04-02T09:21:33+00:00")
    return tmp_path


def recorded(runs: Path, compare_with: str) -> Comparison:
    record_comparison(job(runs, runs / "second", compare_with))
    found = stored_comparison(runs / "second")
    assert found is not None
    return found


def test_what_changed_since_the_named_run_is_stored_beside_the_evidence(runs: Path) -> None:
    found = recorded(runs, "first")
    assert [row.change for row in found.changes] == ["worse"]
    assert found.before.seal == read_finished(runs / "first").seal
    assert (found.after.seal, found.approved_by) == ("", "")  # it is sealed after this is written


def test_the_approved_run_is_named_with_who_approved_it(runs: Path) -> None:
    approve(runs / "first", runs / "approved.json", by="R. Officer", on="2026-05-01")
    assert recorded(runs, "approved").approved_by == "R. Officer"


def test_a_comparison_of_an_earlier_plan_does_not_stay_behind(runs: Path) -> None:
    recorded(runs, "first")
    record_comparison(job(runs, runs / "second"))
    assert not (runs / "second" / COMPARISON_NAME).exists()


def test_an_earlier_run_that_is_missing_is_found_before_any_work(runs: Path) -> None:
    assert earlier_of(job(runs, runs / "second")) is None
    with pytest.raises(PlanError, match="wolfhound approve RUN"):
        earlier_of(job(runs, runs / "second", "approved"))


def test_the_result_of_a_run_holds_its_comparison(runs: Path) -> None:
    found = recorded(runs, "first")
    EvidenceStore(runs / "second").seal()
    assert read_finished(runs / "second").result.since_last_audit == found


def test_the_report_says_what_changed_and_attaches_the_comparison(runs: Path) -> None:
    found = replace(recorded(runs, "first"), approved_by="<b>R. Officer</b>", approved_on="2026-05-01")
    store = EvidenceStore(runs / "second")
    store.write(COMPARISON_NAME, dump_comparison(found))
    audit = read(store)
    page = html_bytes(audit).decode()
    section = page[page.index('<section id="since"') :]
    assert "1 worse" in section
    assert "&lt;b&gt;R. Officer&lt;/b&gt;" in section
    assert "other weights" in section
    assert "5.0 % [2.2, 11.2], n = 100" in section
    assert "60.0 % [50.2, 69.1], n = 100" in section
    assert load_comparison(audit.attachments[COMPARISON_NAME].data) == found


def test_a_report_without_an_earlier_audit_says_so(runs: Path) -> None:
    page = html_bytes(read(EvidenceStore(runs / "first"))).decode()
    assert "The plan names no earlier audit" in page[page.index('<section id="since"') :]
