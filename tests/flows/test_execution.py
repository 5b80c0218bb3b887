"""Facts about where units run, for how long, and which failures are tried again."""

import errno
import os
import pickle
from pathlib import Path

import pytest
import torch

from flows.audit_job import AuditJob
from flows.execution import Execution, Gate
from flows.opened import once
from flows.retrying import reason_to_retry
from flows.serve_command import serve
from flows.units import Parcel, directly
from flows.waves import attack_units, classifier_units
from tests.flows.faults import write_subjects
from wolfhound.errors import DataError, PlanError
from wolfhound.progress import silent


@pytest.mark.parametrize("runner", ["here", "processes:2", "dask:tcp://127.0.0.1:8786", "ray", "ray:ray://head:10001"])
def test_every_documented_runner_is_accepted(runner: str) -> None:
    assert Execution(runner).elsewhere == (runner != "here")


@pytest.mark.parametrize("runner", ["", "threads:4", "processes", "processes:0", "processes:two", "dask", "dask:"])
def test_any_other_runner_is_refused_with_what_there_is(runner: str) -> None:
    with pytest.raises(PlanError, match=r"expected a runner of the form here, processes:N, dask:ADDRESS"):
        Execution(runner)


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"timeout_minutes": 0.0}, {"timeout_minutes": float("nan")}])
def test_impossible_limits_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(PlanError, match="expected"):
        Execution(**wrong)  # type: ignore[arg-type]


def test_other_processes_need_a_server_that_all_of_them_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    Execution("here").check_server()
    with pytest.raises(PlanError, match="PREFECT_API_URL=http://HOST:4200/api"):
        Execution("processes:2").check_server()
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:4200/api")
    Execution("processes:2").check_server()


def test_processes_share_out_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert [Execution(f"processes:{n}").threads_per_unit for n in (1, 2, 3, 16)] == [8, 4, 2, 1]
    assert Execution("processes:2", threads=3).threads_per_unit == 3
    assert Execution("dask:tcp://127.0.0.1:8786").threads_per_unit is None


def test_what_passes_by_itself_is_tried_again_also_inside_an_error_of_ours() -> None:
    stale = DataError("expected an image")
    stale.__cause__ = OSError(errno.ESTALE, "stale file handle")
    assert reason_to_retry(stale) == "the shared folder lost the file"
    assert reason_to_retry(ConnectionResetError()) == "a connection broke"
    assert "GPU" in str(reason_to_retry(torch.OutOfMemoryError("CUDA out of memory")))


@pytest.mark.parametrize(
    "error",
    [
        PlanError("no such attack"),
        OSError(errno.ENOSPC, "full"),
        FileNotFoundError(2, "no file"),
        ValueError("NaN"),
        None,
    ],
)
def test_what_would_only_fail_again_is_not_tried_again(error: BaseException | None) -> None:
    assert reason_to_retry(error) is None


@pytest.mark.parametrize(("gate", "failing"), [(Gate.NOT_MET, {1}), (Gate.INCONCLUSIVE, {1, 3}), (Gate.NEVER, set())])
def test_a_gate_fails_exactly_the_verdicts_that_it_names(gate: Gate, failing: set[int]) -> None:
    assert {code for code in (0, 1, 3) if gate.fails(code)} == failing


def test_units_are_small_and_travel(tmp_path: Path) -> None:
    plan = write_subjects(tmp_path)
    job = AuditJob(plan.read_bytes(), tmp_path, tmp_path / "run", tmp_path / "cache", "wolfhound run plan.yaml")
    directly(classifier_units(job), progress=silent)
    for unit in attack_units(job):
        assert len(pickle.dumps(Parcel(unit))) < 5_000
        assert pickle.loads(pickle.dumps(Parcel(unit))).unpacked() == unit


def test_a_worker_that_lives_on_hands_no_run_what_it_opened_for_another(tmp_path: Path) -> None:
    def job(run: str) -> AuditJob:
        return AuditJob(b"", tmp_path, tmp_path, tmp_path, "", run_id=run)

    opened = [once(job(run), ("network",), object) for run in ("monday", "tuesday", "monday")]
    assert opened[0] is opened[2]
    assert opened[0] is not opened[1]
    once(job("wednesday"), ("network",), object)
    assert once(job("tuesday"), ("network",), object) is not opened[1], "only the last runs stay in memory"


def test_a_schedule_needs_a_server_that_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    plan = write_subjects(tmp_path)
    with pytest.raises(PlanError, match="expected PREFECT_API_URL, as a schedule needs a server that stays"):
        serve(plan, cron="0 2 * * *")
