"""Facts about an audit's process: Prefect at home in our cache, telemetry off, and the user's own settings stand."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows import process_settings
from wolfhound.errors import PlanError

LOOK = """
import os, sys
from pathlib import Path
from flows import process_settings
process_settings.configure(Path(sys.argv[1]), prefect=True)
from prefect.settings import get_current_settings
settings = get_current_settings()
print(settings.home, settings.server.analytics_enabled, settings.server.ephemeral.startup_timeout_seconds)
"""


def look(folder: Path, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    command = [sys.executable, "-c", LOOK, str(folder)]
    done = subprocess.run(command, env=clean | environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_prefect_lives_in_our_cache_and_phones_nobody(tmp_path: Path) -> None:
    assert look(tmp_path) == f"{tmp_path}/prefect False 120"


def test_a_setting_that_the_user_made_stands(tmp_path: Path) -> None:
    assert look(tmp_path, PREFECT_HOME=str(tmp_path / "own")).startswith(f"{tmp_path}/own ")


def test_an_unusable_home_fails_at_once_and_not_after_half_a_minute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(os, "environ", dict(os.environ) | {"PREFECT_HOME": str(tmp_path / "file")})
    monkeypatch.delitem(sys.modules, "prefect", raising=False)
    with pytest.raises(PlanError, match=r"writable folder at .*file"):
        process_settings.configure(tmp_path, prefect=True)
