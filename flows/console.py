"""What a person sees while an audit runs: bars with a remaining time in a terminal, plain timed lines elsewhere."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from tqdm import tqdm

from wolfhound.progress import Advance, Progress, silent

LINE_EVERY_SECONDS = 15.0


def say(message: str, *, stream: TextIO | None = None) -> None:
    """Print one line with the time of day, past a progress bar if one is drawn. Results go to stdout, this does not."""
    tqdm.write(f"{time.strftime('%H:%M:%S')}  {message}", file=stream or sys.stderr)


def console_progress(*, quiet: bool = False) -> Progress:
    """Return the progress display that fits where stderr goes."""
    if quiet:
        return silent
    return _bar if sys.stderr.isatty() else _timed_lines


@contextmanager
def _bar(description: str, total: int) -> Iterator[Advance]:
    layout = "{desc:<44.44} {percentage:3.0f} % |{bar:24}| {elapsed} so far, {remaining} left"
    with tqdm(total=total, desc=description, leave=False, bar_format=layout, file=sys.stderr, mininterval=0.2) as bar:

        def advance(steps: int) -> None:
            bar.update(steps)

        yield advance
    say(f"{description}: done in {format_seconds(bar.format_dict['elapsed'])}")


@contextmanager
def _timed_lines(description: str, total: int) -> Iterator[Advance]:
    begun = last = time.monotonic()
    done = 0
    lock = threading.Lock()

    def advance(steps: int) -> None:
        nonlocal done, last
        with lock:
            done += steps
            now = time.monotonic()
            if now - last < LINE_EVERY_SECONDS or not done:
                return
            last = now
        left = (now - begun) / done * max(total - done, 0)
        say(f"{description}: {100 * done / max(total, 1):.0f} %, about {format_seconds(left)} left")

    yield advance
    say(f"{description}: done in {format_seconds(time.monotonic() - begun)}")


def format_seconds(seconds: float) -> str:
    """Return a duration as a person says it.

    >>> format_seconds(0.42), format_seconds(75), format_seconds(3700)
    ('0.4 s', '1 min 15 s', '1 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
