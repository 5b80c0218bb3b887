"""Prefect's environment for the embedded default: quiet, at home in our cache folder, telemetry off.

Prefect reads its settings when it is imported, so the command line calls `configure` before that. A setting that the
user has made stands. Nothing happens at import.
"""

import os
import sys
from pathlib import Path

from wolfhound.errors import PlanError


def configure(cache: Path) -> None:
    """Set Prefect's environment variables that the user has not set, with its home in `cache`.

    Raises:
        PlanError: Prefect was imported before (then the settings would have no effect), or its home is not writable.
    """
    if "prefect" in sys.modules:
        raise PlanError("Prefect was imported before its settings were made; call configure first")
    home = Path(os.environ.get("PREFECT_HOME", cache / "prefect"))
    _check_writable(home)
    defaults = {
        "PREFECT_HOME": str(home),
        # Both are needed: the first silences the client, the second the embedded server.
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_LOGGING_TO_API_ENABLED": "true" if "PREFECT_API_URL" in os.environ else "false",
        "PREFECT_CLI_COLORS": "false",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _check_writable(home: Path) -> None:
    """An unusable home would make Prefect fail after half a minute with a misleading message."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / f".wolfhound-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise PlanError(
            f"expected a writable folder for Prefect at {home}, but: {error.strerror}; set PREFECT_HOME or --cache"
        ) from error
