"""Facts about the OpenLineage events of a run: a start and an end of one run, and assertions never too green."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.flows.gated_runs import sealed_run
from wolfhound.finished import read_finished
from wolfhound.outputs.openlineage import openlineage


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
    assert assertion == {"assertion": "universal.fooling_rate at most 0.5", "success": success}
