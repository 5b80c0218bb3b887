"""Facts about audits that are killed, starved and disturbed: what was finished is kept, and the end is the same bytes.

The long version, with what was redone printed:  pytest tests/flows/test_faults.py -m slow -s
"""

import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.run_folder import locked
from tests.flows.faults import write_subjects
from wolfhound.store import EvidenceStore, file_sha256

pytestmark = pytest.mark.timeout(900)
Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("faults")
    write_subjects(made)
    return made


@pytest.fixture(scope="module")
def ask(folder: Path) -> Iterator[Ask]:
    """Return a function that runs the audit into a run folder and cache of the given names."""
    command = [sys.executable, "-m", "tests.flows.faults", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def asked(root: str, cache: str, **request: object) -> dict[str, Any]:
            facts = {"plan": str(folder / "plan.yaml"), "root": str(folder / root), "cache": str(folder / cache)}
            print(json.dumps(facts | {"report": False} | request), file=process.stdin, flush=True)
            return dict(json.loads(process.stdout.readline()))

        yield asked
        process.stdin.close()


@pytest.fixture(scope="module")
def whole(ask: Ask) -> dict[str, Any]:
    """What an undisturbed run of the audit answered."""
    answer = ask("whole", "whole-cache")
    assert (answer["signal"], answer["error"]) == (None, None)
    return answer


def digests(root: Path) -> dict[str, str]:
    """Return the digest of everything that an audit found: all files but the record of the run and what shows it."""
    of_this_run = ("run.json", "report.", "statement.json", "bill-of-materials")
    store = EvidenceStore(root)
    return {name: file_sha256(root / name) for name in store.files() if not name.startswith(of_this_run)}


def finished_steps(root: Path) -> set[str]:
    """Return the names of the steps that are recorded."""
    return {json.loads(path.read_bytes())["step"] for path in (root / "steps").glob("*.json")}


def killed_and_resumed(folder: Path, ask: Ask, name: str, point: int, *, report: bool) -> tuple[set[str], set[str]]:
    """Kill a run before its change number `point` and resume it; return the steps finished before, and those redone."""
    answer = ask(name, f"{name}-cache", kill_at=point, report=report)
    assert answer == {"signal": signal.SIGKILL}, "the audit was to be killed"
    before = finished_steps(folder / name)
    resumed = ask(name, f"{name}-cache", report=report)
    assert (resumed["signal"], resumed["error"]) == (None, None)
    assert digests(folder / name) == digests(folder / "whole")
    assert EvidenceStore(folder / name).faults() == []
    redone = before - set(resumed["reused"])
    shutil.rmtree(folder / name)
    shutil.rmtree(folder / f"{name}-cache", ignore_errors=True)
    return before, redone


def kill_points(changes: int, count: int) -> list[int]:
    """Return moments of a run, one in each of `count` equal stretches of it."""
    drawn = random.Random(7)
    return [1 + int((index + drawn.random()) * changes / count) for index in range(count)]


def test_a_run_killed_early_or_late_redoes_nothing_and_ends_the_same(
    folder: Path, ask: Ask, whole: dict[str, Any]
) -> None:
    results = [
        killed_and_resumed(folder, ask, f"short-{point}", point, report=False)
        for point in kill_points(whole["changes"], 2)
    ]
    assert [redone for _, redone in results] == [set()] * 2
    assert len(results[-1][0]) > len(results[0][0]), "the points lie at different stages of the run"


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_run_killed_at_any_of_28_moments_redoes_nothing_and_ends_the_same(
    folder: Path, ask: Ask, whole: dict[str, Any]
) -> None:
    with_report = ask("reported", "reported-cache", report=True)["changes"]
    print(f"\n{with_report} changes of files in an undisturbed run, {len(finished_steps(folder / 'whole'))} units")
    points = [(point, False) for point in kill_points(whole["changes"], 25)]
    points += [(with_report - before, True) for before in (6, 3, 0)]  # while the report is written and sealed
    total = 0
    for point, report in points:
        before, redone = killed_and_resumed(folder, ask, f"long-{point}", point, report=report)
        total += len(redone)
        print(f"killed before change {point:4}: {len(before):2} units finished, {len(redone)} of them redone")
    print(f"{total} finished units redone in all, at {len(points)} moments")
    assert total == 0


def test_a_full_disk_is_an_error_and_the_next_run_goes_on(folder: Path, ask: Ask, whole: dict[str, Any]) -> None:
    del whole
    answer = ask("full", "full-cache", largest_file=20_000)
    assert "File too large" in answer["error"]
    assert not (folder / "full" / "evidence.json").exists()
    before = finished_steps(folder / "full")
    resumed = ask("full", "full-cache")
    assert resumed["error"] is None
    assert before <= set(resumed["reused"])
    assert digests(folder / "full") == digests(folder / "whole")


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 KB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mounted, check=False, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_a_disk_without_space_is_an_error_and_a_larger_one_goes_on(
    folder: Path, ask: Ask, whole: dict[str, Any], tiny_disk: Path
) -> None:
    del whole
    seen = ask(str(tiny_disk / "run"), "space-cache")
    assert "(disk-full)" in seen["error"], "a disk that is full already is seen before the run"
    assert not finished_steps(tiny_disk / "run")
    answer = ask(str(tiny_disk / "run"), "space-cache", fills_later=True)
    assert "No space left on device" in answer["error"]
    before = finished_steps(tiny_disk / "run")
    assert before, "some of it fitted"
    shutil.copytree(tiny_disk / "run", folder / "space")
    resumed = ask("space", "space-cache")
    assert resumed["error"] is None
    assert before <= set(resumed["reused"])
    assert digests(folder / "space") == digests(folder / "whole")


def test_a_vanished_cache_costs_no_finished_unit(folder: Path, ask: Ask, whole: dict[str, Any]) -> None:
    del whole
    shutil.copytree(folder / "whole", folder / "moved")
    answer = ask("moved", "another-cache")
    assert answer["error"] is None
    assert set(answer["reused"]) == finished_steps(folder / "whole")
    assert digests(folder / "moved") == digests(folder / "whole")


def test_a_second_audit_into_a_run_folder_in_use_is_refused_and_changes_nothing(
    folder: Path, ask: Ask, whole: dict[str, Any]
) -> None:
    del whole
    before = digests(folder / "whole")
    with locked(folder / "whole"):
        answer = ask("whole", "whole-cache")
    assert "another audit is running" in answer["error"]
    assert digests(folder / "whole") == before
