"""What steps say (used again, or to be done and why) goes to the log of the run that asks for them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class _To(logging.Handler):
    def __init__(self, logger: "logging.Logger | logging.LoggerAdapter[Any]") -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        self._logger.log(record.levelno, record.getMessage())


@contextmanager
def steps_told_to(logger: "logging.Logger | logging.LoggerAdapter[Any]") -> Iterator[None]:
    """Hand on to `logger` what Wolfhound logs inside the block, and to nobody else: `logger` knows how quiet to be."""
    ours, handler = logging.getLogger("wolfhound"), _To(logger)
    level, propagate = ours.level, ours.propagate
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    ours.propagate = False
    try:
        yield
    finally:
        ours.removeHandler(handler)
        ours.setLevel(level)
        ours.propagate = propagate
