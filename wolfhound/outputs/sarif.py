"""SARIF 2.1.0 (OASIS, 2020): a rule for each criterion, a result for each judgement that isn't met.

Kept criteria are no results: code scanning shows every result as an alert, whatever its kind, so they are in JUnit and
in result.json only. A result lies at its criterion's line in the plan, which is what fixed it.
"""

import json
from typing import Any

import yaml

from wolfhound import __version__
from wolfhound.evidence import Severity
from wolfhound.outputs.text import details, headline, one_line
from wolfhound.result import JudgedCriterion, Result
from wolfhound.store import sha256

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS: dict[Severity, str] = {
    "critical": "error", "high": "error", "medium": "warning", "low": "note", "info": "note",
}  # fmt: skip


def sarif(result: Result, plan: bytes, *, plan_path: str) -> bytes:
    """Return the judgements that are not met as SARIF.

    `plan` is the plan as it was run; `plan_path` is where it lies in the repository that shows the results, with
    forward slashes.
    """
    criteria = list(dict.fromkeys(row.criterion for row in result.judgements))
    first = {row.criterion: row for row in reversed(result.judgements)}
    lines = criterion_lines(plan)
    shown = [row for row in result.judgements if row.verdict != "met"]
    run = {
        "tool": {
            "driver": {
                "name": "Wolfhound",
                "version": __version__,
                "rules": [_rule(first[criterion]) for criterion in criteria],
            }
        },
        "automationDetails": {"id": f"wolfhound/{one_line(result.audit)}/"},
        "invocations": [
            {"executionSuccessful": True, "exitCode": result.exit_code, "endTimeUtc": _utc(result.finished)}
        ],
        "results": [_result(row, criteria.index(row.criterion), lines, plan_path) for row in shown],
        "properties": {"verdict": result.verdict, "seal": result.seal, "evidenceSha256": result.evidence_sha256},
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=1, allow_nan=False).encode() + b"\n"


def _rule(row: JudgedCriterion) -> dict[str, Any]:
    asked = f"The audit has to show: {row.rate} {row.comparator} {100 * row.threshold:g} %. Inconclusive isn't shown."
    return {
        "id": row.criterion,
        "shortDescription": {"text": one_line(row.text)},
        "fullDescription": {"text": asked},
        "help": {"text": f"{asked} Fixed on {one_line(row.fixed_on)}. Clauses: {one_line('; '.join(row.clauses))}"},
        "properties": {"tags": ["robustness", *dict.fromkeys(one_line(clause) for clause in row.clauses)]},
    }


def _result(row: JudgedCriterion, rule: int, lines: dict[str, int], plan_path: str) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": _uri(plan_path)}}
    if row.criterion in lines:
        place["region"] = {"startLine": lines[row.criterion]}
    return {
        "ruleId": row.criterion,
        "ruleIndex": rule,
        "kind": "fail",
        "level": level(row),
        # Brackets in a message are SARIF's own markup for links (section 3.11.6).
        "message": {"text": _plain(f"{headline(row)}\n{details(row)}")},
        "locations": [{"physicalLocation": place}],
        "partialFingerprints": {"wolfhoundJudgement/v1": sha256(row.id.encode())},
        "properties": {"verdict": row.verdict, "severity": row.severity},
    }


def level(row: JudgedCriterion) -> str:
    """Return the level of a judgement that isn't met: by severity, but never less than a warning.

    Missing is not passed, so what was not tested warns, whatever its severity.
    """
    by_severity = _LEVELS[row.severity]
    return "warning" if by_severity == "note" else by_severity


def _plain(text: str) -> str:
    return text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")


def _uri(path: str) -> str:
    from urllib.parse import quote

    return quote(path)


def _utc(moment: str) -> str:
    from datetime import UTC, datetime

    return datetime.fromisoformat(moment).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def criterion_lines(plan: bytes) -> dict[str, int]:
    """Return the line (from 1) on which each criterion of a plan begins; empty if the plan holds none.

    >>> criterion_lines(b"criteria:\\n  - id: a\\n  - {id: b}\\n")
    {'a': 2, 'b': 3}
    """
    root = yaml.compose(plan, Loader=yaml.SafeLoader)
    entries = _value(root, "criteria")
    if not isinstance(entries, yaml.SequenceNode):
        return {}
    named = [(_value(entry, "id"), entry.start_mark.line + 1) for entry in entries.value]
    return {str(name.value): line for name, line in named if isinstance(name, yaml.ScalarNode)}


def _value(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)
