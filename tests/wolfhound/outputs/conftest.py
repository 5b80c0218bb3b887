"""Results with every verdict, and results whose names were chosen to break formats."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.reports import sample
from wolfhound.finished import FinishedRun, read_finished
from wolfhound.result import Result

HOSTILE = "a\x00\x1b[31m]]>\n::error::<script>alert(1)</script>|[x](https://evil.example)%0A`$(id)`\u202e"
"""Terminal escapes, the end of CDATA, a workflow command, markup, a link, a shell's substitution, a direction mark."""


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """A sealed run folder with every verdict. Read-only."""
    store = sample.small_run(tmp_path_factory.mktemp("sealed") / "run")
    store.seal()
    return read_finished(store.root)


@pytest.fixture
def result(finished: FinishedRun) -> Result:
    return finished.result


@pytest.fixture
def hostile(result: Result) -> Result:
    """The same result, but every free text is hostile."""
    judgements = tuple(
        replace(row, text=HOSTILE, subject=HOSTILE, reason=HOSTILE, doubts=(HOSTILE,), clauses=(HOSTILE,))
        for row in result.judgements
    )
    return replace(result, audit=HOSTILE, judgements=judgements, not_tested=(HOSTILE,))


@pytest.fixture
def plan() -> bytes:
    return b"name: demonstration\ncriteria:\n  - id: accuracy\n    text: x\n  - {id: universal}\n"


@pytest.fixture
def run_root(finished: FinishedRun) -> Path:
    return finished.store.root
