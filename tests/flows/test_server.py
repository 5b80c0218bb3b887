"""Facts about audits on a Prefect server: deployed, started by a cron schedule, run by a worker, shown as artifacts.

They need minutes, so they are run by:  pytest tests/flows -m integration
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.flows.faults import write_subjects
from tests.flows.servers import (
    PROJECT,
    asked,
    clean_environment,
    postgresql,
    postgresql_programs,
    prefect,
    prefect_server,
    running,
    wait_until,
)
from wolfhound.store import EvidenceStore

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A Prefect server on that database, and a folder with a small audit: the environment of its clients."""
    write_subjects(tmp_path)
    if request.param == "sqlite":
        with prefect_server(tmp_path) as environment:
            yield environment
        return
    programs = postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    with postgresql(programs) as database, prefect_server(tmp_path, database=database) as environment:
        yield environment


def every_minute(folder: Path) -> None:
    """Write the project's own deployments into `folder`, with the small audit, and a schedule for who can't wait."""
    deployments = yaml.safe_load((PROJECT / "prefect.yaml").read_text())
    nightly = deployments["deployments"][0]
    nightly["parameters"] = {"plan": "plan.yaml", "runs": "runs", "cache": "cache", "gate": "never"}
    nightly["schedules"] = [{"cron": "* * * * *", "timezone": "UTC"}]
    (folder / "prefect.yaml").write_text(yaml.safe_dump(deployments))


def test_a_cron_schedule_is_run_by_a_worker_to_a_sealed_report(server: dict[str, str], tmp_path: Path) -> None:
    every_minute(tmp_path)
    server = server | {"WOLFHOUND_FOLDER": str(tmp_path)}
    for arguments in (("work-pool", "create", "wolfhound", "--type", "process"), ("--no-prompt", "deploy", "--all")):
        subprocess.run(prefect(*arguments), env=server, cwd=tmp_path, check=True, timeout=300)
    command = prefect("worker", "start", "--pool", "wolfhound", "--limit", "1")
    with running(command, log=tmp_path / "worker.log", env=server, cwd=tmp_path):
        (run, *_) = wait_until(
            lambda: [run for run in asked(server, "flow_runs") if run["state_type"] in ("COMPLETED", "FAILED")],
            what="a scheduled run", patience=600,
        )  # fmt: skip
    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Inconclusive"), (
        tmp_path / "worker.log"
    ).read_text()
    assert run["auto_scheduled"]
    (folder,) = (tmp_path / "runs").glob(f"*-{run['id'][:8]}")
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF")
    assert EvidenceStore(folder).faults() == []
    shown = {(row["type"], row["key"]) for row in asked(server, "artifacts")}
    assert shown >= {("markdown", f"faults-{name}") for name in ("verdict", "pictures")} | {
        ("table", "faults-criteria")
    }
    meters = [row["key"] for row in asked(server, "artifacts", artifacts={"type": {"any_": ["progress"]}})]
    assert meters, "no unit has shown how far it was"
    assert len(meters) == len(set(meters)), "a unit shows its progress once"
    names = {row["name"] for row in asked(server, "task_runs")}
    assert {"classifier: first", "table: second", "natural: corruptions/second"} <= names
    said = [row["message"] for row in asked(server, "logs", sort="TIMESTAMP_ASC")]
    assert any("table/second: to be done, no record of it" in line for line in said)


def test_a_killed_audit_is_crashed_in_the_end_and_fires_the_automation(tmp_path: Path) -> None:
    """Its process can't tell; the heartbeats that stop coming do."""
    write_subjects(tmp_path)
    (tmp_path / "model.py").write_text((tmp_path / "model.py").read_text() + "\nimport time\ntime.sleep(600)\n")
    watched = (PROJECT / "docs" / "deploy" / "automations.yaml").read_text()
    (tmp_path / "automations.yaml").write_text(watched)
    with prefect_server(tmp_path) as server:
        heard = server | {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30", "WOLFHOUND_FOLDER": str(tmp_path)}
        created = prefect("automation", "create", "--from-file", "automations.yaml")
        subprocess.run(created, env=server, cwd=tmp_path, check=True, timeout=300)
        program = "from flows.scheduled import scheduled_audit; scheduled_audit(plan='plan.yaml')"
        with running([sys.executable, "-c", program], log=tmp_path / "run.log", env=heard, cwd=tmp_path) as process:
            wait_until(lambda: "prefect.flow-run.heartbeat" in _events(server), what="a heartbeat")
            assert _states(server) == ["RUNNING"]
            os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: _states(server) == ["CRASHED"], what="the run to be seen as crashed", patience=600)
        wait_until(
            lambda: {"prefect.automation.triggered", "prefect.automation.action.executed"} <= _events(server),
            what="the automation that tells of crashed audits",
        )


def test_a_served_schedule_runs_the_audit_without_a_pool(tmp_path: Path) -> None:
    write_subjects(tmp_path)
    with prefect_server(tmp_path) as server:
        command = [sys.executable, "-m", "flows.cli", "serve", "plan.yaml", "--cron", "* * * * *", "--gate", "never"]
        with running([*command, "--cache", "cache"], log=tmp_path / "serve.log", env=server, cwd=tmp_path):
            wait_until(lambda: "COMPLETED" in _states(server), what="a served run", patience=600)
    (folder, *_) = sorted((tmp_path / "runs").iterdir())
    assert EvidenceStore(folder).faults() == []


def test_two_audits_at_once_share_a_cache_and_nothing_else(tmp_path: Path) -> None:
    """Each starts an embedded server, both at home in the same cache."""
    write_subjects(tmp_path)
    clean = clean_environment(tmp_path / "none")
    del clean["PREFECT_HOME"]  # so that they choose it themselves
    command = [sys.executable, "-m", "flows.cli", "run", "plan.yaml", "--cache", "cache", "--quiet", "--output"]
    audits = [
        subprocess.Popen([*command, name], cwd=tmp_path, env=clean, stderr=subprocess.PIPE) for name in ("one", "other")
    ]
    said = [audit.communicate()[1] for audit in audits]
    assert [audit.returncode for audit in audits] == [3, 3], said
    assert said == [b"", b""]
    one, other = ((tmp_path / name / "evidence.json").read_bytes() for name in ("one", "other"))
    assert one == other
    assert not (tmp_path / "none").exists()


def _states(server: dict[str, str]) -> list[str]:
    return [run["state_type"] for run in asked(server, "flow_runs")]


def _events(server: dict[str, str]) -> set[str]:
    answer = httpx.post(f"{server['PREFECT_API_URL']}/events/filter", json={}, timeout=30)
    answer.raise_for_status()
    return {event["event"] for event in answer.json()["events"]}
