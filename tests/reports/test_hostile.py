"""Evidence that means harm, or is merely huge, is printed as what it is: it leads nowhere and breaks nothing."""

import json
import re
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from pypdf import PdfReader

from reports.page import fill
from reports.pictures import MemoryLinks
from reports.render import html_bytes, read, render
from reports.typefaces import printable
from tests.reports import sample
from wolfhound.errors import EvidenceError
from wolfhound.evidence import Artefact, Quantity, load_evidence
from wolfhound.statistics import Rate
from wolfhound.store import EvidenceStore


@pytest.mark.parametrize(
    ("digest", "suffix"),
    [("../../../etc/passwd", ""), ("0" * 63, ".png"), ("0" * 64, "/../../x"), ("0" * 64, "\x00"), ("A" * 64, ".png")],
)
def test_an_artefact_whose_name_leads_elsewhere_is_no_artefact(digest: str, suffix: str) -> None:
    with pytest.raises(EvidenceError, match="expected a SHA-256"):
        Artefact(digest, suffix, 1)


def test_evidence_with_a_forged_path_is_malformed(run_folder: EvidenceStore) -> None:
    document = json.loads((run_folder.root / "evidence.json").read_bytes())
    document["findings"][0]["ledgers"] = {"x": {"sha256": "../../secret", "suffix": ".csv", "bytes": 1}}
    with pytest.raises(EvidenceError, match="expected a SHA-256"):
        load_evidence(json.dumps(document).encode())


def test_a_link_out_of_the_run_folder_is_not_followed(run_folder: EvidenceStore, tmp_path: Path) -> None:
    artefact = run_folder.evidence().finding("clean/vgg_f").artefacts["confusion matrix"]
    inside = run_folder.root / artefact.path
    outside = tmp_path / "outside.csv"
    inside.rename(outside)
    inside.symlink_to(outside)
    with pytest.raises(EvidenceError, match="leads out of it"):
        html_bytes(read(run_folder))


@pytest.mark.parametrize("name", ["evidence.json", "presentation.json", "plan.yaml"])
def test_a_document_that_is_a_link_is_refused(run_folder: EvidenceStore, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    path = run_folder.root / name
    outside.write_bytes(path.read_bytes() if path.exists() else b"{}")
    path.unlink(missing_ok=True)
    path.symlink_to(outside)
    with pytest.raises(EvidenceError, match=rf"expected {re.escape(name)}"):
        read(run_folder)


def test_rendering_opens_no_connection(run_folder: EvidenceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the renderer opened a socket")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert html_bytes(read(run_folder))


def test_enormous_numbers_are_printed_whole_or_with_an_exponent(run_folder: EvidenceStore) -> None:
    evidence = run_folder.evidence()
    finding = replace(
        evidence.finding("targeted/vgg_f"),
        quantities={"huge": Quantity(1.5e308, "steps", "m"), "tiny": Quantity(5e-324, "", "m")},
        rates={"targeted_success": Rate(10**15, 10**15 + 1, "images")},
        counts={"many": {"a": 10**18, "b": 1}},
        counted={},
    )
    subject = replace(evidence.subjects[0], parameters=10**20)
    findings = tuple(finding if other.id == finding.id else other for other in evidence.findings)
    run_folder.write_evidence(replace(evidence, findings=findings, subjects=(subject,)), sample.RUN)
    page = html_bytes(read(run_folder)).decode()
    for words in ("1.50e+308 steps", "4.94e−324", "n = 1000000000000001", "1000000000000000000", f"{10**20}"):
        assert words in page


def crowd(store: EvidenceStore) -> None:
    """Two hundred findings on a classifier of a thousand classes, each name as long as a line."""
    evidence = store.evidence()
    classes = tuple(f"class_{number:04d}_{'w' * 120}" for number in range(1000))
    lines = ["true," + ",".join(classes), *(f"{name}," + ",".join(["0"] * 1000) for name in classes)]
    lines[1] = f"{classes[0]},1,2," + ",".join(["0"] * 998)
    matrix = store.put(("\n".join(lines) + "\n").encode(), ".csv")
    clean = evidence.finding("clean/vgg_f")
    crowded = tuple(
        replace(
            clean,
            id=f"clean/network {number}",
            title="n" * 200,
            counts={"right": dict.fromkeys(classes, 1)} if number == 0 else {},
            artefacts={"confusion matrix": matrix} if number == 0 else {},
            reproduce="wolfhound run " + "p" * 300,
        )
        for number in range(200)
    )
    store.write_evidence(sample.judged(replace(evidence, findings=crowded, class_names=classes)), sample.RUN)


def test_a_thousand_classes_and_two_hundred_findings_are_all_on_the_page(run_folder: EvidenceStore) -> None:
    crowd(run_folder)
    page = html_bytes(read(run_folder)).decode()
    assert page.count('<article class="finding') == 200
    assert "992 further" in page
    assert page.count("class_0000_") < 20
    assert len(page) < 6_000_000


@pytest.mark.slow
def test_a_thousand_classes_and_two_hundred_findings_fit_the_paper(run_folder: EvidenceStore) -> None:
    crowd(run_folder)
    reader = PdfReader(render(run_folder).pdf)
    assert "Howtoverifythisreport" in "".join(reader.pages[0].extract_text().split())
    assert len(reader.pages) < 400
    for page in reader.pages:
        assert (round(float(page.mediabox.width)), round(float(page.mediabox.height))) == (595, 842)


def test_signs_that_turn_the_direction_of_writing_are_named(run_folder: EvidenceStore) -> None:
    evidence = run_folder.evidence()
    names = ("\u202egnp.exe", "ذئب", "זאב", "狼犬", "🐺")
    finding = replace(evidence.findings[0], title=" ".join(names), claim=names[0])
    run_folder.write_evidence(replace(evidence, findings=(finding,), judgements=()), sample.RUN)
    assert "‹right-to-left override, U+202E›" in (page := html_bytes(read(run_folder)).decode())
    assert "\u202e" not in page
    text = printable(fill(read(run_folder), MemoryLinks(), screen=False))  # what the PDF is made of
    assert "‹right-to-left override, U+202E›" in text
    assert "‹wolf face, U+1F43A›" in text
    assert not {"\u202e", "🐺"} & set(text)
