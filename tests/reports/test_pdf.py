"""The PDF writer fetches nothing, and what it declares about the file can be read back."""

from datetime import UTC, datetime
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader

from reports.attachments import AttachedFile, Attachments
from reports.pdf import write_pdf
from reports.pictures import MemoryLinks
from reports.render import RenderedReport
from reports.scripts import drawn_by
from reports.typefaces import covered, printable
from reports.xmp import PDFUA, RDF, Digests, read_digests
from wolfhound.errors import EvidenceError
from wolfhound.store import EvidenceStore, sha256

PAGE = '<!DOCTYPE html><html lang="en"><head><title>t</title></head><body><h1>t</h1>{}</body></html>'


def written(body: str) -> bytes:
    attachments = Attachments((AttachedFile("evidence.json", b"{}", "none"),), ())
    created = datetime(2026, 1, 1, tzinfo=UTC)
    return write_pdf(PAGE.format(body), MemoryLinks(), attachments, digests=Digests("0", "1"), created=created)


@pytest.mark.parametrize(
    "body",
    [
        '<img alt="a" src="file:///etc/hostname">',
        '<img alt="a" src="http://example.org/a.png">',
        '<img alt="a" src="ftp://example.org/a.png">',
        '<img alt="a" src="relative.png">',
        '<style>@import url("https://example.org/a.css");</style>',
        '<p style="background-image: url(file:///etc/hostname)">a</p>',
    ],
)
def test_files_and_the_network_are_out_of_reach(body: str) -> None:
    with pytest.raises(EvidenceError, match="not part of its evidence"):
        written(body)


@pytest.mark.parametrize(
    "body", ['<img src="data:image/png;base64,AAAA" alt="a">', '<p style="colour: red">a</p>', '<a href="#gone">a</a>']
)
def test_what_cannot_be_drawn_fails_instead_of_printing_blank(body: str) -> None:
    with pytest.raises(EvidenceError, match="could not draw"):
        written(body)


def test_the_metadata_declares_both_standards_in_one_description(
    small_report: RenderedReport, small_store: EvidenceStore
) -> None:
    metadata = PdfReader(small_report.pdf).trailer["/Root"]["/Metadata"].get_object().get_data()
    root = ElementTree.fromstring(metadata.strip())
    (rdf,) = root.findall(f"{{{RDF}}}RDF")
    assert rdf.findtext(f".//{{{PDFUA}}}part") == "1"
    assert b'pdfaid:part="3"' in metadata
    assert b'pdfaid:conformance="A"' in metadata
    digests = read_digests(metadata)
    assert digests is not None
    assert digests.evidence == sha256((small_store.root / "evidence.json").read_bytes())


def test_dates_are_those_of_the_run(small_report: RenderedReport) -> None:
    metadata = PdfReader(small_report.pdf).metadata
    assert metadata is not None
    assert metadata["/CreationDate"] == metadata["/ModDate"] == "D:20260302092133Z"


@given(st.text())
def test_printable_text_holds_only_what_the_fonts_can_draw(text: str) -> None:
    result = printable(text)
    assert {ord(sign) for sign in result} <= covered() | drawn_by().keys() | set(range(0x20, 0x7F)) | {9, 10}
    if all(0x20 <= ord(sign) < 0x7F for sign in text):
        assert result == text
