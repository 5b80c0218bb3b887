"""What surrounds the set-up: the Makefile's answers to the audit's exit codes, and the pinned versions."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parent.parent


def pins() -> dict[str, str]:
    lines = (PROJECT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def requirements() -> list[Requirement]:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    return [Requirement(text) for text in project["dependencies"] + extras["dev"] + extras["docs"]]


def make(folder: Path, *targets: str) -> subprocess.CompletedProcess[str]:
    # Without the variables by which a make around these tests speaks to a make inside them.
    variables = {"PATH": os.environ["PATH"]}
    command = ["make", "--no-print-directory", *targets]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=60, check=False)


def folder_whose_audit_exits(folder: Path, status: int) -> Path:
    """Return a folder with the Makefile, a set-up that does nothing, and a `wolfhound` that ends with `status`."""
    shutil.copy2(PROJECT / "Makefile", folder / "Makefile")
    for path, script in (("scripts/setup.sh", ""), (".venv/bin/wolfhound", f'echo "called: $*"; exit {status}')):
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_text(f"#!/bin/sh\n{script}\n")
        (folder / path).chmod(0o755)
    return folder


@pytest.mark.parametrize("status", [0, 1, 3])
def test_make_audit_counts_a_completed_audit_as_done_and_says_where_its_report_is(tmp_path: Path, status: int) -> None:
    done = make(folder_whose_audit_exits(tmp_path, status), "audit")
    assert done.returncode == 0
    assert "called: demo\n" in done.stdout
    assert "runs/demonstration/report.pdf" in done.stdout


@pytest.mark.parametrize("status", [2, 4, 130])
def test_make_audit_fails_where_the_audit_did_not_complete(tmp_path: Path, status: int) -> None:
    failed = make(folder_whose_audit_exits(tmp_path, status), "audit")
    assert failed.returncode != 0
    assert "report.pdf" not in failed.stdout


@pytest.mark.parametrize("target", ["audit", "test", "lint", "types", "check", "format"])
def test_no_command_runs_before_the_set_up_is_done(tmp_path: Path, target: str) -> None:
    folder = folder_whose_audit_exits(tmp_path, 0)
    (folder / "scripts" / "setup.sh").write_text("#!/bin/sh\necho broken >&2\nexit 7\n")
    failed = make(folder, target)
    assert failed.returncode != 0
    assert "called" not in failed.stdout


def test_make_alone_lists_every_command(tmp_path: Path) -> None:
    listed = make(folder_whose_audit_exits(tmp_path, 0))
    phony = re.search(r"^\.PHONY: (.*)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    for target in phony[1].split():
        assert re.search(rf"^make {target} +\w", listed.stdout, re.MULTILINE), target


@pytest.mark.parametrize("script", ["scripts/setup.sh", ".ci/run"])
def test_scripts_can_be_executed(script: str) -> None:
    assert (PROJECT / script).stat().st_mode & 0o111 == 0o111


def test_every_pin_is_a_plain_version_without_host_path_or_local_build() -> None:
    for line in (PROJECT / "constraints.txt").read_text().splitlines():
        assert line.startswith("# ") or re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line), line


def test_no_package_is_pinned_twice() -> None:
    lines = [line for line in (PROJECT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert len(lines) == len(pins())


def test_the_guide_is_built_with_the_packages_of_the_extra_docs_under_the_same_pins() -> None:
    (command,) = re.findall(r"^\t.*pip install.*$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    wanted = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["docs"]
    assert re.findall(r"'([^']+)'", command) == wanted
    assert "--constraint constraints.txt" in command


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_every_dependency_is_pinned_to_a_version_that_the_project_admits(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])
