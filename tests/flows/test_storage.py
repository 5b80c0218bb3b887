"""A full or read-only disk ends in a sentence, loses nothing that was finished, and leaves nothing half-written."""

import errno
import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows import cli
from flows.audit import run_audit
from flows.audit_job import AuditJob
from flows.storage import check_writable, storage_fault
from tests.flows.preflight.conftest import Plan
from tests.flows.preflight.conftest import make_job as make_job
from tests.flows.preflight.conftest import trained_state as trained_state
from tests.flows.preflight.conftest import workshop as workshop
from wolfhound.errors import PlanError
from wolfhound.evidence import dump_evidence
from wolfhound.store import EvidenceStore, write_atomically

ATTACKS = """\
universal:
  - {attack: sgd_uap, threat: {norm: linf, epsilon: 8/255}, options: {passes: 2}}
robust:
  - {attack: pgd, threat: {norm: linf, epsilon: 4/255}, images: 12, checked: 4}
targeted:
  - {threat: {norm: linf, epsilon: 8/255}, images: 8, shown: 2}
natural:
  - {corruptions: [gaussian_noise], severities: [3], images: 12}
"""


def mount(folder: Path, options: str) -> None:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"needs to mount a small disk, which is not allowed here: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount(folder, "size=16k")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A disk that nobody may write to, the administrator included."""
    folder = tmp_path / "read-only"
    folder.mkdir()
    mount(folder, "ro,size=16k")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_an_audit_on_a_full_disk_goes_on_to_the_same_evidence_once_there_is_room(
    disk: Path, make_job: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.audit.render", lambda *_, **__: None)
    usual = make_job(rest=ATTACKS)
    expected = dump_evidence(run_audit(usual).evidence)
    job = AuditJob(usual.source, usual.folder, disk / "run", usual.cache, usual.command)
    with pytest.raises(OSError, match="No space left on device") as raised:
        run_audit(job)
    assert "the disk is full" in str(storage_fault(raised.value))
    kept = sorted(path.name for path in (job.root / "steps").iterdir())
    assert kept[0].startswith("clean_net-")
    assert not [path for path in job.root.rglob("*") if ".partial" in path.name]
    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
    resumed = run_audit(job)
    assert dump_evidence(resumed.evidence) == expected
    assert "clean/net" in EvidenceStore(job.root).run_record().reused
    assert EvidenceStore(job.root).faults() == []


def test_a_read_only_output_is_said_before_any_work(read_only: Path, make_job: Plan, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_bytes(make_job().source)
    arguments = ["run", str(tmp_path / "plan.yaml"), "--output", str(read_only / "run"), "--cache", str(tmp_path / "c")]
    done = CliRunner().invoke(cli.app, [*arguments, "--without-prefect"])
    assert isinstance(done.exception, PlanError)
    assert f"expected to be allowed to write in {read_only}" in str(done.exception)
    assert not (tmp_path / "c" / "images").exists()


def test_a_run_that_broke_off_names_the_command_that_goes_on_with_all_that_was_typed(
    make_job: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", break_off)
    monkeypatch.setattr(cli.process_settings, "interrupt_on_termination", lambda: None)
    job = make_job()
    (job.folder / "my plan.yaml").write_bytes(job.source)
    places = ["--output", str(tmp_path / "run"), "--cache", str(job.cache)]
    typed = ["run", str(job.folder / "my plan.yaml"), *places, "--quiet", "--without-prefect"]
    done = CliRunner().invoke(cli.app, typed)
    assert done.exit_code == cli.BROKE_OFF, done.output
    (said,) = (line for line in done.stderr.splitlines() if "Resume it with: " in line)
    assert shlex.split(said.partition("Resume it with: ")[2]) == ["wolfhound", *typed]


def test_a_file_where_the_run_folder_should_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(PlanError, match="got a file"):
        check_writable(tmp_path / "taken" / "run")
    check_writable(tmp_path / "new" / "run")
    assert not (tmp_path / "new").exists()


def test_nothing_half_written_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "file", b"before")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(descriptor))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "file", b"after")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"before"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/data/run"), "the disk is full at /data/run"),
        (OSError(errno.EROFS, "Read-only file system", "/data/run"), "no writing is allowed at /data/run"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "the disk is full"),
    ],
)
def test_the_systems_words_become_a_sentence_with_a_way_out(error: Exception, said: str) -> None:
    found = storage_fault(error)
    assert found is not None
    assert found.startswith(said)
    outer = ValueError("while writing")
    outer.__cause__ = error
    assert storage_fault(outer) == found


def test_other_errors_are_none_of_its_business() -> None:
    assert storage_fault(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None
    assert storage_fault(ValueError("wrong")) is None


def test_a_run_that_meets_a_full_disk_says_so_and_how_to_resume(capsys: pytest.CaptureFixture[str]) -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "/data/run/steps")
    assert cli._broke_off(error, "wolfhound run plan.yaml") == cli.BROKE_OFF
    said = capsys.readouterr().err
    assert "the audit broke off: the disk is full at /data/run/steps" in said
    assert "Resume it with: wolfhound run plan.yaml" in said


@pytest.mark.parametrize("error", [RuntimeError("a bug"), OSError(errno.ENOENT, "no such file")])
def test_a_fault_of_the_program_does_not_end_like_a_criterion_that_is_not_met(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise error

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == cli.BROKE_OFF
    assert f"{type(error).__name__}: {error}" in capsys.readouterr().err


def test_a_full_disk_before_the_run_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/cache/images")

    monkeypatch.setattr(cli, "app", full)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == cli.BAD_INPUT
    assert capsys.readouterr().err.startswith("wolfhound: the disk is full at /cache/images")
