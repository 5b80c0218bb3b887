"""How long work tells that it moves: a context that hands out an `advance(steps)` function.

The drawing (a bar in a terminal, timed lines elsewhere) is the caller's business; see flows.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    """Opens one stretch of long work of a known number of steps."""

    def __call__(self, description: str, total: int) -> AbstractContextManager[Advance]: ...


@contextmanager
def silent(description: str, total: int) -> Iterator[Advance]:  # noqa: ARG001
    """The progress that shows nothing; the default everywhere."""
    yield lambda _: None
