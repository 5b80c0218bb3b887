"""The set-up script, run whole on imitated machines: every program that it calls is a stub that notes its call."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
REAL_TOOLS = ("sh", "cat", "cksum", "sed", "mkdir", "find", "rm", "mv", "basename", "dirname", "tail", "env", "cp")
SYSTEM_PACKAGES = "libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core"

# What the machine lacks stands in files of $STATE; the stubs read them, and apt-get mends them.
PYTHON = r"""#!/bin/sh
case "$*" in
*version_info\ \<*) [ ! -e "$STATE/old-$(basename "$0")" ]; exit ;;
--version) if [ -e "$STATE/old-$(basename "$0")" ]; then echo "Python 3.9.2"; else echo "Python 3.12.4"; fi; exit ;;
*version_info\[0\]*) echo python3.12-venv; exit ;;
*"import ensurepip"*) [ ! -e "$STATE/no-venv" ]; exit ;;
-) cat "$STATE/libraries" 2>/dev/null; cat >/dev/null; exit ;;
esac
echo "$(basename "$0") $*" >>"$STATE/calls"
case "$*" in
"-m venv "*) mkdir -p "$3/bin"; cp "$0" "$3/bin/python" ;;
*"pip install"*) [ ! -e "$STATE/pip-fails" ] ;;
esac
"""
APT = r"""#!/bin/sh
echo "apt-get $*" >>"$STATE/calls"
case "$1" in
install)
    if [ -e "$STATE/apt-fails" ]; then echo "E: no such package"; exit 100; fi
    rm -f "$STATE/libraries" "$STATE/no-venv" ;;
