"""Whatever is done to a sealed run folder or to an attachment of its PDF, at any place, a check fails."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader

from reports.pdf_verification import pdf_faults
from reports.provenance.check import folder_checks
from reports.render import RenderedReport
from tests.reports.test_pdf_verification import edited, embed
from wolfhound.store import EvidenceStore
from wolfhound.verification import verify_run

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FEW = settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def folder(small_store: EvidenceStore, small_report: RenderedReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed copy of a run folder with its report. Tests put back what they change."""
    del small_report  # it has to be there before the copy
    root = tmp_path_factory.mktemp("changes") / "run"
    shutil.copytree(small_store.root, root)
    EvidenceStore(root).seal()
    return root


def failed(root: Path) -> bool:
    return any(check.ok is False for check in [*verify_run(root), *folder_checks(root)])


def changed(data: bytes, how: str, place: float, flip: int) -> bytes | None:
    position = int(place * len(data))
    return {
        "flip": bytes([*data[:position], data[position] ^ flip, *data[position + 1 :]]) if data else b"x",
        "append": data + bytes([flip]),
        "cut": data[:position],
        "delete": None,
    }[how]


def test_the_untouched_folder_passes(folder: Path) -> None:
    assert not failed(folder)


@QUICK
@given(st.data(), st.sampled_from(["flip", "append", "cut", "delete"]), st.floats(0, 1, exclude_max=True))
def test_any_file_changed_in_any_way_at_any_place_is_caught(
    folder: Path, data: st.DataObject, how: str, place: float
) -> None:
    path = folder / data.draw(st.sampled_from(sorted(EvidenceStore(folder).files())))
    before = path.read_bytes()
    after = changed(before, how, place, data.draw(st.integers(1, 255)))
    try:
        path.unlink() if after is None else path.write_bytes(after)
        assert failed(folder)
    finally:
        path.write_bytes(before)


@QUICK
@given(st.sampled_from(["", "artefacts/00/", "tables/", "steps/"]), st.from_regex(r"[a-z0-9]{1,12}", fullmatch=True))
def test_any_added_file_is_caught(folder: Path, where: str, name: str) -> None:
    path = folder / f"{where}added-{name}.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"1\n")
    try:
        assert failed(folder)
    finally:
        path.unlink()


@QUICK
@given(st.data())
def test_two_artefacts_that_change_places_are_caught(folder: Path, data: st.DataObject) -> None:
    names = sorted(name for name in EvidenceStore(folder).files() if name.startswith("artefacts/"))
    first, second = (folder / name for name in data.draw(st.permutations(names))[:2])
    kept = first.read_bytes(), second.read_bytes()
    try:
        first.write_bytes(kept[1])
        second.write_bytes(kept[0])
        assert failed(folder)
    finally:
        first.write_bytes(kept[0])
        second.write_bytes(kept[1])


@FEW
@given(st.data())
def test_an_attachment_that_was_changed_or_swapped_for_another_is_caught(
    folder: Path, tmp_path: Path, data: st.DataObject
) -> None:
    report = folder / "report.pdf"
    attached = PdfReader(report).attachments
    name, other = data.draw(st.permutations(sorted(attached)))[:2]
    swapped = data.draw(st.booleans())
    content = attached[name][0]
    after = attached[other][0] if swapped else changed(content, "flip", data.draw(st.floats(0, 0.999)), 1)
    assert after is not None
    forged = edited(report, lambda writer: embed(writer, name, after), tmp_path / "forged.pdf")
    assert pdf_faults(forged)
