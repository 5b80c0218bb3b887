"""Facts about the audit's own controls: classifiers with a planted shortcut and without one."""

from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from flows.audit_job import AuditJob
from flows.bias_controls import failed_control_criteria
from flows.bias_stage import BiasEntry, bias_entries, bias_findings
from flows.finding_steps import packed_finding
from flows.shortcut_stage import shortcut_entries
from tests.flows.own_images import SWAPS, findings_of, job_of, written
from wolfhound.evidence import Finding
from wolfhound.plan import DemonstrationBias
from wolfhound.verdicts import exit_code, judge_all, overall


@pytest.fixture(scope="module")
def finding(tmp_path_factory):
    (found,) = findings_of(job_of(written(tmp_path_factory.mktemp("own")), SWAPS))
    return found


def control(finding: Finding, *, confounding: float, caught: bool, decided: bool = True):
    section = DemonstrationBias(source="demonstration")
    name = "confounded" if confounding > 0.5 else "balanced"
    value = packed_finding(replace(finding, id=f"bias/{name}", subject=name), caught=caught, decided=decided)
    return name, (BiasEntry(name, section, confounding=confounding), value)


@pytest.mark.parametrize(("caught", "passed"), [(False, True), (True, False)])
def test_an_audit_whose_control_fails_does_not_pass_even_without_a_criterion(finding, caught, passed):
    values = dict(
        [control(finding, confounding=1.0, caught=caught), control(finding, confounding=0.5, caught=not passed)]
    )
    found = [one for _, one in bias_findings(values)]
    assert all(one.doubts[0].code == "bias-control-failed" for one in found)
    assert all("WRONG" in one.facts["controls of the audit itself"] for one in found)
    criteria = failed_control_criteria(found)
    judgements = judge_all(criteria, found, ())
    assert {judgement.verdict for judgement in judgements} == {"inconclusive"}
    assert exit_code(overall(judgements)) == 3


def test_a_balanced_control_that_could_not_be_decided_has_not_passed(finding):
    planted = control(finding, confounding=1.0, caught=True)
    found = [
        one for _, one in bias_findings(dict([planted, control(finding, confounding=0.5, caught=False, decided=False)]))
    ]
    assert failed_control_criteria(found)
    assert "balanced: not decidable, which is WRONG" in found[0].facts["controls of the audit itself"]


def test_an_audit_whose_controls_hold_adds_no_criterion(finding):
    values = dict([control(finding, confounding=1.0, caught=True), control(finding, confounding=0.5, caught=False)])
    found = [one for _, one in bias_findings(values)]
    assert not any(one.doubts for one in found)
    assert failed_control_criteria(found) == ()
    assert found[0].facts["controls of the audit itself"] == (
        "confounded: caught, as it must be; balanced: passed, as it must"
    )


def test_the_demonstrations_criterion_judges_its_two_controls_and_no_planted_shortcut(tmp_path):
    text = (Path(__file__).parents[2] / "plans" / "demonstration.yaml").read_bytes()
    job = AuditJob(text, tmp_path, tmp_path / "run", tmp_path / "cache", "wolfhound demo")
    (criterion,) = [one for one in job.plan.criteria if one.rate == "bias.flip_rate_other_background"]
    subjects = [entry.name for entry in (*bias_entries(job), *shortcut_entries(job))]
    assert subjects == ["confounded", "balanced", "shortcut"]
    judged = [name for name in (*subjects, *job.plan.classifier_names) if fnmatchcase(name, criterion.subjects)]
    assert judged == ["confounded", "balanced"]


def test_a_study_has_a_classifier_for_every_share_and_only_the_extremes_are_controls(tmp_path):
    job = job_of(tmp_path, "  - {source: demonstration, confounding: [0.5, 0.8, 0.95, 1.0]}\n")
    assert [(entry.name, entry.planted) for entry in bias_entries(job)] == [
        ("confounded-80", None),
        ("confounded-95", None),
        ("confounded-100", True),
        ("balanced", False),
    ]
