"""Facts about units as Prefect tasks, on one test server: names, tags, which failures are tried again, time limits."""

import errno
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from flows.execution import Execution, Gate
from flows.steps import StepValue
from flows.units import Unit
from tests.flows.gated_runs import sealed_run
from wolfhound.errors import DataError
from wolfhound.progress import Progress, silent
from wolfhound.store import EvidenceStore

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


@pytest.fixture(scope="module", autouse=True)
def _server() -> Iterator[None]:
    from prefect.settings import PREFECT_SERVER_ANALYTICS_ENABLED, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with (
        temporary_settings({PREFECT_SERVER_ANALYTICS_ENABLED: False}),
        prefect_test_harness(server_startup_timeout=240),
    ):
        yield


def failing(tries: Path, error: Exception, times: int, progress: Progress) -> StepValue:
    """Fail so many times, then return how many tries it took."""
    del progress
    count = len(tries.read_text()) if tries.exists() else 0
    tries.write_text("x" * (count + 1))
    if count < times:
        raise error
    return {"tries": count + 1}


def run(unit: Unit, monkeypatch: pytest.MonkeyPatch, *, execution: Execution | None = None) -> StepValue:
    """Run a unit in a flow, without the pauses between tries."""
    from prefect import flow

    from flows import tasks

    monkeypatch.setattr(tasks, "audit_unit", tasks.audit_unit.with_options(retry_delay_seconds=0))

    @flow
    def one_unit() -> StepValue:
        given = execution or Execution()
        (result,) = tasks.through_prefect([unit], progress=silent, execution=given, runner=None)
        return result.value

    return one_unit()


def test_a_unit_that_lost_a_file_of_a_shared_folder_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = OSError(errno.ESTALE, "stale file handle")
    unit = Unit("table", "first", failing, (tmp_path / "tries", stale, 1))
    assert run(unit, monkeypatch) == {"tries": 2}


def test_a_unit_whose_data_is_wrong_fails_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unit = Unit("table", "first", failing, (tmp_path / "tries", DataError("expected an image"), 9))
    with pytest.raises(DataError, match="expected an image"):
        run(unit, monkeypatch)
    assert (tmp_path / "tries").read_text() == "x"


def slow(progress: Progress) -> StepValue:
    """Take a minute."""
    del progress
    for _ in range(600):
        time.sleep(0.1)
    return {}


def test_a_unit_that_takes_longer_than_it_may_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TimeoutError):
        run(Unit("table", "first", slow, ()), monkeypatch, execution=Execution(timeout_minutes=1 / 60))


def test_tasks_are_named_by_their_units_and_tagged_where_a_server_outlives_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from flows.tasks import TAG, _task_of

    tags = {}
    for api in ("http://127.0.0.1:4200/api", ""):
        monkeypatch.setenv("PREFECT_API_URL", api)
        named = _task_of(Unit("table", "first", slow, ()), Execution())
        assert (named.name, named.task_run_name) == ("table", "table: first")
        tags[bool(api)] = named.tags
    assert tags == {True: {TAG, "table"}, False: set()}


def test_tasks_travel_to_other_processes() -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    from flows.tasks import _task_of

    sent = cloudpickle.dumps(_task_of(Unit("table", "first", slow, ()), Execution()))
    assert cloudpickle.loads(sent).task_run_name == "table: first"


def test_a_run_that_is_tried_again_finds_its_own_folder(tmp_path: Path) -> None:
    from flows.scheduled import run_folder_of

    night, later = datetime(2026, 3, 2, 2, 0), datetime(2026, 3, 3, 9, 30)
    first = run_folder_of(tmp_path, run_id="0b1c2d3e-4f50", started=night)
    assert first.name == "2026-03-02T0200-0b1c2d3e"
    first.mkdir()
    assert run_folder_of(tmp_path, run_id="0b1c2d3e-4f50", started=later) == first
    assert run_folder_of(tmp_path, run_id="9b1c2d3e-4f50", started=later).name == "2026-03-03T0930-9b1c2d3e"


@pytest.mark.parametrize(
    ("fooled", "gate", "state"),
    [
        (5, Gate.NOT_MET, ("COMPLETED", "Met")),
        (60, Gate.NOT_MET, ("FAILED", "NotMet")),
        (60, Gate.NEVER, ("COMPLETED", "NotMet")),
        (50, Gate.NOT_MET, ("COMPLETED", "Inconclusive")),
        (50, Gate.INCONCLUSIVE, ("FAILED", "Inconclusive")),
    ],
)
def test_a_run_ends_in_the_state_that_its_verdict_and_gate_ask_for(
    fooled: int, gate: Gate, state: tuple[str, str], tmp_path: Path
) -> None:
    from flows.audit import AuditResult
    from flows.scheduled import gated
    from wolfhound.verdicts import exit_code, overall

    evidence = EvidenceStore(sealed_run(tmp_path / "run", "1" * fooled + "0" * (100 - fooled))).evidence()
    result = AuditResult(evidence, exit_code(overall(evidence.judgements)), "seal")
    ended = gated(result, tmp_path, gate=gate)
    assert (ended.type.value, ended.name) == state
