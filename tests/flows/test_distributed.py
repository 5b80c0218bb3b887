"""Facts about audits whose units run in other processes: a killed worker costs nothing, and the evidence is the same.

They need minutes, prefect-dask and prefect-ray, so they are run by:  pytest tests/flows -m integration
"""

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.flows.faults import MODEL, PLAN, write_subjects
from tests.flows.servers import answers, clean_environment, free_port, prefect_server, running, wait_until
from wolfhound.store import EvidenceStore

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

ROWS = 6
SLOW_MODEL = (
    MODEL.replace("import torch\n", "import time\n\nimport torch\n").replace(
        "def build(seed):",
        "class Pause(nn.Module):\n    def forward(self, pixels):\n        time.sleep(0.15)\n        return pixels\n\n\n"
        "def build(seed):",
    )
).replace("nn.Sequential(", "nn.Sequential(Pause(), ")


def classifier(number: int) -> str:
    return (
        f"  - {{name: net{number}, source: factory, file: model.py, callable: build, arguments: {{seed: {number}}},\n"
        "     preprocessing: {mean: [0, 0, 0], std: [1, 1, 1]}}\n"
    )


def write_slow_subjects(folder: Path) -> None:
    """Write an audit of six networks that take their time, so that somebody can be killed meanwhile."""
    write_subjects(folder)
    (folder / "model.py").write_text(SLOW_MODEL)
    head = PLAN[: PLAN.index("classifiers:")] + "classifiers:\n"
    attack = "universal:\n  - {attack: sgd_uap, threat: {norm: linf, epsilon: 16/255}, options: {passes: 1}, "
    tail = attack + "sources: [net1, net2]}\n" + PLAN[PLAN.index("criteria:") :]
    (folder / "plan.yaml").write_text(head + "".join(map(classifier, range(1, ROWS + 1))) + tail)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("distributed")
    write_slow_subjects(made)
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[dict[str, str]]:
    with prefect_server(folder) as environment:
        yield environment


@pytest.fixture(scope="module")
def alone(folder: Path) -> EvidenceStore:
    """The run folder of the same audit in one process, without Prefect."""
    done = audit(folder, clean_environment(folder / "none"), "--output", "alone", "--without-prefect")
    assert done.wait() == 3, done.stderr.read() if done.stderr else ""
    return EvidenceStore(folder / "alone")


def audit(folder: Path, environment: dict[str, str], *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "flows.cli", "run", "plan.yaml", "--cache", "cache", "--quiet", *options]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def rows_done(root: Path) -> int:
    return len(list((root / "steps").glob("table_*.json")))


def test_two_processes_find_the_same_as_one(folder: Path, server: dict[str, str], alone: EvidenceStore) -> None:
    done = audit(folder, server, "--output", "pool", "--runner", "processes:2")
    assert done.wait() == 3, done.stderr.read() if done.stderr else ""
    assert (folder / "pool" / "evidence.json").read_bytes() == (alone.root / "evidence.json").read_bytes()
    assert EvidenceStore(folder / "pool").faults() == []


@pytest.mark.skipif(importlib.util.find_spec("prefect_dask") is None, reason="prefect-dask is not installed")
def test_a_dask_worker_killed_in_the_middle_of_the_table_costs_nothing(
    folder: Path, server: dict[str, str], alone: EvidenceStore
) -> None:
    port, page = free_port(), free_port()
    scheduler = f"tcp://127.0.0.1:{port}"
    dask = [sys.executable, "-m", "dask"]
    with ExitStack() as stack:
        started = [*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port)]
        started += ["--dashboard-address", f"127.0.0.1:{page}"]
        stack.enter_context(running(started, log=folder / "scheduler.log", env=server, cwd=folder))
        wait_until(lambda: answers(f"http://127.0.0.1:{page}/health"), what="the Dask scheduler")
        worker = [*dask, "worker", scheduler, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        first, _ = (
            stack.enter_context(running(worker, log=folder / f"worker{number}.log", env=server, cwd=folder))
            for number in (1, 2)
        )
        done = audit(folder, server, "--output", "dask", "--runner", f"dask:{scheduler}")
        root = folder / "dask"
        wait_until(lambda: rows_done(root) or done.poll() is not None, what="the first row of the table", patience=500)
        assert done.poll() is None, done.stderr.read() if done.stderr else ""
        os.kill(first.pid, signal.SIGKILL)
        assert 0 < rows_done(root) < ROWS, "it was killed in the middle of the table"
        assert done.wait() == 3, done.stderr.read() if done.stderr else ""
    assert (root / "evidence.json").read_bytes() == (alone.root / "evidence.json").read_bytes()
    assert EvidenceStore(root).faults() == []


@pytest.mark.skipif(importlib.util.find_spec("prefect_ray") is None, reason="prefect-ray is not installed")
def test_a_ray_worker_killed_in_the_middle_of_the_table_costs_nothing(
    folder: Path, server: dict[str, str], alone: EvidenceStore
) -> None:
    # The name says another thing, but on Linux too it is what makes Ray listen on loopback alone.
    local = server | {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    address = f"127.0.0.1:{free_port()}"
    short = tempfile.mkdtemp(prefix="ray-")  # its sockets lie below, whose paths may have 107 signs
    ray = [sys.executable, "-m", "ray.scripts.scripts"]
    started = [*ray, "start", "--head", "--block", f"--port={address.rpartition(':')[2]}", "--num-cpus=2"]
    started += ["--include-dashboard=false", "--object-store-memory=100000000", f"--temp-dir={short}"]
    with running(started, log=folder / "ray.log", env=local, cwd=folder) as head:
        asked = [*ray, "status", f"--address={address}"]
        wait_until(lambda: not subprocess.run(asked, env=local, capture_output=True).returncode, what="Ray")
        done = audit(folder, local, "--output", "ray", "--runner", f"ray:{address}")
        root = folder / "ray"
        wait_until(lambda: rows_done(root) or done.poll() is not None, what="the first row of the table", patience=500)
        assert done.poll() is None, done.stderr.read() if done.stderr else ""
        os.kill(wait_until(lambda: at_work(head.pid, "ray::table"), what="a row in a worker")[0], signal.SIGKILL)
        assert 0 < rows_done(root) < ROWS, "it was killed in the middle of the table"
        assert done.wait() == 3, done.stderr.read() if done.stderr else ""
    assert (root / "evidence.json").read_bytes() == (alone.root / "evidence.json").read_bytes()
    assert EvidenceStore(root).faults() == []


def at_work(ancestor: int, title: str) -> list[int]:
    """Return the processes below `ancestor` that call themselves so, by their numbers."""
    below, found = [ancestor], []
    while below:
        parent = below.pop()
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            for children in Path(f"/proc/{parent}/task").glob("*/children"):
                below += map(int, children.read_text().split())
            if Path(f"/proc/{parent}/cmdline").read_bytes().startswith(title.encode()):
                found.append(parent)
    return found


def test_other_processes_are_refused_without_a_server(folder: Path) -> None:
    done = audit(folder, clean_environment(folder / "none"), "--output", "refused", "--runner", "processes:2")
    assert done.wait() == 2
    assert done.stderr is not None
    assert "needs a Prefect server" in done.stderr.read()
    assert not (folder / "refused").exists()