esac
"""
SUDO = """#!/bin/sh
echo "sudo $*" >>"$STATE/calls"
[ "$1" != -n ] || shift
exec "$@"
"""


@dataclass(frozen=True)
class Machine:
    """A copy of the set-up in a folder of its own, with a PATH on which nothing but the stubs and plain tools is."""

    root: Path
    bin: Path
    state: Path

    def has(self, name: str, script: str) -> None:
        (self.bin / name).write_text(script)
        (self.bin / name).chmod(0o755)

    def lacks(self, name: str, content: str = "") -> None:
        (self.state / name).write_text(content)

    def mended(self, name: str) -> None:
        (self.state / name).unlink()

    def set_up(self, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.bin), "STATE": str(self.state), **variables}
        return subprocess.run(
            [self.root / "scripts" / "setup.sh"], env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def calls(self) -> list[str]:
        """The calls since the last look."""
        file = self.state / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return lines


def machine_in(folder: Path) -> Machine:
    machine = Machine(folder / "project", folder / "bin", folder / "state")
    (machine.root / "scripts").mkdir(parents=True)
    machine.bin.mkdir()
    machine.state.mkdir()
    shutil.copy2(PROJECT / "scripts" / "setup.sh", machine.root / "scripts" / "setup.sh")
    (machine.root / "pyproject.toml").write_text("[project]\n")
    (machine.root / "constraints.txt").write_text("torch==1\n")
    for tool in REAL_TOOLS:
        found = shutil.which(tool)
        assert found is not None, f"this test needs {tool}"
        (machine.bin / tool).symlink_to(found)
    machine.has("python3", PYTHON)
    machine.has("apt-get", APT)
    machine.has("id", "#!/bin/sh\necho 0\n")
    return machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return machine_in(tmp_path)


def packages_installed(calls: list[str]) -> list[str]:
    return [call.split("Timeout=300 ")[1] for call in calls if call.startswith("apt-get install")]


def pip_calls(calls: list[str]) -> list[str]:
    return [call.split("--quiet ")[1] for call in calls if " -m pip install " in call]


def test_a_bare_machine_gets_the_system_packages_then_the_environment_then_the_pinned_packages(
    machine: Machine,
) -> None:
    machine.lacks("libraries", "pangoft2-1.0 harfbuzz-subset\n")
    machine.lacks("no-venv")
    done = machine.set_up()
    calls = machine.calls()
    assert done.returncode == 0, done.stderr
    assert packages_installed(calls) == [f"{SYSTEM_PACKAGES} python3.12-venv"]
    assert [call.split()[0] for call in calls] == ["apt-get", "apt-get", "python3", "python", "python", "python"]
    assert calls[2] == f"python3 -m venv {machine.root}/.venv"
    assert pip_calls(calls) == [
        "-c constraints.txt setuptools wheel",
        "-c constraints.txt --no-build-isolation -e .[dev]",
    ]


def test_nothing_is_installed_into_a_system_that_lacks_nothing(machine: Machine) -> None:
    assert machine.set_up().returncode == 0
    assert not [call for call in machine.calls() if call.startswith(("apt-get", "sudo"))]


@pytest.mark.parametrize(("lacking", "packages"), [("libraries", SYSTEM_PACKAGES), ("no-venv", "python3.12-venv")])
def test_only_what_is_missing_is_installed(machine: Machine, lacking: str, packages: str) -> None:
    machine.lacks(lacking, "harfbuzz-subset\n")
    assert machine.set_up().returncode == 0
    assert packages_installed(machine.calls()) == [packages]


def test_a_second_call_does_nothing_and_says_nothing(machine: Machine) -> None:
    machine.set_up()
    machine.calls()
    again = machine.set_up()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert machine.calls() == []


@pytest.mark.parametrize("file", ["pyproject.toml", "constraints.txt", "scripts/setup.sh"])
def test_a_change_of_what_decides_the_set_up_installs_again_into_the_same_environment(
    machine: Machine, file: str
) -> None:
    machine.set_up()
    machine.calls()
    with (machine.root / file).open("a") as stream:
        stream.write("# changed\n")
    assert machine.set_up().returncode == 0
    calls = machine.calls()
    assert len(pip_calls(calls)) == 2
    assert not [call for call in calls if "-m venv" in call]
    assert machine.set_up().returncode == 0
    assert machine.calls() == []


def test_a_file_touched_but_not_changed_installs_nothing(machine: Machine) -> None:
    machine.set_up()
    machine.calls()
    os.utime(machine.root / "pyproject.toml", (2_000_000_000, 2_000_000_000))
    machine.set_up()
    assert machine.calls() == []


def test_a_set_up_that_broke_off_is_begun_again_from_nothing(machine: Machine) -> None:
    machine.lacks("pip-fails")
    broken = machine.set_up()
    assert broken.returncode != 0
    (machine.root / ".venv" / "half-a-package").write_text("")
    machine.calls()
    machine.mended("pip-fails")
    assert machine.set_up().returncode == 0
    assert f"python3 -m venv {machine.root}/.venv" in machine.calls()
    assert not (machine.root / ".venv" / "half-a-package").exists()
    machine.set_up()
    assert machine.calls() == []


def test_an_upgrade_that_broke_off_is_begun_again_from_nothing(machine: Machine) -> None:
    machine.set_up()
    (machine.root / "constraints.txt").write_text("torch==2\n")
    machine.lacks("pip-fails")
    assert machine.set_up().returncode != 0
    (machine.root / "constraints.txt").write_text("torch==1\n")  # back to what was ready once
    machine.mended("pip-fails")
    machine.calls()
    assert machine.set_up().returncode == 0
    assert f"python3 -m venv {machine.root}/.venv" in machine.calls()


def test_an_environment_of_the_users_own_is_used_and_kept(machine: Machine) -> None:
    (machine.root / ".venv" / "bin").mkdir(parents=True)
    shutil.copy2(machine.bin / "python3", machine.root / ".venv" / "bin" / "python")
    (machine.root / ".venv" / "own").write_text("")
    assert machine.set_up().returncode == 0
    assert not [call for call in machine.calls() if "-m venv" in call]
    assert (machine.root / ".venv" / "own").exists()


def test_an_environment_whose_interpreter_is_gone_is_made_anew(machine: Machine) -> None:
    machine.set_up()
    (machine.root / ".venv" / "bin" / "python").unlink()
    machine.calls()
    assert machine.set_up().returncode == 0
    assert f"python3 -m venv {machine.root}/.venv" in machine.calls()


def test_a_moved_project_gets_a_new_environment(machine: Machine, tmp_path: Path) -> None:
    machine.set_up()
    machine.calls()
    moved = Machine(machine.root.rename(tmp_path / "elsewhere"), machine.bin, machine.state)
    assert moved.set_up().returncode == 0
    assert f"python3 -m venv {tmp_path}/elsewhere/.venv" in machine.calls()


def test_an_old_python_is_refused_in_one_line_that_names_its_version(machine: Machine) -> None:
    machine.lacks("old-python3")
    refused = machine.set_up()
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert "expected Python 3.11 or newer, got Python 3.9.2" in refused.stderr
    assert not (machine.root / ".venv").exists()


def test_a_machine_without_python_is_refused_in_one_line(machine: Machine) -> None:
    (machine.bin / "python3").unlink()
    refused = machine.set_up()
    assert refused.returncode == 1
    assert "expected Python 3.11 or newer" in refused.stderr.splitlines()[-1]


def test_the_newest_python_is_taken_where_python3_is_old(machine: Machine) -> None:
    machine.lacks("old-python3")
    for name in ("python3.11", "python3.13"):
        machine.has(name, PYTHON)
    assert machine.set_up().returncode == 0
    assert f"python3.13 -m venv {machine.root}/.venv" in machine.calls()


def test_the_interpreter_can_be_chosen(machine: Machine) -> None:
    machine.has("mine", PYTHON)
    assert machine.set_up(PYTHON="mine").returncode == 0
    assert f"mine -m venv {machine.root}/.venv" in machine.calls()


def test_without_apt_one_line_says_what_to_install(machine: Machine) -> None:
    machine.lacks("libraries", "pango-1.0\n")
    (machine.bin / "apt-get").unlink()
    refused = machine.set_up()
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert "lacks the libraries pango-1.0, which WeasyPrint needs" in line
    assert SYSTEM_PACKAGES in line
    assert not (machine.root / ".venv").exists()


def test_without_rights_one_line_says_what_to_install(machine: Machine) -> None:
    machine.lacks("no-venv")
    machine.has("id", "#!/bin/sh\necho 1000\n")
    refused = machine.set_up()
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert "Python's own venv and ensurepip" in line
    assert "install as root: apt-get install python3.12-venv" in line
    assert machine.calls() == []


def test_another_user_installs_through_sudo_and_is_not_asked_where_nobody_can_answer(machine: Machine) -> None:
    machine.lacks("libraries", "pango-1.0\n")
    machine.has("id", "#!/bin/sh\necho 1000\n")
    machine.has("sudo", SUDO)
    assert machine.set_up().returncode == 0
    calls = machine.calls()
    assert packages_installed(calls) == [SYSTEM_PACKAGES]
    assert [call for call in calls if call.startswith("sudo ")] == [
        "sudo -n apt-get update -qq",
        f"sudo -n env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "
        f"-o DPkg::Lock::Timeout=300 {SYSTEM_PACKAGES}",
    ]


def test_a_failed_installation_shows_why_and_what_to_do(machine: Machine) -> None:
    machine.lacks("libraries", "pango-1.0\n")
    machine.lacks("apt-fails")
    refused = machine.set_up()
    assert refused.returncode == 1
    assert "E: no such package" in refused.stderr
    assert f"apt-get install {SYSTEM_PACKAGES}" in refused.stderr.splitlines()[-1]


def test_torch_comes_from_the_index_that_was_asked_for_and_is_kept(machine: Machine) -> None:
    assert machine.set_up(TORCH_INDEX="https://example.org/cpu").returncode == 0
    from_index = "-c constraints.txt --no-deps --index-url https://example.org/cpu torch torchvision"
    assert pip_calls(machine.calls())[1] == from_index
    machine.set_up()
    assert machine.calls() == []
    (machine.root / "constraints.txt").write_text("torch==2\n")
    machine.set_up()
    assert pip_calls(machine.calls())[1] == from_index


def test_another_index_of_torch_makes_the_environment_anew(machine: Machine) -> None:
    machine.set_up()
    machine.calls()
    machine.set_up(TORCH_INDEX="https://example.org/cpu")
    assert f"python3 -m venv {machine.root}/.venv" in machine.calls()


def test_the_index_outlives_a_set_up_that_broke_off(machine: Machine) -> None:
    machine.lacks("pip-fails")
    machine.set_up(TORCH_INDEX="https://example.org/cpu")
    machine.mended("pip-fails")
    machine.calls()
    assert machine.set_up().returncode == 0
    assert any("https://example.org/cpu torch torchvision" in call for call in machine.calls())
