"""Facts about the OpenLineage events of a run: a start and an end of one run, and assertions never too green."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.flows.gated_runs import sealed_run
from wolfhound.finished import read_finished
from wolfhound.outputs.openlineage import openlineage
from wolfhound.result import Result


def events(root: Path, fooled: str) -> list[dict[str, Any]]:
    data = openlineage(read_finished(sealed_run(root, fooled)).result, namespace="audits")
    return [json.loads(line) for line in data.decode().splitlines()]


def test_a_start_and_an_end_are_of_one_run_and_say_when(tmp_path: Path) -> None:
    start, end = events(tmp_path / "run", "1" * 5 + "0" * 95)
    assert (start["eventType"], end["eventType"]) == ("START", "COMPLETE")
    assert start["run"] == end["run"]
    assert start["job"] == end["job"] == {"namespace": "audits", "name": "audit"}
    assert start["eventTime"] <= end["eventTime"]


def test_the_same_run_has_the_same_id_and_another_run_another(tmp_path: Path) -> None:
    first, again, other = (
        events(tmp_path / name, fooled)[0]["run"]["runId"]
        for name, fooled in (("first", "1" + "0" * 99), ("again", "1" + "0" * 99), ("other", "11" + "0" * 98))
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize(("fooled", "success"), [(5, True), (60, False), (50, False)])
def test_only_a_criterion_that_is_met_is_a_success(tmp_path: Path, fooled: int, success: bool) -> None:
    _, end = events(tmp_path / "run", "1" * fooled + "0" * (100 - fooled))
    (classifier,) = end["inputs"]
    assert classifier["name"] == f"classifiers/net/{'a' * 64}"
    (assertion,) = classifier["inputFacets"]["dataQualityAssertions"]["assertions"]
    told = (assertion["assertion"], assertion["expected"], assertion["success"])
    assert told == ("universal.fooling_rate", "at most 0.5", success)


def test_what_nothing_was_measured_for_is_a_failure_of_every_classifier(result: Result) -> None:
    missing = [row for row in result.judgements if row.subject is None]
    assert missing, "the sample lacks a criterion that nothing was measured for"
    _, end = (json.loads(line) for line in openlineage(result, namespace="audits").splitlines())
    for classifier in end["inputs"]:
        assertions = classifier["inputFacets"]["dataQualityAssertions"]["assertions"]
        failed = {one["name"] for one in assertions if not one["success"]}
        assert failed >= {row.id for row in missing}


@pytest.mark.peers
def test_the_events_are_those_of_the_client_that_is_made_from_the_schema(result: Result, hostile: Result) -> None:
    """Its classes refuse a name that the schema doesn't know, a missing one, and what is no time or no UUID."""
    pytest.importorskip("openlineage.client", reason="openlineage-python is not installed")
    from openlineage.client.generated import base, data_quality_assertions_dataset

    for one in (result, hostile):
        for line in openlineage(one, namespace="audits").splitlines():
            event = json.loads(line)
            assert event.pop("schemaURL") == base.RunEvent._get_schema()
            for dataset in event["inputs"]:
                facets = dataset.pop("inputFacets")
                for facet in facets.values():
                    made = data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet
                    assert facet["_schemaURL"] == made._get_schema()
                    assertions = [data_quality_assertions_dataset.Assertion(**row) for row in facet["assertions"]]
                    made(assertions, producer=facet["_producer"])
                base.InputDataset(**dataset)
            for dataset in event["outputs"]:
                base.OutputDataset(**dataset)
            event["run"], event["job"] = base.Run(**event["run"]), base.Job(**event["job"])
            base.RunEvent(**event | {"eventType": base.EventType(event["eventType"])})


@pytest.mark.peers
def test_the_events_are_valid_by_the_schema_of_openlineage(result: Result, hostile: Result) -> None:
    """The schema is in no package: WOLFHOUND_OPENLINEAGE names the folder `spec` of a copy of OpenLineage's sources."""
    jsonschema = pytest.importorskip("jsonschema")
    referencing = pytest.importorskip("referencing")
    folder = os.environ.get("WOLFHOUND_OPENLINEAGE")
    if folder is None:
        pytest.skip("WOLFHOUND_OPENLINEAGE names no folder with OpenLineage.json")
    core, facet = (
        json.loads((Path(folder) / name).read_text(encoding="utf-8"))
        for name in ("OpenLineage.json", "facets/DataQualityAssertionsDatasetFacet.json")
    )
    resources = [referencing.Resource.from_contents(one) for one in (core, facet)]
    asked_for = facet["$defs"]["DataQualityAssertionsDatasetFacet"]["allOf"][0]["$ref"].partition("#")[0]
    known = referencing.Registry().with_resources([(one.id(), one) for one in resources])
    known = known.with_resource(asked_for, resources[0])
    whole, part = (
        jsonschema.Draft202012Validator(
            one, registry=known, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        )
        for one in (core, facet)
    )
    for one in (result, hostile):
        for line in openlineage(one, namespace="audits").splitlines():
            event = json.loads(line)
            whole.validate(event)
            for dataset in event["inputs"]:
                assert dataset["inputFacets"]
                part.validate(dataset["inputFacets"])
    with pytest.raises(jsonschema.ValidationError):
        whole.validate(event | {"eventTime": None})
