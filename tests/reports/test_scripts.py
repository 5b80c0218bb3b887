"""Names in other scripts are drawn with bundled fonts, in their own direction, and can be found in the PDF's text."""

import io
import re
from dataclasses import replace

import pytest
from fontTools.ttLib import TTFont
from pypdf import PdfReader

from reports.pictures import WOFF2, MemoryLinks, data_uri
from reports.render import html_bytes, pdf_bytes, read
from reports.scripts import drawn_by, dress
from reports.typefaces import covered, plain, printable, visible
from tests.reports import sample
from wolfhound.store import EvidenceStore

NAMES = ("灰狼", "舊金山", "オオカミ", "늑대", "ذئب", "זאב", "भेड़िया", "শিয়াল", "கொக்கு", "หมาป่า")
PAGE = '<html><head><title>ذئب</title><style>p {{ font-family: "A", sans-serif; }}</style></head><body>{}</body></html>'


def named_run(store: EvidenceStore) -> EvidenceStore:
    """A run whose audit, organisation and findings have names in ten scripts."""
    evidence = store.evidence()
    findings = tuple(replace(finding, title=" ".join(NAMES)) for finding in evidence.findings)
    purpose = "ذئب: 30.1 %, كلب: 20.5 %"
    named = replace(evidence, name=" ".join(NAMES), organisation="研究所", purpose=purpose, findings=findings)
    store.write_evidence(named, sample.RUN)
    return store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EvidenceStore:
    return named_run(sample.bare_run(tmp_path_factory.mktemp("scripts") / "run"))


@pytest.fixture(scope="module")
def reader(store: EvidenceStore) -> PdfReader:
    return PdfReader(io.BytesIO(pdf_bytes(read(store))))


def test_every_name_is_drawn_and_none_is_spelled_out() -> None:
    for name in NAMES:
        assert printable(name) == visible(name) == name
        assert plain(name) != name


def test_no_sign_is_in_two_fonts_and_none_turns_the_direction_of_writing() -> None:
    assert not drawn_by().keys() & covered()
    signs = "".join(map(chr, drawn_by()))
    assert visible(signs) == signs


def test_national_character_sets_are_whole() -> None:
    """Every Han sign of JIS X 0208, every syllable of KS X 1001, and all but 22 rare signs of GB 2312."""
    pairs = [bytes((lead, trail)) for lead in range(0xB0, 0xF8) for trail in range(0xA1, 0xFF)]
    for codec, all_signs, absent in (("gb2312", 6763, 22), ("euc_jp", 6355, 0)):
        han = {ord(sign) for pair in pairs if len(sign := pair.decode(codec, errors="ignore")) == 1}
        assert (len(han), len(han - drawn_by().keys())) == (all_signs, absent)
    syllables = {sign for pair in pairs if "가" <= (sign := pair.decode("euc_kr", errors="ignore")) <= "힣"}
    assert len(syllables) == 2350
    assert set(map(ord, syllables)) <= drawn_by().keys()


def test_the_text_of_the_pdf_has_the_names(reader: PdfReader) -> None:
    text = "".join(reader.pages[0].extract_text().split())
    for name in ("灰狼", "舊金山", "オオカミ", "늑대", "研究所"):
        assert name in text
    for name in ("ذئب", "זאב"):  # a PDF draws from left to right, so a plain reader finds them turned round
        assert name in text or name[::-1] in text


def test_every_font_of_the_pdf_is_ours(reader: PdfReader) -> None:
    fonts = {str(font["/BaseFont"]) for page in reader.pages for font in page["/Resources"]["/Font"].values()}  # type: ignore[index]
    assert {font.partition("+")[2].split("-")[0] for font in fonts} == {"Wolfhound"}
    assert any("-sc-" in font for font in fonts)


def test_the_same_names_give_the_same_bytes(store: EvidenceStore) -> None:
    from reports.scripts import _cut

    first = html_bytes(read(store))
    _cut.cache_clear()
    assert html_bytes(read(store)) == first


def test_a_page_without_such_names_is_left_as_it_is() -> None:
    page = PAGE.format("Wölfe, δ ≤ ε, Волк")
    assert dress(page, data_uri, screen=True) == page


def test_a_font_holds_no_more_than_the_page_needs(store: EvidenceStore) -> None:
    links = MemoryLinks()
    dress(PAGE.format("<p>灰狼</p>"), links, screen=True)
    held = [TTFont(io.BytesIO(data)) for data, kind in links.held.values() if kind == WOFF2]
    drawn = {sign for font in held for sign in font.getBestCmap() if not chr(sign).isspace()}
    assert drawn == {ord("灰"), ord("狼")}
    assert len(html_bytes(read(store))) < 700_000


def test_numbers_beside_a_name_from_right_to_left_stay_outside_it() -> None:
    source = PAGE.format('<p title="ذئب">ذئب رمادي: 30.1 %, كلب 5</p>')
    page = dress(source, MemoryLinks(), screen=True)
    assert '<p title="ذئب"><bdi>ذئب رمادي</bdi>: 30.1 %, <bdi>كلب</bdi> 5</p>' in page
    assert '<p title="ذئب">ذئب رمادي&lrm;: 30.1 %, كلب&lrm; 5</p>' in dress(source, MemoryLinks(), screen=False)
    assert "<title>ذئب</title>" in page
    assert re.search(r'font-family: "A", "Wolfhound arabic-\d+", sans-serif', page)


def test_a_name_in_the_evidence_cannot_change_the_style_sheet() -> None:
    page = dress(PAGE.format("狼, sans-serif; </style>, sans-serif;"), MemoryLinks(), screen=False)
    assert page.endswith("狼, sans-serif; </style>, sans-serif;</body></html>")
