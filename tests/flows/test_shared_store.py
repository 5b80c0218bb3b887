"""Facts about run folders kept at a URL: what one process stored another finds, and nothing damaged is believed."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.local import LocalFileSystem

from flows.audit import prepare, run_audit
from flows.audit_job import AuditJob
from flows.shared_store import SharedStore, shared_url
from flows.steps import Step, StepValue, noting_reuse, pack, unpack
from tests.flows.faults import write_subjects
from tests.flows.servers import answers, free_port, running, wait_until
from wolfhound.errors import EvidenceError, PlanError
from wolfhound.store import EvidenceStore


def stores(tmp_path: Path) -> tuple[SharedStore, SharedStore]:
    """Return the stores of two machines that have nothing in common but a URL."""
    url = f"file://{tmp_path / 'remote'}"
    return SharedStore(tmp_path / "one", url), SharedStore(tmp_path / "other", url)


def finish(store: EvidenceStore, seed: int = 1) -> StepValue:
    return Step(store, "table/net", {"seed": seed}).once(lambda: {"ledger": pack(store.put(b"a,b\n", ".csv"))})


def test_what_one_machine_finished_another_finds_with_its_files(tmp_path: Path) -> None:
    one, other = stores(tmp_path)
    value = finish(one)
    with noting_reuse() as reused:
        assert finish(other) == value
    assert reused == {"table/net"}
    assert other.get(unpack(value["ledger"])) == b"a,b\n"


def test_a_damaged_file_at_the_url_is_no_file(tmp_path: Path) -> None:
    one, other = stores(tmp_path)
    artefact = unpack(finish(one)["ledger"])
    (tmp_path / "remote" / artefact.path).write_bytes(b"a;b\n")
    assert not other.holds(artefact)
    with noting_reuse() as reused:
        finish(other)
    assert reused == set(), "the step was done again"
    assert (other.root / artefact.path).read_bytes() == b"a,b\n"


def test_a_record_here_is_not_replaced_by_an_older_one_there(tmp_path: Path) -> None:
    one, other = stores(tmp_path)
    finish(one, seed=1)
    finish(other, seed=2)
    with noting_reuse() as reused:
        finish(one, seed=1)
    assert reused == {"table/net"}


def test_gathering_brings_all_that_others_stored(tmp_path: Path) -> None:
    one, other = stores(tmp_path)
    finish(one)
    assert other.has_steps()
    other.gather()
    assert list(other.files()) == list(one.files())


def test_gathering_replaces_the_record_of_an_older_plan(tmp_path: Path) -> None:
    one, other = stores(tmp_path)
    finish(one, seed=1)
    value = Step(other, "table/net", {"seed": 2}).once(lambda: {"ledger": pack(other.put(b"newer\n", ".csv"))})
    one.gather()
    assert one.step("table/net", Step(one, "table/net", {"seed": 2}).key) == value
    assert EvidenceStore(one.root).holds(unpack(value["ledger"]))


@pytest.mark.parametrize("url", ["nosuch://bucket/audits", "audits://x"])
def test_a_url_that_nobody_knows_is_a_fault_of_the_input(url: str, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="expected the URL of a storage"):
        shared_url(url, tmp_path / "run")


def test_storage_that_refuses_is_named(tmp_path: Path) -> None:
    (tmp_path / "remote").write_text("a file, no folder")
    with pytest.raises(EvidenceError, match="expected storage that can be read and written at file:"):
        finish(stores(tmp_path)[0])


def test_what_the_library_of_a_protocol_raises_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoCredentialsError(Exception):
        """Of a library that has no errors of the system's kind."""

    def refuse(*_: object, **__: object) -> bytes:
        raise NoCredentialsError("unable to locate credentials")

    monkeypatch.setattr(LocalFileSystem, "ls", refuse)
    with pytest.raises(EvidenceError, match=r"at file:.*unable to locate credentials"):
        stores(tmp_path)[0].has_steps()


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of a local S3 server."""
    pytest.importorskip("moto")
    s3fs = pytest.importorskip("s3fs")
    endpoint = f"http://127.0.0.1:{(port := free_port())}"
    for name, value in (("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with running(command, log=tmp_path / "s3.log"):
        wait_until(lambda: answers(f"{endpoint}/moto-api/"), what="the S3 server")
        s3fs.S3FileSystem(endpoint_url=endpoint).mkdir("audits")
        yield endpoint


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_an_audit_goes_on_from_s3_on_a_machine_that_has_nothing(bucket: str, tmp_path: Path) -> None:
    plan = write_subjects(tmp_path)
    program = (
        "import sys, json; from pathlib import Path; from tests.flows.test_shared_store import audited\n"
        "print(json.dumps(audited(Path(sys.argv[1]), Path(sys.argv[2]))))"
    )
    environment = os.environ | {"FSSPEC_S3_ENDPOINT_URL": bucket}
    reused = []
    for machine in ("one", "other"):
        command = [sys.executable, "-c", program, str(plan), str(tmp_path / machine)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        reused.append(json.loads(done.stdout.splitlines()[-1]))
    assert reused[0] == []
    assert len(reused[1]) == 10
    first, second = (tmp_path / machine / "run" / "evidence.json" for machine in ("one", "other"))
    assert first.read_bytes() == second.read_bytes()
    assert EvidenceStore(second.parent).faults() == []


def audited(plan: Path, machine: Path) -> list[str]:
    """Run the audit of a plan on a machine that has its own disk, and return the steps that were found done."""
    root = machine / "run"
    shared = shared_url("s3://audits", root)
    job = AuditJob(plan.read_bytes(), plan.parent, root, machine / "cache", "wolfhound run", shared=shared)
    prepare(job)
    run_audit(job)
    return list(job.store.run_record().reused)
