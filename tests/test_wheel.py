"""The wheel holds all that the application needs, and works from an empty folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from wolfhound import __version__

PROJECT = Path(__file__).parent.parent
PACKAGES = ("wolfhound", "attacks", "explainers", "reports", "flows", "plans")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")


def ran(*command: str | Path, folder: Path, path: Path | None = None) -> str:
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    if path is not None:
        variables["PYTHONPATH"] = str(path)
    done = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, timeout=240, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, offline, from a copy: building leaves files in the folder that it builds from."""
    source, target = tmp_path_factory.mktemp("source") / "wolfhound", tmp_path_factory.mktemp("wheel")
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(PROJECT / name, source / name)
    for package in PACKAGES:
        shutil.copytree(PROJECT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    ran(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", target, source, folder=target)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    ran(*PIP, "install", "--no-deps", "--no-index", "--target", folder, wheel, folder=folder)
    return folder


@pytest.mark.parametrize("package", PACKAGES)
def test_every_file_of_a_package_is_in_the_wheel(wheel: Path, package: str) -> None:
    """Modules, but also plans, templates, style sheets, typefaces, reference tables."""
    here = {
        path.relative_to(PROJECT).as_posix()
        for path in (PROJECT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert here, f"{package} has no files"
    assert here - set(zipfile.ZipFile(wheel).namelist()) == set()


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    """No tests, no runs, no build folder: they would land in the site-packages of whoever installs it."""
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {*PACKAGES, f"wolfhound-{__version__}.dist-info"}


def test_the_wheel_carries_the_licence_and_the_version(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    information = f"wolfhound-{__version__}.dist-info"
    assert "Apache License" in archive.read(f"{information}/licenses/LICENSE").decode()
    metadata = archive.read(f"{information}/METADATA").decode().splitlines()
    assert f"Version: {__version__}" in metadata
    assert "Requires-Python: >=3.11" in metadata


def test_the_installed_command_works_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    script = installed / "bin" / "wolfhound"
    told = ran(sys.executable, script, "--help", folder=tmp_path, path=installed)
    for command in ("run", "demo", "report", "verify", "doctor", "plan"):
        assert command in told
    assert ran(sys.executable, script, "--version", folder=tmp_path, path=installed) == f"wolfhound {__version__}\n"
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_module_is_the_installed_one_and_can_be_run_as_a_module(
    installed: Path, tmp_path: Path
) -> None:
    place = ran(sys.executable, "-c", "import flows.cli as c; print(c.__file__)", folder=tmp_path, path=installed)
    assert Path(place.strip()) == installed / "flows" / "cli.py"
    assert "Usage" in ran(sys.executable, "-m", "flows.cli", "--help", folder=tmp_path, path=installed)


def test_a_plan_out_of_the_wheel_passes_its_check_and_editors_get_its_schema(installed: Path, tmp_path: Path) -> None:
    script = installed / "bin" / "wolfhound"
    plan = installed / "plans" / "demonstration.yaml"
    ran(sys.executable, script, "plan", "check", plan, folder=tmp_path, path=installed)
    assert '"properties"' in ran(sys.executable, script, "plan", "schema", folder=tmp_path, path=installed)
