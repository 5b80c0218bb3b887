"""Facts about a whole audit, run as a user runs it: one small demonstration through the command line and Prefect."""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pypdf import PdfReader

from wolfhound.evidence import Evidence, Finding
from wolfhound.metrics import fooling_rate
from wolfhound.store import EvidenceStore
from wolfhound.verification import rate_checks

pytestmark = pytest.mark.timeout(900)

PLAN = """\
wolfhound: 1
name: small
purpose: A test of the whole road on generated images.
seed: 1
device: cpu
batch_size: 50
images: {source: demonstration, count: 800, seed: 1}
splits: {craft: 60, select: 40, report: 100}
classifiers:
  - {name: first, source: demonstration, architecture: vgg_f}
  - {name: second, source: demonstration, architecture: caffenet}
universal:
  - {attack: sgd_uap, threat: {norm: linf, epsilon: 16/255}, options: {passes: 4}}
  - {attack: deepfool_uap, threat: {norm: l2, epsilon: 3.0}, sources: [first], options: {passes: 1}}
targeted:
  - {threat: {norm: linf, epsilon: 8/255}, images: 10, shown: 2}
natural:
  - {classifiers: [first], corruptions: [fog, gaussian_noise, jpeg_compression], severities: [1, 5], images: 20}
bias:
  - {source: demonstration, training_images: 200, probe_images: 60, shown: 2}
inside:
  - {classifiers: [first], methods: [gradcam], images: 2, measured: 8, patches: 1}
criteria:
  - {id: accurate, text: Recognises held-out images., rate: clean.accuracy, at_least: 1 %}
  - {id: universal, text: Keeps its prediction., rate: universal.fooling_rate, at_most: 0 %}
  - {id: elsewhere, text: Keeps its prediction., rate: transfer.worst_transfer, subjects: none-of-them, at_most: 30 %}
"""

KINDS = ("clean", "universal", "transfer", "targeted", "natural", "bias")


