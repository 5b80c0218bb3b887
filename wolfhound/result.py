"""What a pipeline may read of a finished audit: one flat, versioned document with a published JSON schema.

It repeats what the run folder holds in a shape that stays the same when the evidence's own shape grows: `result.json`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from pydantic import ConfigDict, TypeAdapter, ValidationError

from wolfhound.comparison import Comparison
from wolfhound.errors import EvidenceError
from wolfhound.evidence import Criterion, Evidence, Finding, Judgement, RunRecord, Severity, Verdict
from wolfhound.statistics import Rate
from wolfhound.verdicts import exit_code, overall

RESULT_SCHEMA: Final = "wolfhound-result/1"


@dataclass(frozen=True)
class Measured:
    """A rate with what is derived from it. `percent`, `low_95`, `high_95` (Wilson, percent) are null for 0 of 0."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    successes: int
    total: int
    denominator: str
    percent: float | None
    low_95: float | None
    high_95: float | None


@dataclass(frozen=True)
class JudgedCriterion:
    """One criterion held against one finding; `id` is the same in every run of the same plan."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    id: str
    criterion: str
    text: str
    rate: str
    comparator: Literal["at most", "at least"]
    threshold: float
    fixed_on: str
    clauses: tuple[str, ...]
    subject: str | None
    finding: str | None
    verdict: Verdict
    severity: Severity
    reason: str
    doubts: tuple[str, ...]
    observed: Measured | None


@dataclass(frozen=True)
class MeasuredFinding:
    """All rates of one finding; `controls` names those that are controls."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    id: str
    kind: str
    subject: str
    knowledge: str
    claim: str
    conditions: Mapping[str, str]
    rates: Mapping[str, Measured]
    controls: tuple[str, ...]
    doubts: Mapping[str, str]


@dataclass(frozen=True)
class AuditedClassifier:
    """An audited classifier and the digest of its weights."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    name: str
    architecture: str
    weights_sha256: str


@dataclass(frozen=True)
class Result:
    """A whole audit as a pipeline sees it. `seal` is empty where the folder isn't sealed."""

    __pydantic_config__ = ConfigDict(extra="forbid", title="Result of a Wolfhound audit")
    audit: str
    verdict: Verdict
    exit_code: Literal[0, 1, 3]
    started: str
    finished: str
    seal: str
    evidence_sha256: str
    plan_sha256: str
    seed: int
    classifiers: tuple[AuditedClassifier, ...]
    judgements: tuple[JudgedCriterion, ...]
    findings: tuple[MeasuredFinding, ...]
    not_tested: tuple[str, ...]
    limitations: tuple[str, ...]
    since_last_audit: Comparison | None = None
    schema: Literal["wolfhound-result/1"] = RESULT_SCHEMA


_RESULT = TypeAdapter(Result)


def result_of(
    evidence: Evidence, run: RunRecord, *, evidence_sha256: str, seal: str, since: Comparison | None = None
) -> Result:
    """Return the result document of one audit.

    Raises:
        EvidenceError: a judgement names a criterion or a finding that the evidence doesn't hold.
    """
    verdict = overall(evidence.judgements)
    return Result(
        audit=evidence.name,
        verdict=verdict,
        exit_code=cast(Literal[0, 1, 3], exit_code(verdict)),
        started=run.started,
        finished=run.finished,
        seal=seal,
        evidence_sha256=evidence_sha256,
        plan_sha256=evidence.plan_sha256,
        seed=evidence.seed,
        classifiers=tuple(AuditedClassifier(s.name, s.architecture, s.weights_sha256) for s in evidence.subjects),
        judgements=tuple(_judged(evidence, row) for row in evidence.judgements),
        findings=tuple(_finding(finding) for finding in evidence.findings),
        not_tested=evidence.not_tested,
        limitations=evidence.limitations,
        since_last_audit=since,
    )


def _judged(evidence: Evidence, row: Judgement) -> JudgedCriterion:
    criterion = _criterion(evidence, row.criterion)
    finding = None if row.finding is None else evidence.finding(row.finding)
    return JudgedCriterion(
        id=criterion.id if finding is None else f"{criterion.id}@{finding.id}",
        criterion=criterion.id,
        text=criterion.text,
        rate=criterion.rate,
        comparator=criterion.comparator,
        threshold=criterion.threshold,
        fixed_on=criterion.fixed_on,
        clauses=criterion.clauses,
        subject=None if finding is None else finding.subject,
        finding=row.finding,
        verdict=row.verdict,
        severity=row.severity,
        reason=row.reason,
        doubts=() if finding is None else tuple(f"{d.code}: {d.explanation}" for d in finding.doubts),
        observed=None if row.observed is None else measured(row.observed),
    )


def _criterion(evidence: Evidence, identifier: str) -> Criterion:
    for criterion in evidence.criteria:
        if criterion.id == identifier:
            return criterion
    raise EvidenceError(f"expected the criterion {identifier!r} in the evidence, found none")


def _finding(finding: Finding) -> MeasuredFinding:
    return MeasuredFinding(
        id=finding.id,
        kind=finding.kind,
        subject=finding.subject,
        knowledge=finding.knowledge,
        claim=finding.claim,
        conditions=finding.conditions,
        rates={name: measured(rate) for name, rate in finding.rates.items()},
        controls=finding.controls,
        doubts={doubt.code: doubt.explanation for doubt in finding.doubts},
    )


def measured(rate: Rate) -> Measured:
    """Return a rate with its percent and its Wilson 95 % interval in percent, unrounded.

    >>> measured(Rate(1, 2, "images")).percent, measured(Rate(0, 0, "images")).percent
    (50.0, None)
    """
    if not rate.measured:
        return Measured(rate.successes, rate.total, rate.denominator, None, None, None)
    bounds = rate.interval()
    return Measured(rate.successes, rate.total, rate.denominator, rate.percent, 100 * bounds.low, 100 * bounds.high)


def dump_result(result: Result) -> bytes:
    """Return the document as indented UTF-8 JSON; equal results give equal bytes."""
    return _RESULT.dump_json(result, indent=1) + b"\n"


def load_result(data: bytes) -> Result:
    """Return the result of a JSON document.

    Raises:
        EvidenceError: another schema, or a malformed document.
    """
    try:
        return _RESULT.validate_json(data)
    except ValidationError as error:
        raise EvidenceError(f"expected a result document of {RESULT_SCHEMA}, but: {error}") from error


def result_schema() -> dict[str, Any]:
    """Return the JSON schema (2020-12) of the document. Another shape gets another number in `RESULT_SCHEMA`."""
    schema = _RESULT.json_schema(mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:wolfhound:result:1",
        **schema,
    }


def metrics(result: Result) -> bytes:
    """Return every measured rate as a share by finding and rate, in nested JSON: what trackers of metrics read."""
    shares = {
        finding.id: {name: rate.percent / 100 for name, rate in finding.rates.items() if rate.percent is not None}
        for finding in result.findings
    }
    return json.dumps({**shares, "exit_code": result.exit_code}, indent=1).encode() + b"\n"
