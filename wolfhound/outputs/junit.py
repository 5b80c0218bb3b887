"""JUnit XML: one suite a criterion, one case a judgement.

Met is a passed case, not met a failure, not tested a skipped case, inconclusive an error: the test couldn't decide. So
an audit is green in a viewer of test reports only where it is met. The dialect is the one that Jenkins, GitLab and
Azure DevOps share: https://github.com/jenkinsci/xunit-plugin (junit-10.xsd).
"""

from collections.abc import Sequence
from datetime import datetime
from xml.etree import ElementTree

from wolfhound.outputs.text import details, headline, legal, observed
from wolfhound.result import JudgedCriterion, Result

_OUTCOMES = {"not met": "failure", "inconclusive": "error", "not tested": "skipped"}


def junit(result: Result) -> bytes:
    """Return the judgements as JUnit XML in UTF-8. Signs that XML forbids are written as their codes."""
    root = ElementTree.Element("testsuites", {"name": legal(result.audit), **_counts(result.judgements)})
    for criterion in dict.fromkeys(row.criterion for row in result.judgements):
        _suite(root, result, [row for row in result.judgements if row.criterion == criterion])
    ElementTree.indent(root, " ")
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def _counts(rows: Sequence[JudgedCriterion]) -> dict[str, str]:
    verdicts = [row.verdict for row in rows]
    return {
        "tests": str(len(rows)),
        "failures": str(verdicts.count("not met")),
        "errors": str(verdicts.count("inconclusive")),
    }


def _suite(root: ElementTree.Element, result: Result, rows: Sequence[JudgedCriterion]) -> None:
    # The schema knows neither a time zone nor an offset: the moment is in UTC.
    moment = datetime.fromisoformat(result.finished).strftime("%Y-%m-%dT%H:%M:%S")
    skipped = str(sum(row.verdict == "not tested" for row in rows))
    facts = {"name": legal(rows[0].criterion), "timestamp": moment, "skipped": skipped}
    suite = ElementTree.SubElement(root, "testsuite", {**facts, **_counts(rows)})
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in (("seal", result.seal), ("plan_sha256", result.plan_sha256), ("seed", str(result.seed))):
        ElementTree.SubElement(properties, "property", {"name": name, "value": value})
    for row in rows:
        _case(suite, row)


def _case(suite: ElementTree.Element, row: JudgedCriterion) -> None:
    name = row.text if row.finding is None else f"{row.text}: {row.finding}"
    case = ElementTree.SubElement(suite, "testcase", {"classname": legal(row.criterion), "name": legal(name)})
    outcome = _OUTCOMES.get(row.verdict)
    if outcome is None:
        ElementTree.SubElement(case, "system-out").text = legal(details(row))
        return
    said = {"message": legal(headline(row))}
    if outcome != "skipped":
        said["type"] = f"{row.verdict} ({row.severity})"
    ElementTree.SubElement(case, outcome, said).text = legal(details(row))
    ElementTree.SubElement(case, "system-out").text = legal(observed(row))
