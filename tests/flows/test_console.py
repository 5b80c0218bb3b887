"""Facts about what a person sees: bars in a terminal, timed lines elsewhere, nothing when asked to be quiet."""

import io
import sys

import pytest

from flows import console
from wolfhound.progress import silent


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_there_are_plain_timed_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(console, "LINE_EVERY_SECONDS", 0.0)
    with console.console_progress()("training", 4) as advance:
        advance(1)
        advance(3)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3
    assert "training: 25 %, about" in lines[0]
    assert "training: 100 %" in lines[1]
    assert "training: done in" in lines[2]
    assert "\r" not in stream.getvalue()


def test_in_a_terminal_there_is_a_bar_with_a_remaining_time(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with console.console_progress()("training", 4) as advance:
        advance(2)
    assert "left" in stream.getvalue()
    assert "training: done in" in stream.getvalue().splitlines()[-1]


def test_quiet_means_silent() -> None:
    assert console.console_progress(quiet=True) is silent
