"""One rendered report for all tests of this folder: rendering takes seconds."""

from pathlib import Path

import pytest

from reports.render import RenderedReport, render
from tests.reports import sample
from wolfhound.store import EvidenceStore


@pytest.fixture(scope="session")
def small_store(tmp_path_factory: pytest.TempPathFactory) -> EvidenceStore:
    """A run folder with one finding of each kind. Read-only: copy it to change it."""
    return sample.small_run(tmp_path_factory.mktemp("small") / "run")


@pytest.fixture(scope="session")
def small_report(small_store: EvidenceStore) -> RenderedReport:
    """Its report, unsealed."""
    return render(small_store)


@pytest.fixture(scope="session")
def bare_report(tmp_path_factory: pytest.TempPathFactory) -> RenderedReport:
    """The report of an audit that tested next to nothing."""
    return render(sample.bare_run(tmp_path_factory.mktemp("bare") / "run"))


@pytest.fixture
def run_folder(tmp_path: Path) -> EvidenceStore:
    """A small run folder of the test's own."""
    return sample.small_run(tmp_path / "run")
