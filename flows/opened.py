"""What a process has opened already: images and networks, each once a run, however many steps ask for it.

A worker that lives for weeks serves many runs, and a file that a plan names may hold other weights tonight: what was
opened for one run is never handed to another.
"""

import threading
from collections.abc import Callable
from typing import Any, Protocol

KEPT_RUNS = 2
"""Runs whose images and networks stay in memory at once; an audit and another that shares the worker with it."""


class OfRun(Protocol):
    """What belongs to one run."""

    @property
    def run_id(self) -> str:
        """Which run."""
        ...


_opened: dict[str, dict[tuple[object, ...], Any]] = {}
_opening = threading.RLock()


def once(job: OfRun, key: tuple[object, ...], opener: Callable[[], Any]) -> Any:
    """Return what `opener` made for this run, job and key, now or earlier in this process."""
    with _opening:
        kept = _opened.pop(job.run_id, {})
        _opened[job.run_id] = kept  # the run in use is the last to be dropped
        for run in list(_opened)[:-KEPT_RUNS]:
            del _opened[run]
        if (job, key) not in kept:
            kept[job, key] = opener()
        return kept[job, key]
