"""An audit as OpenLineage events: what was read (classifiers and images), what came of it, and whether it held.

OpenLineage 2.0.2 (openlineage.io/spec). Criteria are written as the data-quality assertions of the classifier that they
speak of, or of every one where they speak of none (nothing was measured, say); only "met" is a success.
"""

import json
import uuid
from typing import Any

from wolfhound import __version__
from wolfhound.outputs.text import observed
from wolfhound.result import JudgedCriterion, Result

SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACET = "DataQualityAssertionsDatasetFacet"
ASSERTIONS = f"https://openlineage.io/spec/facets/1-1-0/{_FACET}.json#/$defs/{_FACET}"
_NAMESPACE = uuid.UUID("6f1d8f0e-6a0e-5a0e-9a55-3c2f4bbd1a07")


def openlineage(result: Result, *, namespace: str) -> bytes:
    """Return two events, one a line: the start and the end of the audit. Both bear an id that follows from the seal."""
    producer = f"urn:wolfhound:{__version__}"
    common = {
        "run": {"runId": str(uuid.uuid5(_NAMESPACE, result.seal or result.evidence_sha256))},
        "job": {"namespace": namespace, "name": result.audit},
        "producer": producer,
        "schemaURL": SCHEMA,
    }
    inputs = [_input(result, namespace, name, producer) for name in (one.name for one in result.classifiers)]
    outputs = [{"namespace": namespace, "name": f"audits/{result.audit}/{result.evidence_sha256}"}]
    events: list[dict[str, Any]] = [
        {"eventType": "START", "eventTime": result.started, **common, "inputs": [], "outputs": []},
        {"eventType": "COMPLETE", "eventTime": result.finished, **common, "inputs": inputs, "outputs": outputs},
    ]
    return "".join(json.dumps(event, sort_keys=True) + "\n" for event in events).encode()


def _input(result: Result, namespace: str, name: str, producer: str) -> dict[str, Any]:
    names = {one.name for one in result.classifiers}
    (classifier,) = (one for one in result.classifiers if one.name == name)
    assertions = [_assertion(row) for row in result.judgements if row.subject == name or row.subject not in names]
    facet = {"_producer": producer, "_schemaURL": ASSERTIONS, "assertions": assertions}
    return {
        "namespace": namespace,
        "name": f"classifiers/{name}/{classifier.weights_sha256}",
        "inputFacets": {"dataQualityAssertions": facet} if assertions else {},
    }


def _assertion(row: JudgedCriterion) -> dict[str, Any]:
    return {
        "assertion": row.rate,
        "success": row.verdict == "met",
        "name": row.id,
        "description": row.text,
        "expected": f"{row.comparator} {row.threshold:g}",
        "actual": f"{row.verdict}; {observed(row)}",
    }
