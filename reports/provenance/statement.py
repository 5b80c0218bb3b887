"""What an audit attests, as an in-toto Statement v1: which files, and what was measured and judged on them.

The statement is written for machines that gate on it: every judgement with its metric, comparator, threshold, counts
and interval, every seed and the digest of every input. https://github.com/in-toto/attestation, version 1.
"""

import json
from typing import Any

from reports.attached import AttachedFile
from wolfhound.evidence import Artefact, Criterion, Evidence, Judgement
from wolfhound.statistics import Rate
from wolfhound.verdicts import overall

NAME = "statement.json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:wolfhound:audit:1"
"""Version 1 of the predicate; another shape gets another number."""

PAYLOAD_TYPE = "application/vnd.in-toto+json"


def statement_bytes(evidence: Evidence, documents: tuple[AttachedFile, ...], artefacts: tuple[Artefact, ...]) -> bytes:
    """Return the statement as JSON: equal evidence and documents give equal bytes.

    `documents` are the run folder's own files (evidence, run record, plan), `artefacts` what findings refer to.
    """
    subjects = {file.path or file.name: file.sha256 for file in documents}
    subjects |= {artefact.path: artefact.sha256 for artefact in artefacts}
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": subjects[name]}} for name in sorted(subjects)],
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate(evidence),
    }
    return json.dumps(statement, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def predicate(evidence: Evidence) -> dict[str, Any]:
    """Return what was judged, on what, and under which conditions."""
    criteria = {criterion.id: criterion for criterion in evidence.criteria}
    return {
        "audit": evidence.name,
        "purpose": evidence.purpose,
        "verdict": overall(evidence.judgements),
        "plan": {"sha256": evidence.plan_sha256},
        "seed": evidence.seed,
        "classifiers": [
            {"name": s.name, "architecture": s.architecture, "weightsSha256": s.weights_sha256}
            for s in evidence.subjects
        ],
        "images": [
            {"name": i.name, "role": i.role, "count": i.count, "fingerprint": i.fingerprint} for i in evidence.images
        ],
        "judgements": [_judgement(row, criteria[row.criterion], evidence) for row in evidence.judgements],
        "notTested": list(evidence.not_tested),
        "limitations": list(evidence.limitations),
    }


def _judgement(row: Judgement, criterion: Criterion, evidence: Evidence) -> dict[str, Any]:
    finding = None if row.finding is None else evidence.finding(row.finding)
    return {
        "criterion": criterion.id,
        "metric": criterion.rate,
        "comparator": criterion.comparator,
        "threshold": criterion.threshold,
        "thresholdFixedOn": criterion.fixed_on,
        "verdict": row.verdict,
        "severity": row.severity,
        "reason": row.reason,
        "finding": row.finding,
        "subject": None if finding is None else finding.subject,
        "seed": None if finding is None else finding.conditions.get("seed"),
        "doubts": [] if finding is None else [doubt.code for doubt in finding.doubts],
        "observed": None if row.observed is None else _rate(row.observed),
    }


def _rate(rate: Rate) -> dict[str, Any]:
    counted: dict[str, Any] = {"successes": rate.successes, "n": rate.total, "denominator": rate.denominator}
    if rate.measured:
        bounds = rate.interval()
        counted["share"] = rate.share
        counted["interval"] = {
            "low": bounds.low,
            "high": bounds.high,
            "confidence": bounds.confidence,
            "method": bounds.method,
        }
    return counted
