"""Facts about JUnit XML: which judgement is which kind of case, and that no name can break the file."""

from collections import Counter
from xml.etree import ElementTree

import pytest

from wolfhound.outputs.junit import junit
from wolfhound.result import Result

_KINDS = {"met": None, "not met": "failure", "inconclusive": "error", "not tested": "skipped"}


def cases(data: bytes) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(data).iter("testcase"))


def outcome(case: ElementTree.Element) -> str | None:
    return next((part.tag for part in case if part.tag in ("failure", "error", "skipped")), None)


def test_one_case_a_judgement_and_its_kind_by_the_verdict(result: Result) -> None:
    made = cases(junit(result))
    assert Counter(outcome(case) for case in made) == Counter(_KINDS[row.verdict] for row in result.judgements)
    assert {row.verdict for row in result.judgements} == set(_KINDS), "the sample lacks a verdict"


def test_the_counts_of_the_file_and_of_each_suite_are_those_of_its_cases(result: Result) -> None:
    root = ElementTree.fromstring(junit(result))
    for suite in [root, *root.iter("testsuite")]:
        found = Counter(outcome(case) for case in suite.iter("testcase"))
        assert int(suite.attrib["tests"]) == sum(found.values())
        assert int(suite.attrib["failures"]) == found["failure"]
        assert int(suite.attrib["errors"]) == found["error"]


def test_a_failure_says_what_was_observed_and_asked(result: Result) -> None:
    failed = next(row for row in result.judgements if row.verdict == "not met")
    case = next(case for case in cases(junit(result)) if outcome(case) == "failure")
    message = case[0].attrib["message"]
    assert failed.observed is not None
    assert f"{failed.observed.percent:.1f} %" in message
    assert f"{failed.comparator} {100 * failed.threshold:g} %" in message


def test_hostile_names_stay_text(hostile: Result) -> None:
    data = junit(hostile)
    assert b"<script>" not in data
    assert b"\x00" not in data
    made = cases(data)  # it parses, so ]]> and control characters did no harm
    assert len(made) == len(hostile.judgements)
    assert all("]]>" in case.attrib["name"] and r"\x00\x1b[31m" in case.attrib["name"] for case in made)


@pytest.mark.peers
def test_another_reader_counts_the_same(result: Result, hostile: Result) -> None:
    junitparser = pytest.importorskip("junitparser")
    for one in (result, hostile):
        read = junitparser.JUnitXml.fromstring(junit(one))
        stated = (read.tests, read.failures, read.errors, read.skipped)
        read.update_statistics()
        assert (read.tests, read.failures, read.errors, read.skipped) == stated
        assert read.tests == len(one.judgements)
