"""What an organisation adds to its report: logo, chapters, people, clauses. Nothing of it can run, load or mislead."""

import base64
import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pypdf import PdfReader

from reports import data_files
from reports.crosswalk import known_needs, map_clauses, with_own
from reports.logo import MOST_BYTES, checked_logo
from reports.own_crosswalk import own_clauses
from reports.own_text import own_html
from reports.presentation import OwnText, Person, Presentation, dump_presentation, load_presentation
from reports.render import html_bytes, pdf_bytes, read
from reports.sections import anchors
from tests.reports import sample
from tests.reports.test_render import HOSTILE, Tags
from wolfhound.errors import EvidenceError, PlanError
from wolfhound.store import EvidenceStore

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 20"><path fill="#175a8c" d="M0 0h40v20H0z"/></svg>'
CLAUSES = b"""
frameworks:
  - name: "House rule 7"
    edition: "2026"
    verified_on: 2026-01-31
    clauses:
      - {clause: "7.1", asks: "Universal attacks", evidence: "Rates",
         needs: [universal], sections: [universal], ceiling: sufficient}
"""


def png(mode: str = "RGBA", size: tuple[int, int] = (40, 20)) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size, 200 if mode in "LP" else (200, 30, 30, 128)[: len(mode)]).save(stream, "PNG")
    return stream.getvalue()


def text(body: str, *, markup: str = "markdown") -> OwnText:
    return OwnText("Our view", markup, body, "view.md", "0" * 64)  # type: ignore[arg-type]


def dressed(store: EvidenceStore) -> EvidenceStore:
    table = "| a | b |\n|---|---|\n| 1 | 2 |"
    links = "![p](file:///etc/passwd) [t](https://example.org)"
    body = "\n\n".join(("# Aim", "We *weighed* it.", "### Deep", table, HOSTILE, "- x", links))
    presentation = Presentation(
        logo=checked_logo(SVG, name="logo.svg", alt="Blue field"),
        reviewers=(Person("R. Viewer", "validation"), Person(HOSTILE)),
        approver=Person("A. Prover"),
        sections=(text(body), text("Plain\ntext\n\n狼", markup="plain")),
        crosswalk=own_clauses(CLAUSES, name="house.yaml"),
    )
    store.write("presentation.json", dump_presentation(presentation))
    return store


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> EvidenceStore:
    """A small run folder with everything that an organisation can add."""
    return dressed(sample.small_run(tmp_path_factory.mktemp("own") / "run"))


def test_logo_people_chapters_and_clauses_are_printed_without_python(own: EvidenceStore, tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf_bytes(read(own)))
    reader = PdfReader(path)
    pages = ["".join(page.extract_text().split()) for page in reader.pages]
    assert "A.Prover" in pages[0]
    whole = "".join(pages)
    for words in (
        "R.Viewer",
        "validation",
        "Ourview",
        "Weweighedit.",
        "Houserule7",
        "comparedwiththeprimarytexton2026-01-31",
    ):
        assert words in whole
    assert "Notestofthisauditstandsbehindthischapter" in whole
    assert "狼" in whole
    assert "presentation.json" in reader.attachments
    titles = [item.title for item in reader.outline if not isinstance(item, list)]
    assert [title for title in titles if title.endswith("Our view")] == ["16 Our view", "17 Our view"]
    assert titles[-1] == "18 Annexes"


def test_a_chapter_adds_no_tag_no_handler_and_no_address(own: EvidenceStore) -> None:
    page = html_bytes(read(own)).decode()
    tags = Tags()
    tags.feed(page)
    assert not tags.handlers
    assert not tags.found & {"script", "iframe", "object", "link", "form"}
    assert 'src="file' not in page
    assert 'href="http' not in page
    assert "![p](file:///etc/passwd) t (https://example.org)" in page


def test_headings_of_a_chapter_begin_below_its_title_and_skip_no_level() -> None:
    html = own_html(text("# One\n\n#### Four\n\n## Two\n\n###### Six"))
    levels = [int(part[0]) for part in html.split("<h")[1:]]
    assert levels == [3, 4, 4, 5]


def test_a_link_without_text_is_printed_as_its_address() -> None:
    assert str(own_html(text("[](https://example.org)"))) == "<p> (https://example.org)</p>\n"


