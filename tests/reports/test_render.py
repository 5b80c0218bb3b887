"""The rendered files say what the evidence says, all of it, and nothing else."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pypdf import PdfReader

from reports.render import RenderedReport, html_bytes, pdf_bytes, read, render
from tests.reports import sample
from wolfhound.errors import EvidenceError, VerificationError
from wolfhound.evidence import Finding, dump_run
from wolfhound.statistics import Rate
from wolfhound.store import EvidenceStore, sha256


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@cache
def spaced_text(path: Path) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(path).pages)


def pdf_text(path: Path) -> str:
    return squeezed(spaced_text(path))


def rates(finding: Finding) -> Iterator[Rate]:
    yield from finding.rates.values()
    yield from (rate for table in finding.tables for row in table.cells for rate in row if rate is not None)


def test_every_rate_of_the_evidence_is_printed_with_interval_and_n(
    small_store: EvidenceStore, small_report: RenderedReport
) -> None:
    evidence = small_store.evidence()
    text = pdf_text(small_report.pdf)
    printed = [rate for finding in evidence.findings for rate in rates(finding)]
    assert printed
    for rate in printed:
        assert squeezed(rate.text) in text
    for rate in (cell for table in evidence.tables for row in table.cells for cell in row if cell is not None):
        assert squeezed(rate.text.replace(",n", "n")).replace("],n", "]n") in text


def test_verdicts_and_their_words_are_printed(small_report: RenderedReport) -> None:
    text = pdf_text(small_report.pdf)
    for words in ("Not met", "Inconclusive", "Not tested", "Met", "Critical", "unsigned", "Missing is not passed"):
        assert squeezed(words) in text


def test_no_missing_value_reaches_a_page(small_report: RenderedReport, bare_report: RenderedReport) -> None:
    for report in (small_report, bare_report):
        text = spaced_text(report.pdf)
        assert not re.search(r"\bnan\b|\bNone\b|\binf\b|Undefined", text)


def test_a_report_never_says_compliant(small_report: RenderedReport, bare_report: RenderedReport) -> None:
    for report in (small_report, bare_report):
        assert "compliant" not in pdf_text(report.pdf).casefold()


def test_sections_whose_stage_did_not_run_say_not_tested(bare_report: RenderedReport) -> None:
    html = bare_report.html.read_text(encoding="utf-8")
    for anchor in ("clean", "table", "universal", "robust", "targeted", "natural", "bias", "inside"):
        start = html.index(f'<section id="{anchor}"')
        assert "ran no test of this kind" in html[start : html.index("</section>", start)]


def test_the_verdict_stands_on_the_first_page_and_only_there(small_report: RenderedReport) -> None:
    pages = [squeezed(page.extract_text()) for page in PdfReader(small_report.pdf).pages]
    assert "Howtoverifythisreport" in pages[0]
    assert "Contents" in pages[1]


def test_a_crowded_verdict_stays_on_one_page(tmp_path: Path) -> None:
    store = sample.bare_run(tmp_path)
    evidence = store.evidence()
    criteria = tuple(
        replace(sample.CRITERIA[n % 6], id=str(n), text="A criterion of two lines on paper") for n in range(12)
    )
    subjects = tuple(replace(evidence.subjects[0], name=f"network {n}") for n in range(12))
    texts = ("a limitation that needs two of the narrow lines it has",) * 3
    crowded = replace(evidence, subjects=subjects, criteria=criteria, limitations=texts, purpose="To see. " * 20)
    store.write_evidence(sample.judged(crowded), sample.RUN)
    (tmp_path / "report.pdf").write_bytes(pdf_bytes(read(store)))
    first, second = (squeezed(page.extract_text()) for page in PdfReader(tmp_path / "report.pdf").pages[:2])
    assert "notwhomadeit" in first
    assert "5furthercriteria" in first
    assert "and10more" in first
    assert "Contents" in second


def test_the_reference_of_2017_is_labelled_not_comparable(small_report: RenderedReport) -> None:
    text = pdf_text(small_report.pdf)
    assert "Referenceonly,notcomparable" in text
    assert text.index("Referenceonly,notcomparable") < text.index("93.7%")


def test_each_section_is_a_bookmark(small_report: RenderedReport) -> None:
    top = [item.title for item in PdfReader(small_report.pdf).outline if not isinstance(item, list)]
    assert top[0] == "Verdict"
    assert [title.partition(" ")[0] for title in top if title[0].isdigit()] == [str(n) for n in range(2, 17)]


def test_the_same_evidence_gives_the_same_bytes_elsewhere_without_torch(
    small_report: RenderedReport, tmp_path: Path
) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom tests.reports import sample\nfrom reports.render import render\n"
        "render(sample.small_run(Path(sys.argv[1])))\n"
        "print([name for name in ('torch', 'prefect', 'torchvision') if name in sys.modules])\n"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "TZ": "Asia/Tokyo"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "elsewhere")],
        capture_output=True, text=True, check=True, env=environment, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
    for ours in (small_report.html, small_report.pdf):
        theirs = tmp_path / "elsewhere" / ours.name
        assert hashlib.sha256(theirs.read_bytes()).digest() == hashlib.sha256(ours.read_bytes()).digest()


def test_a_missing_picture_fails_and_leaves_no_report(run_folder: EvidenceStore) -> None:
    picture = run_folder.evidence().finding("bias/confounded").galleries[0].rows[0][0]
    (run_folder.root / picture.artefact.path).unlink()
    with pytest.raises(EvidenceError, match="it is missing"):
        render(run_folder)
    assert not (run_folder.root / "report.pdf").exists()
    assert not (run_folder.root / "report.html").exists()


def test_a_changed_picture_fails(run_folder: EvidenceStore) -> None:
    picture = run_folder.evidence().finding("bias/confounded").galleries[0].rows[0][0]
    (run_folder.root / picture.artefact.path).write_bytes(sample.png(sample.drawing(99)))
    with pytest.raises(VerificationError, match="was changed"):
        render(run_folder)


def test_a_missing_plan_fails(run_folder: EvidenceStore) -> None:
    (run_folder.root / "plan.yaml").unlink()
    with pytest.raises(EvidenceError, match=r"expected plan\.yaml"):
        render(run_folder)


def test_a_picture_that_cannot_be_decoded_fails(run_folder: EvidenceStore) -> None:
    evidence = run_folder.evidence()
    finding = evidence.finding("bias/confounded")
    gallery = finding.galleries[0]
    broken = replace(gallery.rows[0][0], artefact=run_folder.put(b"\x89PNG\r\n\x1a\nno picture", ".png"))
    changed = replace(finding, galleries=(replace(gallery, rows=((broken,),)),))
    store_with(run_folder, changed)
    with pytest.raises(EvidenceError, match="cannot be decoded"):
        html_bytes(read(run_folder))


def test_a_picture_without_a_description_fails(run_folder: EvidenceStore) -> None:
    finding = run_folder.evidence().finding("bias/confounded")
    gallery = finding.galleries[0]
    store_with(
        run_folder, replace(finding, galleries=(replace(gallery, rows=((replace(gallery.rows[0][0], alt=""),),)),))
    )
    with pytest.raises(EvidenceError, match="expected a description"):
        html_bytes(read(run_folder))


def test_a_value_that_is_no_number_fails(run_folder: EvidenceStore) -> None:
    record = replace(sample.RUN, seconds={"bias": float("nan")})
    run_folder.write("run.json", dump_run(record).replace(b"null", b"NaN"))
    with pytest.raises(EvidenceError, match=r"finite|malformed"):
        html_bytes(read(run_folder))


def test_a_judgement_of_an_unknown_finding_fails(run_folder: EvidenceStore) -> None:
    evidence = run_folder.evidence()
    stray = replace(evidence.judgements[0], finding="universal/none/such")
    run_folder.write_evidence(replace(evidence, judgements=(stray,)), sample.RUN)
    with pytest.raises(EvidenceError, match="universal/none/such"):
        html_bytes(read(run_folder))


def store_with(store: EvidenceStore, finding: Finding) -> None:
    evidence = store.evidence()
    findings = tuple(finding if other.id == finding.id else other for other in evidence.findings)
    store.write_evidence(replace(evidence, findings=findings), sample.RUN)


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'{{ 7*7 }}</td></table>"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.handlers: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)
        self.handlers |= {name for name, _ in attrs if name.startswith("on")}


def hostile_store(store: EvidenceStore) -> None:
    evidence = store.evidence()
    finding = evidence.finding("targeted/vgg_f")
    row = finding.galleries[0].rows[0]
    picture = replace(row[0], caption=HOSTILE + "file:///etc/passwd", alt=HOSTILE)
    changed = replace(
        finding,
        title=HOSTILE,
        claim=HOSTILE + " 狼 \u202eright to left\u202c \x07 🐺",
        conditions={HOSTILE: HOSTILE, "long": "a" * 500},
        facts={HOSTILE: HOSTILE},
        counts={HOSTILE: {HOSTILE: 3}},
        galleries=(replace(finding.galleries[0], title=HOSTILE, rows=((picture, *row[1:]),), selection=HOSTILE),),
    )
    renamed = replace(evidence, name=HOSTILE, purpose=HOSTILE, organisation=HOSTILE, findings=(changed,), judgements=())
    store.write_evidence(replace(renamed, not_tested=(HOSTILE,), limitations=(HOSTILE,)), sample.RUN)


def test_hostile_names_inject_nothing_and_are_printed_as_they_are(
    run_folder: EvidenceStore, small_report: RenderedReport
) -> None:
    hostile_store(run_folder)
    audit = read(run_folder)
    html, expected = Tags(), Tags()
    html.feed(html_bytes(audit).decode())
    expected.feed(small_report.html.read_text(encoding="utf-8"))
    assert html.found <= expected.found
    assert not html.handlers
    (run_folder.root / "report.pdf").write_bytes(pdf_bytes(audit))
    text = pdf_text(run_folder.root / "report.pdf")
    assert squeezed(HOSTILE) in text
    assert "狼" in text
    assert "‹U+0007›" in text
    assert PdfReader(run_folder.root / "report.pdf").pages[0].mediabox.width < 600


def test_attachments_are_the_stored_bytes(small_store: EvidenceStore, small_report: RenderedReport) -> None:
    attached = {name: data[0] for name, data in PdfReader(small_report.pdf).attachments.items()}
    for name in ("evidence.json", "run.json", "plan.yaml"):
        assert attached[name] == (small_store.root / name).read_bytes()
    ledgers = {ledger for finding in small_store.evidence().findings for ledger in finding.ledgers.values()}
    digests = {sha256(data) for data in attached.values()}
    assert ledgers
    assert {ledger.sha256 for ledger in ledgers} <= digests


def test_the_html_file_needs_nothing_beside_it(small_report: RenderedReport) -> None:
    html = small_report.html.read_text(encoding="utf-8")
    for url in re.findall(r"""(?:src|href)=["']([^"']*)|url\(["']?([^"')]*)""", html):
        assert "".join(url).startswith(("data:", "#", "%23"))
