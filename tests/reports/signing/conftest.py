"""One signed report for all tests of this folder."""

import shutil
from pathlib import Path

import pytest

from reports.render import render
from reports.signing.keys import SigningKey, load_key
from reports.signing.pades import load_roots
from tests.reports.signing.authority import PASSWORD, Authority
from wolfhound.store import EvidenceStore


@pytest.fixture(scope="session")
def authority() -> Authority:
    """The root that the tests trust."""
    return Authority()


@pytest.fixture(scope="session")
def roots(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """That root, as `verify` takes it."""
    return load_roots((authority.root(tmp_path_factory.mktemp("root")),))


@pytest.fixture(scope="session")
def key(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    """A key that the root certifies."""
    leaf = authority.leaf("Ada Auditor")
    return load_key(leaf.container(tmp_path_factory.mktemp("key")), password=PASSWORD)


@pytest.fixture(scope="session")
def signed_run(small_store: EvidenceStore, key: SigningKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed run folder with a signed report. Read-only: copy it to change it."""
    folder = tmp_path_factory.mktemp("signed") / "run"
    shutil.copytree(small_store.root, folder)
    store = EvidenceStore(folder)
    render(store, key=key)
    store.seal()
    return folder


@pytest.fixture(scope="session")
def signed_pdf(signed_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The signed PDF alone, away from its run folder."""
    return Path(shutil.copy(signed_run / "report.pdf", tmp_path_factory.mktemp("signed-alone")))
