"""Facts about audits whose perturbations several processes craft together."""

from pathlib import Path

import pytest
import safetensors.torch

from attacks.universal.checkpoints import CheckpointFile
from flows.audit import prepare
from flows.audit_job import AuditJob
from flows.shared_crafting import Kept, check_shareable
from flows.steps import unpack
from flows.universal_stage import craft, universal_entries
from tests.flows.faults import write_subjects
from wolfhound.errors import PlanError


def job_of(folder: Path, source: bytes, processes: int) -> AuditJob:
    name = f"run{processes}"
    return AuditJob(source, folder, folder / name, folder / "cache", "again", run_id=name, crafting_processes=processes)


def test_an_attack_that_cannot_be_shared_is_refused_before_any_work(tmp_path: Path) -> None:
    plan = (
        write_subjects(tmp_path)
        .read_text()
        .replace("attack: sgd_uap, threat: {norm: l2", "attack: deepfool_uap, threat: {norm: l2")
    )
    with pytest.raises(PlanError, match=r"several processes can share .*, got deepfool_uap"):
        check_shareable(job_of(tmp_path, plan.encode(), 2))
    check_shareable(job_of(tmp_path, plan.encode(), 1))


def test_one_process_of_a_shared_run_writes_its_checkpoint_and_all_read_it(tmp_path: Path) -> None:
    file = CheckpointFile(tmp_path / "unfinished")
    Kept(file, writes=False).save(b"second")
    assert file.load() is None
    Kept(file, writes=True).save(b"first")
    assert Kept(file, writes=False).load() == b"first"


@pytest.mark.slow
def test_two_processes_of_an_audit_craft_what_one_does(tmp_path: Path) -> None:
    plan = write_subjects(tmp_path).read_bytes()
    found = []
    for processes in (1, 2):
        job = job_of(tmp_path, plan, processes)
        prepare(job)
        value = craft(job, universal_entries(job)[0], "first")
        found.append(safetensors.torch.load(job.store.get(unpack(value["deltas"]))))
        assert value["history"][-1][0] == 3
    differing = (found[0]["last"] != found[1]["last"]).double().mean()
    assert differing <= 0.001, f"{differing:.2%} of the pixels differ"
    assert not list((tmp_path / "cache" / "unfinished").iterdir())
