"""Facts about the deployer's extract: one page, the worst first, and what has no place is counted."""

from dataclasses import replace
from pathlib import Path

import pytest
from pypdf import PdfReader

from reports.extract import ACCURACIES, CRITERIA, UNTESTED, deployer_extract
from reports.render import RenderedReport, pdf_bytes, read
from tests.reports import sample
from wolfhound.evidence import Evidence
from wolfhound.store import EvidenceStore


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> EvidenceStore:
    """A run folder with more of everything than has a place on one page."""
    store = sample.small_run(tmp_path_factory.mktemp("crowded") / "run")
    evidence = store.evidence()
    clean = evidence.finding("clean/vgg_f")
    more = tuple(replace(clean, id=f"clean/net {i}", subject=f"a classifier of a long name {i}") for i in range(11))
    once = sample.CRITERIA[0]
    crowd = replace(
        evidence,
        purpose="To tell wolves from huskies, and eight other things from one another, " * 4,
        findings=(*evidence.findings, *more),
        criteria=tuple(replace(once, id=f"c{i}", text=f"Accuracy {i}", subjects="vgg_f") for i in range(14)),
        not_tested=tuple(f"an attack of another kind, number {i}, of which this audit says nothing" for i in range(9)),
    )
    store.write_evidence(sample.judged(crowd), store.run_record())
    return store


def extract_pages(path: Path) -> list[int]:
    reader = PdfReader(path)
    texts = [page.extract_text() for page in reader.pages]
    return [i for i, text in enumerate(texts) if "Extract for the deployer" in text and "Oversight" in text]


def test_what_has_no_place_is_counted(crowded: EvidenceStore) -> None:
    evidence = crowded.evidence()
    extract = deployer_extract(evidence)
    assert len(extract.accuracies) + extract.more_accuracies == 12
    assert len(extract.criteria) + extract.more_criteria == len(evidence.criteria) == 14
    assert len(extract.untested) + extract.more_untested == 9
    assert (len(extract.accuracies), len(extract.criteria), len(extract.untested)) == (ACCURACIES, CRITERIA, UNTESTED)


@pytest.mark.slow
def test_it_starts_and_ends_on_one_page_even_when_crowded(crowded: EvidenceStore, tmp_path: Path) -> None:
    path = tmp_path / "report.pdf"
    path.write_bytes(pdf_bytes(read(crowded)))
    assert len(extract_pages(path)) == 1


def test_the_ordinary_one_is_one_page_with_every_accuracy(
    small_store: EvidenceStore, small_report: RenderedReport
) -> None:
    (page,) = extract_pages(small_report.pdf)
    text = "".join(PdfReader(small_report.pdf).pages[page].extract_text().split())
    evidence: Evidence = small_store.evidence()
    for finding in evidence.findings:
        if finding.kind == "clean":
            assert "".join(finding.rates["accuracy"].text.split()) in text


def test_an_audit_that_measured_nothing_says_so(bare_report: RenderedReport) -> None:
    page = bare_report.html.read_text(encoding="utf-8")
    extract = page[page.index('id="extract"') :]
    assert "The accuracy without an attack was not measured." in extract
    assert "The plan names nothing." in extract
