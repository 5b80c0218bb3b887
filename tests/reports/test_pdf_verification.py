"""Every way of changing a report is named by its check, and an intact one has no fault."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DictionaryObject, NameObject, StreamObject

from reports.pdf_verification import pdf_checks, pdf_faults
from reports.printed_rates import attached_rate_checks
from reports.render import RenderedReport
from wolfhound.evidence import Quantity, dump_evidence
from wolfhound.statistics import Interval, Rate
from wolfhound.store import EvidenceStore
from wolfhound.verification import Check

Edit = Callable[[PdfWriter], None]


@pytest.fixture(scope="module")
def alone(small_report: RenderedReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The PDF by itself, away from its run folder."""
    return Path(shutil.copy(small_report.pdf, tmp_path_factory.mktemp("alone")))


@pytest.fixture(scope="module")
def sealed(small_store: EvidenceStore, small_report: RenderedReport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The PDF in a sealed copy of its run folder."""
    folder = tmp_path_factory.mktemp("sealed") / "run"
    shutil.copytree(small_store.root, folder)
    EvidenceStore(folder).seal()
    return folder / small_report.pdf.name


def edited(path: Path, edit: Edit, target: Path) -> Path:
    writer = PdfWriter(clone_from=PdfReader(path))
    edit(writer)
    writer.write(target)
    return target


def specifications(writer: PdfWriter) -> dict[str, DictionaryObject]:
    objects = [item.get_object() for item in writer._objects if item is not None]
    found = [item for item in objects if isinstance(item, DictionaryObject) and item.get("/Type") == "/Filespec"]
    return {str(item["/UF"]): item for item in found}


def embed(writer: PdfWriter, name: str, data: bytes) -> None:
    stream = StreamObject()
    stream.set_data(data)
    specifications(writer)[name]["/EF"][NameObject("/F")] = writer._add_object(stream)


def test_an_intact_report_has_no_fault_and_says_that_its_pages_were_not_checked(alone: Path) -> None:
    assert pdf_faults(alone) == []
    (pages,) = [check for check in pdf_checks(alone) if check.name == "pages"]
    assert pages.ok is None
    assert "unsigned" in pages.detail


def test_in_its_sealed_run_folder_the_whole_file_is_checked(sealed: Path) -> None:
    assert [check for check in pdf_checks(sealed) if not check.ok] == []


def test_rewriting_a_pdf_without_changing_an_attachment_is_no_fault_of_the_attachments(
    alone: Path, tmp_path: Path
) -> None:
    assert pdf_faults(edited(alone, lambda _: None, tmp_path / "same.pdf")) == []


@pytest.mark.parametrize("name", ["evidence.json", "run.json", "plan.yaml", "table-01-cross-architecture-SGD-UAP.csv"])
def test_a_changed_attachment_is_named(alone: Path, tmp_path: Path, name: str) -> None:
    data = PdfReader(alone).attachments[name][0].replace(b"7", b"8")
    changed = edited(alone, lambda writer: embed(writer, name, data), tmp_path / "changed.pdf")
    assert any(fault.startswith(f"attachment {name}: changed") for fault in pdf_faults(changed))


def test_a_manifest_that_was_changed_along_with_the_evidence_is_caught(alone: Path, tmp_path: Path) -> None:
    from hashlib import sha256

    attached = PdfReader(alone).attachments
    old = attached["evidence.json"][0]
    new = old.replace(b'"total": 1000', b'"total": 2000')
    manifest = attached["manifest.json"][0].replace(sha256(old).hexdigest().encode(), sha256(new).hexdigest().encode())

    def forge(writer: PdfWriter) -> None:
        embed(writer, "evidence.json", new)
        embed(writer, "manifest.json", manifest)

    faults = pdf_faults(edited(alone, forge, tmp_path / "forged.pdf"))
    assert any(fault.startswith("evidence digest in the metadata") for fault in faults)
    assert any(fault.startswith("manifest digest in the metadata") for fault in faults)
    assert any(fault.startswith("evidence digest on the first page") for fault in faults)


def test_a_removed_attachment_is_named(alone: Path, tmp_path: Path) -> None:
    def remove(writer: PdfWriter) -> None:
        specification = specifications(writer)["run.json"]
        specification[NameObject("/Type")] = NameObject("/Nothing")

    faults = pdf_faults(edited(alone, remove, tmp_path / "removed.pdf"))
    assert "attachment run.json: listed in the manifest, not attached" in faults


def test_an_added_attachment_is_named(alone: Path, tmp_path: Path) -> None:
    added = edited(alone, lambda writer: writer.add_attachment("extra.txt", b"?") and None, tmp_path / "added.pdf")
    assert "attachment extra.txt: attached, not listed in the manifest" in pdf_faults(added)


def test_bytes_after_the_end_are_named(alone: Path, tmp_path: Path) -> None:
    longer = tmp_path / "longer.pdf"
    longer.write_bytes(alone.read_bytes() + b"more")
    assert any("follow the end" in fault for fault in pdf_faults(longer))


def test_an_incremental_update_is_named(alone: Path, tmp_path: Path) -> None:
    writer = PdfWriter(alone, incremental=True)
    writer.pages[0].rotate(90)
    writer.write(tmp_path / "updated.pdf")
    assert (tmp_path / "updated.pdf").read_bytes().startswith(alone.read_bytes())
    assert any("incremental update" in fault for fault in pdf_faults(tmp_path / "updated.pdf"))


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7\n", b"no pdf at all", b"%PDF-1.7\n1 0 obj\n<<\n"])
def test_what_is_no_pdf_is_one_fault(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "broken.pdf"
    path.write_bytes(data)
    assert len(pdf_faults(path)) == 1


def test_a_pdf_that_does_not_exist_is_one_fault(tmp_path: Path) -> None:
    assert len(pdf_faults(tmp_path / "gone.pdf")) == 1


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_one_changed_byte_anywhere_is_caught_in_the_run_folder(
    sealed: Path, tmp_path_factory: pytest.TempPathFactory, position: float, flip: int
) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    data = bytearray(sealed.read_bytes())
    data[int(position * len(data))] ^= flip
    (folder / sealed.name).write_bytes(data)
    shutil.copy(sealed.parent / "SHA256SUMS", folder)
    assert pdf_faults(folder / sealed.name)


def rewritten(small_store: EvidenceStore, small_report: RenderedReport, finding: str, **changes: object) -> list[Check]:
    """The checks of the rates of a report whose evidence was changed behind its pages."""
    evidence = small_store.evidence()
    findings = tuple(replace(f, **changes) if f.id == finding else f for f in evidence.findings)  # type: ignore[arg-type]
    reader = PdfReader(small_report.pdf)
    attached = [data for versions in reader.attachments.values() for data in versions]
    pages = [page.extract_text() for page in reader.pages]
    return attached_rate_checks(dump_evidence(replace(evidence, findings=findings)), attached, pages)


def test_every_rate_is_recounted_from_the_attached_ledgers_and_found_on_the_pages(
    small_store: EvidenceStore, small_report: RenderedReport
) -> None:
    checks = rewritten(small_store, small_report, "")
    assert [(check.name, check.ok) for check in checks] == [("rates", True), ("printed numbers", True)]


def test_a_rate_that_the_ledger_and_the_pages_contradict_is_named(
    small_store: EvidenceStore, small_report: RenderedReport
) -> None:
    forged = {"accuracy": Rate(911, 1000, "held-out images")}
    faults = [check for check in rewritten(small_store, small_report, "clean/vgg_f", rates=forged) if not check.ok]
    assert [check.name for check in faults] == ["rates of clean/vgg_f", "printed numbers"]
    assert "stored 911 of 1000, recomputed 910 of 1000" in faults[0].detail
    assert "n=1000911of1000 (0 of 1 times)" in faults[1].detail


def test_a_quantity_with_an_interval_that_the_pages_contradict_is_named(
    small_store: EvidenceStore, small_report: RenderedReport
) -> None:
    forged = {"gap": Quantity(0.25, "share of images", "g", Interval(0.1, 0.4, 0.95, "newcombe"))}
    faults = [check for check in rewritten(small_store, small_report, "clean/vgg_f", quantities=forged) if not check.ok]
    assert [check.name for check in faults] == ["printed numbers"]
    assert "25.0points[10.0,40.0](95%,newcombe) (0 of 1 times)" in faults[0].detail


def test_a_rate_that_stands_on_two_pages_does_not_vouch_for_eleven_findings(
    small_store: EvidenceStore, small_report: RenderedReport
) -> None:
    clean = small_store.evidence().finding("clean/vgg_f")
    ten = {f"accuracy {i}": clean.rates["accuracy"] for i in range(10)}
    faults = [
        check for check in rewritten(small_store, small_report, clean.id, rates=ten, counted={}) if check.ok is False
    ]
    assert [check.name for check in faults] == ["printed numbers"]
    assert "of 11 times)" in faults[0].detail


def test_a_ledger_that_is_not_attached_is_said(small_store: EvidenceStore) -> None:
    checks = attached_rate_checks(dump_evidence(small_store.evidence()), [], [])
    assert [(check.name, check.ok) for check in checks] == [("rates", None), ("printed numbers", False)]
