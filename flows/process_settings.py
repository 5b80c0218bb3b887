"""The environment of an audit's process: libraries at home in our cache folder, quiet, telemetry off.

Prefect and matplotlib read these settings when they are imported, so the command line calls `configure` before that. A
setting that the user has made stands. Nothing happens at import.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from wolfhound.errors import PlanError


def configure(cache: Path, *, prefect: bool) -> None:
    """Set the environment variables that the user has not set, so that nothing is written outside `cache`.

    Raises:
        PlanError: Prefect was imported before (then its settings would have no effect), or `cache` is not writable.
    """
    defaults = {"MPLCONFIGDIR": str(cache / "matplotlib")}
    if prefect:
        if "prefect" in sys.modules:
            raise PlanError("Prefect was imported before its settings were made; call configure first")
        defaults |= _prefect_defaults(cache)
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    _check_writable(cache)
    if prefect:
        _check_writable(Path(os.environ["PREFECT_HOME"]))


def _prefect_defaults(cache: Path) -> dict[str, str]:
    return {
        "PREFECT_HOME": str(cache / "prefect"),
        # Both are needed: the first silences the client, the second the embedded server.
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_LEVEL": "ERROR",
        "PREFECT_LOGGING_TO_API_ENABLED": "true" if "PREFECT_API_URL" in os.environ else "false",
    }


def _check_writable(folder: Path) -> None:
    """An unusable home would make Prefect fail after half a minute with a misleading message."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".wolfhound-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise PlanError(
            f"expected a writable folder at {folder}, but: {error.strerror}; choose another with --cache "
            "(PREFECT_HOME for Prefect's own)"
        ) from error


def interrupt_on_termination() -> None:
    """Treat SIGTERM as an interruption, so that a stopped container leaves a run that says how to resume it."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
