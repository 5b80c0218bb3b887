"""Facts about what a run says it will use again, and about why the rest is to be done."""

from pathlib import Path

import numpy as np
import pytest

from flows.audit import conduct, prepare
from flows.audit_job import AuditJob
from flows.reuse import forecast, reuse_lines
from tests.flows.faults import write_subjects

UNITS = {"classifier: first", "classifier: second", "table: first", "table: second", "robust: pgd-linf-8of255/first"}


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> AuditJob:
    folder = tmp_path_factory.mktemp("reuse")
    plan = write_subjects(folder)
    job = AuditJob(plan.read_bytes(), folder, folder / "run", folder / "cache", "wolfhound run plan.yaml")
    prepare(job)
    assert list(reuse_lines(job)) == [], "nothing is said where there is no earlier run"
    conduct(job)
    job.store.write("plan.yaml", job.source)
    return job


def changed(job: AuditJob, before: str, after: str) -> AuditJob:
    """Return the audit with its plan changed."""
    assert before in job.source.decode()
    source = job.source.decode().replace(before, after).encode()
    return AuditJob(source, job.folder, job.root, job.cache, job.command, run_id=after)


def snapshot(job: AuditJob) -> dict[str, bytes]:
    return {name: (job.root / name).read_bytes() for name in job.store.files()}


def test_the_same_plan_finds_everything_and_changes_nothing(job: AuditJob) -> None:
    before = snapshot(job)
    ahead = forecast(job)
    assert ahead.to_do == ()
    assert set(ahead.reused) >= UNITS
    assert snapshot(job) == before
    assert list(reuse_lines(job))[:2] == [
        "an earlier run of this plan is there",
        f"{len(ahead.reused)} unit(s) are finished and used again, 0 to do",
    ]


def test_a_changed_option_redoes_what_depends_on_it_and_names_it(job: AuditJob) -> None:
    other = changed(job, "most_steps: 5", "most_steps: 6")
    ahead = forecast(other)
    assert {name.partition("/")[2]: reason for name, reason in ahead.to_do} == {
        "first": "to be done again, changed: attack, section.options.most_steps",
        "second": "to be done again, changed: attack, section.options.most_steps",
    }
    assert "universal: sgd_uap-linf-16of255/first/1" in ahead.reused
    assert "it differs in robust.0.options.most_steps" in next(iter(reuse_lines(other)))


def test_another_normalisation_redoes_all_that_a_network_was_asked(job: AuditJob) -> None:
    """The weights are the same, and every answer is another."""
    lines = job.source.decode().splitlines(keepends=True)
    (first, _) = (place for place, line in enumerate(lines) if "mean: [0, 0, 0]" in line)
    lines[first] = lines[first].replace("mean: [0, 0, 0]", "mean: [0.5, 0.5, 0.5]")
    other = AuditJob("".join(lines).encode(), job.folder, job.root, job.cache, job.command, run_id="mean")
    ahead = forecast(other)
    assert not [name for name in ahead.reused if name.partition(": ")[2].startswith("first") or "/first" in name]
    assert dict(ahead.to_do)["classifier: first"] == "to be done again, changed: classifier"
    assert "classifier: second" in ahead.reused


def test_what_is_judged_waits_for_what_is_crafted(job: AuditJob) -> None:
    to_do = dict(forecast(changed(job, "options: {passes: 2}", "options: {passes: 1}")).to_do)
    assert to_do == {
        "universal: sgd_uap-l2-2/first/1": "to be done again, changed: attack",
        "table: first": "perturbations that it judges are to be crafted",
        "table: second": "perturbations that it judges are to be crafted",
    }


def test_a_replayed_file_is_looked_at_and_not_stored(job: AuditJob) -> None:
    np.save(job.folder / "noise.npy", np.full((3, 16, 16), 4 / 255))
    replay = "replay:\n  - {files: [{name: noise, path: noise.npy}], threat: {norm: linf, epsilon: 8/255}, layout: CHW}"
    other = changed(job, "universal:", f"{replay}\nuniversal:")
    before = snapshot(job)
    assert {name for name, _ in forecast(other).to_do} == {"table: first", "table: second"}
    assert snapshot(job) == before


def test_a_lost_file_is_named_as_the_reason(job: AuditJob) -> None:
    record = job.store.step_record("clean/first")
    assert record is not None
    digest = record["value"]["ledger"]["artefact"]["sha256"]
    (path,) = job.root.rglob(f"{digest}*")
    kept = path.read_bytes()
    path.write_bytes(b"damaged")
    (row,) = (row for row in forecast(job).to_do if row[0] == "classifier: first")
    path.write_bytes(kept)
    assert row[1] == "to be done again, 1 of its files is missing or damaged"


def test_no_network_is_trained_to_look(tmp_path: Path) -> None:
    plan = """\
wolfhound: 1
name: trained
purpose: A test.
device: cpu
images: {source: demonstration, count: 100, seed: 1}
splits: {craft: 10, select: 10, report: 20}
classifiers:
  - {name: net, source: demonstration, architecture: vgg_f}
universal:
  - {attack: sgd_uap, threat: {norm: linf, epsilon: 16/255}, options: {passes: 1}}
"""
    job = AuditJob(plan.encode(), tmp_path, tmp_path / "run", tmp_path / "cache", "wolfhound run plan.yaml")
    ahead = forecast(job)
    assert ahead.reused == ()
    assert "comes first" in dict(ahead.to_do)["classifier: net"]
    assert not list((tmp_path / "cache").rglob("*.safetensors"))