@given(st.text(max_size=200))
def test_no_text_becomes_markup_of_its_own(body: str) -> None:
    for markup in ("markdown", "plain"):
        tags = Tags()
        tags.feed(str(own_html(text(body, markup=markup))))
        allowed = "p h3 h4 h5 h6 ul ol li em strong code pre blockquote br hr table thead tbody tr th td"
        assert tags.found <= set(allowed.split())
        assert not tags.handlers


@pytest.mark.parametrize("mode", ["RGBA", "RGB", "L", "P"])
def test_a_png_logo_is_decoded_and_written_anew(mode: str) -> None:
    logo = checked_logo(png(mode) + b"trailing <script>", name="logo.PNG", alt="x")
    with Image.open(io.BytesIO(logo.bytes)) as image:
        assert (image.mode, image.size, image.info) == ("RGBA", (40, 20), {})
    assert b"script" not in logo.bytes


@pytest.mark.parametrize(
    "inner",
    [
        "<script>alert(1)</script>",
        '<image href="http://example.org/a.png"/>',
        '<use href="#a"/>',
        '<a href="http://example.org"><path d="M0 0"/></a>',
        '<path onload="alert(1)" d="M0 0"/>',
        '<path fill="url(http://example.org/a.svg#b)" d="M0 0"/>',
        '<path style="fill:u\\72l(http://example.org)" d="M0 0"/>',
        "<foreignObject/>",
        "<style>@import 'http://example.org/a.css';</style>",
        "<text>Name</text>",
        '<animate attributeName="x"/>',
        '<g xmlns:h="http://www.w3.org/1999/xhtml"><h:script/></g>',
    ],
)
def test_an_svg_logo_with_anything_but_shapes_is_refused(inner: str) -> None:
    with pytest.raises(PlanError, match=r"logo\.svg: expected"):
        checked_logo(SVG.replace(b"</svg>", inner.encode() + b"</svg>"), name="logo.svg", alt="")


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b'<!DOCTYPE svg [<!ENTITY a "b">]>' + SVG, "logo.svg"),
        (b'<?xml-stylesheet href="http://example.org"?>' + SVG, "logo.svg"),
        (SVG.replace(b"viewBox", b"view"), "logo.svg"),
        (SVG.replace(b"2000/svg", b"1999/xhtml"), "logo.svg"),
        (b"<svg", "logo.svg"),
        (b"no picture", "logo.png"),
        (SVG, "logo.png"),
        (png()[:60], "logo.png"),
        (png(size=(2001, 2000)), "logo.png"),
        (b"x" * (MOST_BYTES + 1), "logo.png"),
    ],
)
def test_what_is_no_logo_is_refused_in_words(data: bytes, name: str) -> None:
    with pytest.raises(PlanError, match="expected"):
        checked_logo(data, name=name, alt="")


def test_own_gradients_may_be_referred_to() -> None:
    inner = b'<defs><linearGradient id="g"/></defs><path fill="url(#g)" d="M0 0"/></svg>'
    assert b"url(#g)" in checked_logo(SVG.replace(b"</svg>", inner), name="a.svg", alt="").bytes


