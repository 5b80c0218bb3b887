"""A user's folder in which plans are drafted, and the command that drafts them."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from flows.cli import app
from tests.flows.preflight.conftest import trained_state as trained_state
from tests.flows.preflight.conftest import workshop as workshop
from wolfhound.errors import WolfhoundError


@pytest.fixture
def project(workshop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder, and the one that commands are given in: images, a Python file and its weights."""
    for name in ("images", "nets.py", "net.safetensors"):
        (tmp_path / name).symlink_to(workshop / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WOLFHOUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("flows.budgeting.CALIBRATION_SECONDS", 0.01)  # nothing here depends on how long it takes
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "cache" / "matplotlib"))
    return tmp_path


def invoked(*arguments: str, said: str = "") -> Result:
    """Run `wolfhound init`."""
    return CliRunner().invoke(app, ["init", *arguments], input=said)


def draft(*arguments: str, said: str = "") -> str:
    """Run `wolfhound init`, which must succeed; return what it says."""
    done = invoked(*arguments, said=said)
    assert done.exit_code == 0, done.exception
    return done.output


def refusal(*arguments: str) -> str:
    """Run `wolfhound init --yes`, which must refuse and write nothing; return why."""
    done = invoked("--yes", *arguments)
    assert isinstance(done.exception, WolfhoundError), done.output
    assert not Path("audit.yaml").exists()
    return str(done.exception)
