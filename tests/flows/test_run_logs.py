"""Facts about the log of a run: it holds what steps say, and nobody else hears it."""

import logging

import pytest

from flows.run_logs import steps_told_to
from flows.steps import LOG


def test_what_steps_say_goes_to_the_log_of_the_run_alone(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []
    run = logging.Logger("run", logging.INFO)
    run.addHandler(handler := logging.Handler())
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    with caplog.at_level(logging.INFO), steps_told_to(run):
        LOG.info("%s: used again", "table/first")
    assert heard == ["table/first: used again"]
    assert caplog.messages == []


def test_afterwards_the_log_is_as_it_was_also_after_an_error() -> None:
    ours = logging.getLogger("wolfhound")
    before = (ours.level, ours.propagate, list(ours.handlers))
    with pytest.raises(RuntimeError), steps_told_to(logging.getLogger("run")):
        raise RuntimeError
    assert (ours.level, ours.propagate, list(ours.handlers)) == before


def test_a_quiet_run_stays_quiet() -> None:
    run = logging.Logger("run", logging.ERROR)
    run.addHandler(handler := logging.Handler())
    handler.emit = lambda record: pytest.fail(record.getMessage())  # type: ignore[method-assign]
    with steps_told_to(run):
        LOG.info("table/first: used again")
