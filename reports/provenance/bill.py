"""A bill of materials (CycloneDX 1.6): the audited classifiers, the image sets and the software that measured them."""

import json
import uuid
from typing import Any

from wolfhound import __version__
from wolfhound.evidence import Evidence, ImageRecord, RunRecord, Subject

NAME = "bill-of-materials.cdx.json"
SPECIFICATION = "1.6"
_NAMESPACE = uuid.UUID("6f1b5f0e-3f6c-5f0b-9f55-0c9d0a6b7a11")
_OURSELVES = "wolfhound"
_NOT_PACKAGES = ("python",)


def bill_bytes(evidence: Evidence, run: RunRecord, *, evidence_sha256: str) -> bytes:
    """Return the bill as JSON. Serial number and date come from the evidence: equal input gives equal bytes."""
    bill = {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, evidence_sha256)}",
        "version": 1,
        "metadata": {
            "timestamp": run.finished,
            "component": {"type": "application", "name": _OURSELVES, "version": __version__, "bom-ref": _OURSELVES},
        },
        "components": [
            *(_model(subject) for subject in evidence.subjects),
            *(_images(record) for record in evidence.images),
            *_all_software(run),
        ],
    }
    return json.dumps(bill, indent=1, ensure_ascii=False).encode() + b"\n"


def _model(subject: Subject) -> dict[str, Any]:
    properties = {
        "wolfhound:parameters": str(subject.parameters) if subject.weights_seen else "unknown",
        "wolfhound:classes": str(subject.classes),
        "wolfhound:input-size": "x".join(map(str, subject.input_size)),
        "wolfhound:provenance": subject.provenance,
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": f"classifier/{subject.name}",
        "name": subject.name,
        **({"hashes": [{"alg": "SHA-256", "content": subject.weights_sha256}]} if subject.weights_seen else {}),
        "modelCard": {"modelParameters": {"task": "image classification", "modelArchitecture": subject.architecture}},
        "properties": _properties(properties),
    }


def _images(record: ImageRecord) -> dict[str, Any]:
    properties = {
        "wolfhound:role": record.role,
        "wolfhound:count": str(record.count),
        "wolfhound:classes": str(record.classes),
        "wolfhound:fingerprint": record.fingerprint,
    }
    return {
        "type": "data",
        "bom-ref": f"images/{record.name}",
        "name": record.name,
        "description": record.provenance,
        "data": [{"type": "dataset", "name": record.name}],
        "properties": _properties(properties),
    }


def _all_software(run: RunRecord) -> list[dict[str, Any]]:
    """Return every package of the run record, and of its main versions those that are no package or were not listed."""
    listed = {package.name for package in run.packages}
    main = {name: version for name, version in run.versions.items() if name != _OURSELVES and name not in listed}
    return [
        *(_software(name, version, "") for name, version in main.items()),
        *(_software(package.name, package.version, package.licence) for package in run.packages),
    ]


def _software(name: str, version: str, licence: str) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "library",
        "bom-ref": f"software/{name}",
        "name": name,
        "version": version,
    }
    if licence:
        component["licenses"] = [{"license": {"name": licence}}]
    if name.lower() in _NOT_PACKAGES:
        return component
    return component | {"purl": f"pkg:pypi/{name.lower().replace('_', '-')}@{version.replace('+', '%2B')}"}


def _properties(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]