def test_own_clauses_are_added_and_one_of_a_shipped_name_takes_its_place() -> None:
    shipped = data_files.crosswalk()
    added = with_own(shipped, own_clauses(CLAUSES, name="house.yaml"))
    assert [framework.name for framework in added.frameworks] == [*(f.name for f in shipped.frameworks), "House rule 7"]
    renamed = own_clauses(CLAUSES.replace(b"House rule 7", b"MITRE ATLAS"), name="house.yaml")
    merged = with_own(shipped, renamed)
    assert len(merged.frameworks) == len(shipped.frameworks)
    (atlas,) = [framework for framework in merged.frameworks if framework.name == "MITRE ATLAS"]
    assert [clause.clause for clause in atlas.clauses] == ["7.1"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"needs: [universal]", b"needs: [magic]", "expected a need of"),
        (b"sections: [universal]", b"sections: [moon]", "expected a section of"),
        (b"needs: [universal]", b"needs: []", "at least one need"),
        (b"ceiling: sufficient", b"ceiling: compliant", "ceiling"),
        (b"2026-01-31", b"'soon'", "expected verified_on as a day"),
        (b"frameworks:", b"laws:", "expected one key"),
        (b"asks:", b"wants:", "asks"),
        (b"- {clause", b"- [clause", "YAML"),
        (b"House", b"\xff", "YAML"),
        (b"2026-01-31", b"2026-99-99", "YAML"),
        (b"frameworks:", b"frameworks: &a [*a]\nx:", "anchor"),
        (b"frameworks:", b"frameworks: " + b"[" * 3000, "too deep"),
        (b'edition: "2026"', b'edition: "2026"\n    edition: "2027"', "there twice"),
    ],
)
def test_a_fault_in_own_clauses_is_named(old: bytes, new: bytes, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        own_clauses(CLAUSES.replace(old, new), name="house.yaml")


def test_repeated_clauses_are_refused() -> None:
    row = CLAUSES[CLAUSES.index(b"      - {") :]
    with pytest.raises(PlanError, match=r"7\.1: is there 2 times"):
        own_clauses(CLAUSES + row, name="house.yaml")


def test_the_presentation_survives_its_document_and_faults_in_it_are_named(own: EvidenceStore) -> None:
    data = (own.root / "presentation.json").read_bytes()
    assert dump_presentation(load_presentation(data)) == data
    for broken in (b"", b"[]", data.replace(b'"en"', b'"fr"'), data.replace(b"presentation/1", b"presentation/9")):
        with pytest.raises(EvidenceError, match=r"presentation"):
            load_presentation(broken)
    logo = replace(load_presentation(data).logo, data="no base64!")  # type: ignore[type-var]
    with pytest.raises(EvidenceError, match="base64"):
        _ = logo.bytes  # type: ignore[union-attr]
    assert base64.b64decode(load_presentation(data).logo.data).startswith(b"<svg")  # type: ignore[union-attr]


def test_every_kind_of_finding_serves_a_clause_and_every_need_and_place_is_known() -> None:
    clauses = [clause for framework in data_files.crosswalk().frameworks for clause in framework.clauses]
    needs = {need for clause in clauses for need in clause.needs}
    assert needs >= {"clean", "universal", "transfer", "robust", "targeted", "natural", "bias", "inside"}
    assert needs <= known_needs()
    assert {section for clause in clauses for section in clause.sections} <= set(anchors())


# Clauses of the table that the crosswalk was drawn up from: framework, and what each of its rows has to name.
ASKED = {
    "EU AI Act": "9(2)|9(5)|9(6)|9(8)|10(2)(f)|(g)|10(3)|11(1)|2(a) to (d)|2(g)|2(h)|IV 3|IV 4|12, 18, 19|13(3)(b)|"
    "14(4)(a)|14(4)(b)|14(4)(c)|15(1)|15(3)|15(4)|15(5)|17(1)(d)|72",
    "NIST AI RMF 1.0": "MEASURE 1.1|1.3|2.1|2.3|2.5|2.6|2.7|2.9|2.11|2.13|MANAGE 1.4",
    "ISO/IEC 42001": "A.6.2.4|A.6.2.6|A.7.4|A.7.5",
    "ISO/IEC TR 24029-1, ISO/IEC 24029-2": "24029-1 cl. 5 to 7|24029-2",
    "ISO/IEC TR 24027": "cl. 7",
    "NIST AI 100-2": ".021|.022|.023|.024|.025",
    "MITRE ATLAS": "T0043.000|T0043.001|T0043.002|T0015|T0042",
}


def test_the_crosswalk_has_every_clause_it_was_drawn_up_for_with_an_edition_and_evidence_or_its_absence(
    tmp_path: Path,
) -> None:
    shipped = data_files.crosswalk()
    for framework in shipped.frameworks:
        named = " ".join(clause.clause for clause in framework.clauses)
        assert [part for part in ASKED[framework.name].split("|") if part not in named] == []
        assert framework.edition
    assert {framework.name for framework in shipped.frameworks} == set(ASKED)
    mapped = map_clauses(shipped, sample.bare_run(tmp_path).evidence())
    for entry in mapped:
        assert entry.clause.evidence
        assert (entry.standing == "absent") == (set(entry.missing) == set(entry.clause.needs))
