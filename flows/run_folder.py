"""Who may write into a run folder: one audit at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wolfhound.errors import PlanError


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the run folder for one audit. The lock is on the folder itself and ends with the process, however it ends.

    Raises:
        PlanError: another audit is running there, or the folder cannot be written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not os.access(root, os.W_OK):
            raise PermissionError(13, "it is not writable")
        folder = os.open(root, os.O_RDONLY)
    except OSError as error:
        raise PlanError(f"expected a writable run folder at {root}, but: {error.strerror}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(folder)
        raise PlanError(
            f"another audit is running in {root}; wait for it, or give this one another folder with --output"
        ) from error
    try:
        yield
    finally:
        os.close(folder)


def sweep(root: Path) -> None:
    """Remove what a killed audit left half written, which the seal would count. The folder is held by `locked`."""
    for partial in root.rglob(".*.partial"):
        partial.unlink()
