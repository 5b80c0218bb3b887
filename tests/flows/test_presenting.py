"""A plan's `report` section is read once, checked whole, and stored with the run; so is what the run had loaded."""

import json
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest

from flows.audit_job import AuditJob
from flows.environment import packages
from flows.presenting import MOST_SIGNS, presentation_of, record_presentation
from reports.presentation import PLAIN, Person, stored_presentation
from reports.provenance.bill import bill_bytes
from tests.reports import sample
from wolfhound.errors import PlanError
from wolfhound.plan_reading import parse_plan

PLAN = """\
wolfhound: 1
name: small
purpose: A test.
images: {source: demonstration, count: 800, seed: 1}
splits: {craft: 60, select: 40, report: 100}
classifiers: [{name: first, source: demonstration, architecture: vgg_f}]
"""
REPORT = """\
report:
  language: de
  logo: {file: logo.svg, alt: Blue field}
  reviewers: [{name: R. Viewer, role: validation}]
  approver: {name: A. Prover}
  sections: [{title: Use, file: use.md}, {title: Plain, file: more.txt}]
  crosswalk: {file: rules.yaml}
"""
RULES = """\
frameworks:
  - {name: House, edition: "1", verified_on: null, clauses: [
      {clause: "1", asks: a, evidence: b, needs: [clean], sections: [clean], ceiling: partial}]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 4 2"><path d="M0 0h4v2H0z"/></svg>'
    for name, text in (("logo.svg", svg), ("use.md", "# Use\n"), ("more.txt", "More.\r\n"), ("rules.yaml", RULES)):
        (tmp_path / name).write_bytes(text.encode())
    return tmp_path


def job(folder: Path, plan: str) -> AuditJob:
    return AuditJob(plan.encode(), folder, folder / "run", folder / "cache", "wolfhound run plan.yaml")


def test_everything_that_the_plan_names_is_stored_and_the_files_are_not_needed_again(folder: Path) -> None:
    planned = job(folder, PLAN + REPORT)
    record_presentation(planned)
    for name in ("logo.svg", "use.md", "more.txt", "rules.yaml"):
        (folder / name).unlink()
    stored = stored_presentation(planned.store)
    assert stored.language == "de"
    assert stored.logo is not None
    assert stored.logo.bytes.startswith(b"<svg")
    assert (stored.reviewers, stored.approver) == ((Person("R. Viewer", "validation"),), Person("A. Prover"))
    assert [(own.title, own.markup, own.text) for own in stored.sections] == [
        ("Use", "markdown", "# Use\n"),
        ("Plain", "plain", "More.\n"),
    ]
    assert stored.crosswalk is not None
    assert stored.crosswalk.frameworks[0].name == "House"


def test_a_plan_without_the_section_stores_nothing_and_takes_an_earlier_one_away(folder: Path) -> None:
    record_presentation(job(folder, PLAN + REPORT))
    record_presentation(job(folder, PLAN))
    assert not (folder / "run" / "presentation.json").exists()
    assert stored_presentation(job(folder, PLAN).store) == PLAIN


def test_all_faults_of_all_files_are_named_together(folder: Path) -> None:
    (folder / "logo.svg").write_text("<svg/>")
    (folder / "use.md").unlink()
    (folder / "more.txt").write_bytes(b"\xff")
    (folder / "rules.yaml").write_text("frameworks: 1")
    with pytest.raises(PlanError, match=r"4 fault\(s\) in the plan's report section") as caught:
        presentation_of(job(folder, PLAN + REPORT).plan.report)
    for name in ("logo.svg", "use.md", "more.txt", "rules.yaml"):
        assert name in str(caught.value)


@pytest.mark.parametrize("text", ["", " \n", "a" * (MOST_SIGNS + 1)])
def test_a_chapter_of_nothing_or_of_a_whole_book_is_refused(folder: Path, text: str) -> None:
    (folder / "use.md").write_text(text)
    with pytest.raises(PlanError, match=r"use\.md: expected 1 to"):
        presentation_of(job(folder, PLAN + REPORT).plan.report)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("use.md", "use.html", "end in .md or .txt"),
        ("logo.svg", "logo.jpg", "ends in .png or .svg"),
        ("language: de", "language: fr", "report.language"),
        ("name: A. Prover", "title: x", "report.approver"),
    ],
)
def test_a_fault_of_the_section_itself_is_a_fault_of_the_plan(folder: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        parse_plan((PLAN + REPORT.replace(old, new)).encode(), name="plan.yaml", folder=folder)


def test_what_was_loaded_and_what_that_requires_is_listed_by_name_with_version_and_licence() -> None:
    found = packages()
    names = [package.name for package in found]
    assert names == sorted(set(names))
    assert {"torch", "numpy", "jinja2", "markupsafe", "pydantic-core"} <= set(names)
    assert "wolfhound" not in names
    assert {package.name: package.version for package in found}["numpy"] == metadata.version("numpy")
    assert sum(bool(package.licence) for package in found) > 0.8 * len(found)
    assert packages() == found


def test_the_bill_lists_each_recorded_package_once(tmp_path: Path) -> None:
    store = sample.bare_run(tmp_path)
    record = replace(store.run_record(), versions={"numpy": "1", "python": "3"}, packages=packages())
    listed = json.loads(bill_bytes(store.evidence(), record, evidence_sha256="0"))["components"]
    software = [part for part in listed if part["type"] == "library"]
    assert [part["name"] for part in software] == ["python", *(package.name for package in packages())]
    assert all(part["purl"].startswith("pkg:pypi/") for part in software[1:])