def wolfhound(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "WOLFHOUND_"))}
    command = [sys.executable, "-m", "flows.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, check=False, timeout=800)


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """An empty folder with a plan in it, and what the first run said."""
    folder = tmp_path_factory.mktemp("audit")
    (folder / "small.yaml").write_text(PLAN)
    return folder, wolfhound("run", "small.yaml", "--cache", "cache", cwd=folder)


@pytest.fixture(scope="module")
def run_folder(audit: tuple[Path, subprocess.CompletedProcess[str]]) -> Path:
    folder, done = audit
    assert done.returncode == 1, done.stderr
    return folder / "runs" / "small"


@pytest.fixture(scope="module")
def evidence(run_folder: Path) -> Evidence:
    return EvidenceStore(run_folder).evidence()


def findings(evidence: Evidence, kind: str) -> list[Finding]:
    return [finding for finding in evidence.findings if finding.kind == kind]


def test_the_gate_says_not_met_and_names_every_criterion(
    audit: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    _, done = audit
    assert done.returncode == 1, done.stderr
    assert "small: NOT MET" in done.stdout
    verdicts = {line.split()[1]: line for line in done.stdout.splitlines() if line[:4].strip() in tuple("+x?-")}
    assert " met " in verdicts["accurate"]
    assert " not met " in verdicts["universal"]
    assert " not tested " in verdicts["elsewhere"]


def test_nothing_is_written_outside_the_run_folder_and_the_cache(run_folder: Path) -> None:
    assert sorted(entry.name for entry in run_folder.parent.parent.iterdir()) == ["cache", "runs", "small.yaml"]


def test_every_stage_left_its_findings(evidence: Evidence) -> None:
    counts = {kind: len(findings(evidence, kind)) for kind in (*KINDS, "inside")}
    assert counts == {"clean": 2, "universal": 3, "transfer": 3, "targeted": 2, "natural": 1, "bias": 2, "inside": 1}


def test_the_table_is_what_the_ledgers_say(run_folder: Path, evidence: Evidence) -> None:
    store = EvidenceStore(run_folder)
    table = next(table for table in evidence.tables if "sgd_uap" in table.name)
    assert table.columns == ("first", "second")
    assert table.marked == (("first", "first"), ("second", "second"))
    for target in table.columns:
        finding = evidence.finding(f"universal/{table.name.removeprefix('cross_architecture_')}/{target}")
        ledger = pd.read_csv(io.BytesIO(store.get(finding.ledgers[f"predictions of {target}"])))
        for source in table.columns:
            column = f"{table.name.removeprefix('cross_architecture_')}/{source}"
            again = fooling_rate(ledger["clean"].to_numpy(np.int64), ledger[column].to_numpy(np.int64))
            assert table.cell(source, target) == again
            assert again.total == 100
    exported = pd.read_csv(run_folder / "tables" / f"{table.name}.csv")
    assert len(exported) == 6
    assert exported["successes"].sum() == sum(rate.successes for row in table.cells for rate in row if rate)


def test_every_rate_counts_again_from_its_ledger(run_folder: Path, evidence: Evidence) -> None:
    (check,) = rate_checks(evidence, EvidenceStore(run_folder).get)
    assert (check.ok, check.detail.split()[0]) == (True, str(sum(len(one.rates) for one in evidence.findings)))


def test_accuracy_under_corruptions_is_what_its_ledger_says(run_folder: Path, evidence: Evidence) -> None:
    finding = evidence.finding("natural/corruptions/first")
    ledger = pd.read_csv(io.BytesIO(EvidenceStore(run_folder).get(finding.ledgers["predictions under corruptions"])))
    (table,) = finding.tables
    assert (table.rows, table.columns) == (("Gaussian noise", "Fog", "JPEG compression"), ("1", "5"))
    for title, name in zip(table.rows, ("gaussian_noise", "fog", "jpeg_compression"), strict=True):
        for severity in table.columns:
            cell = table.cell(title, severity)
            assert cell is not None
            assert cell.successes == int((ledger[f"{name}/{severity}"] == ledger["label"]).sum())
            assert cell.total == 20
            assert finding.rates["worst_corruption"].share <= cell.share
    shown = [picture for row in finding.galleries[0].rows for picture in row]
    assert [picture.caption.partition(":")[0] for picture in shown] == ["As it is", *table.rows]
    assert not any("corruptions" in line for line in evidence.not_tested)


def test_perturbations_beat_the_noise_control_on_their_own_network(evidence: Evidence) -> None:
    for finding in findings(evidence, "universal"):
        assert finding.rates["fooling_rate"].share >= finding.rates["noise_control"].share
        assert not any(doubt.code == "weaker-than-noise" for doubt in finding.doubts)


def test_sizes_keep_to_the_threat(evidence: Evidence) -> None:
    for finding in findings(evidence, "universal"):
        norm = "linf" if "-linf-" in finding.id else "l2"
        assert 0 < finding.quantities[norm].value <= {"linf": 16 / 255, "l2": 3.0}[norm] * (1 + 1e-6)


def test_the_pdf_reads_back_with_the_table_and_the_verdict(run_folder: Path, evidence: Evidence) -> None:
    reader = PdfReader(run_folder / "report.pdf")
    text = " ".join("\n".join(page.extract_text() for page in reader.pages).split())
    assert "Not met" in text
    for table in evidence.tables:
        for row in table.cells:
            for rate in row:
                assert rate is not None
                assert f"{rate.percent:.1f} %" in text
    assert "nan" not in text.lower().split()
    assert {"evidence.json", "plan.yaml", "run.json"} <= set(reader.attachments)
    assert reader.attachments["evidence.json"][0] == (run_folder / "evidence.json").read_bytes()


def test_every_map_stands_beside_its_sanity_check_and_every_hit_beside_the_baselines(evidence: Evidence) -> None:
    (finding,) = findings(evidence, "inside")
    assert all("randomisation check" in text for text in finding.facts.values())
    assert set(finding.controls) < set(finding.rates)
    assert len(finding.controls) == 3
    assert [gallery.title for gallery in finding.galleries][:2] == [
        "First-layer filters",
        "Images under their class activation maps",
    ]


def test_a_second_run_redoes_nothing_and_finds_the_same(
    audit: tuple[Path, subprocess.CompletedProcess[str]], run_folder: Path
) -> None:
    folder, first = audit
    before = (run_folder / "evidence.json").read_bytes()
    done = wolfhound("run", "small.yaml", "--cache", "cache", "--without-prefect", cwd=folder)
    assert done.returncode == 1, done.stderr
    assert (run_folder / "evidence.json").read_bytes() == before
    reused = json.loads((run_folder / "run.json").read_text())["reused"]
    assert len(reused) == len(list((run_folder / "steps").iterdir())) == 13
    assert "training" not in done.stderr
    assert "in all at most" not in done.stderr
    assert "in all at most" in first.stderr


def test_another_folder_with_the_same_plan_gets_the_same_evidence_without_prefect(
    audit: tuple[Path, subprocess.CompletedProcess[str]], run_folder: Path
) -> None:
    folder, _ = audit
    options = ("--cache", "cache", "--without-prefect", "--output", "again", "--quiet")
    done = wolfhound("run", "small.yaml", *options, cwd=folder)
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    assert (folder / "again" / "evidence.json").read_bytes() == (run_folder / "evidence.json").read_bytes()
    shutil.rmtree(folder / "again")


def test_the_report_is_rendered_again_to_the_same_bytes_from_the_evidence_alone(
    run_folder: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(run_folder, moved)
    rendered = {name: (moved / name).read_bytes() for name in ("report.pdf", "report.html", "SHA256SUMS")}
    for name in ("report.pdf", "report.html"):
        (moved / name).unlink()
    done = wolfhound("report", moved, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {name: (moved / name).read_bytes() for name in rendered} == rendered


def test_verify_passes_and_names_a_changed_a_missing_and_an_added_file(run_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run_folder, copy)
    assert wolfhound("verify", copy, cwd=tmp_path).returncode == 0
    assert wolfhound("verify", copy / "report.pdf", cwd=tmp_path).returncode == 0
    table = next((copy / "tables").iterdir())
    table.write_bytes(table.read_bytes().replace(b"first", b"fIrst", 1))
    (copy / "plan.yaml").unlink()
    (copy / "extra").write_text("")
    done = wolfhound("verify", copy, cwd=tmp_path)
    assert done.returncode == 1
    for fault in (f"changed: tables/{table.name}", "missing: plan.yaml", "added: extra"):
        assert fault in done.stdout
