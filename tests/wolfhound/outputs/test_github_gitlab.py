"""Facts about what GitHub and GitLab read: nothing that others wrote becomes a command, markup or a variable."""

import re
from dataclasses import replace

import pytest

from tests.wolfhound.audits import measured
from wolfhound.comparison import compare_audits
from wolfhound.outputs import github, gitlab
from wolfhound.outputs.text import legal, markdown, one_line
from wolfhound.result import Result


def test_the_summary_has_a_row_a_judgement_the_worst_first(result: Result) -> None:
    rows = [line for line in github.summary(result).splitlines() if line.startswith("| ")][1:]
    verdicts = [line.split(" | ")[0].removeprefix("| ") for line in rows]
    assert sorted(verdicts) == sorted(row.verdict for row in result.judgements)
    order = ["not met", "inconclusive", "not tested", "met"]
    assert verdicts == sorted(verdicts, key=order.index)


def test_the_summary_says_what_got_worse(result: Result) -> None:
    compared = replace(result, since_last_audit=compare_audits(measured("0" * 9), measured("1" * 9)))
    assert "1 worse, 0 better" in github.summary(compared)
    assert "- worse: universal/sgd/net" in github.summary(compared).replace("\\", "")


def test_hostile_names_stay_in_their_cell_of_the_summary(hostile: Result) -> None:
    rows = [line for line in github.summary(hostile).splitlines() if line.startswith("| ")][1:]
    assert len(rows) == len(hostile.judgements)
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 7, "six cells"
        assert "<script>" not in row
        assert not re.search(r"(?<!\\)\]\(", row), "no link"
        assert not re.search(r"(?<!\\)`", row), "no code"


def test_not_met_is_an_error_and_undecided_a_warning_at_the_criterion(result: Result) -> None:
    commands = github.annotations(result, plan_path="plan.yaml", lines={"universal": 5})
    kinds = [command.split(" ")[0] for command in commands]
    assert kinds.count("::error") == sum(row.verdict == "not met" for row in result.judgements)
    assert kinds.count("::warning") == sum(row.verdict in ("inconclusive", "not tested") for row in result.judgements)
    assert any(command.startswith("::error file=plan.yaml,line=5,title=Wolfhound universal::") for command in commands)


def test_more_than_ten_annotations_are_counted_not_dropped(result: Result) -> None:
    many = replace(result, judgements=tuple(row for row in result.judgements if row.verdict == "not met") * 12)
    commands = github.annotations(many, plan_path="plan.yaml", lines={})
    assert len(commands) == 10
    assert commands[-1] == f"::error title=Wolfhound::{len(many.judgements) - 9} more are in result.json"


def test_hostile_names_start_no_command_of_their_own(hostile: Result) -> None:
    for command in github.annotations(hostile, plan_path="a:b,c\n.yaml", lines={}):
        assert "\n" not in command
        assert command.startswith(("::error file=a%3Ab%2Cc%0A.yaml,", "::warning file=a%3Ab%2Cc%0A.yaml,"))
        assert "%250A" in command, "a percent sign is no escape of its own"


def test_the_variables_are_lines_that_gitlab_reads(result: Result, hostile: Result) -> None:
    compared = replace(hostile, since_last_audit=compare_audits(measured("0" * 9), measured("1" * 9)))
    for each in (result, compared):
        data = gitlab.dotenv(each)
        lines = data.decode().splitlines()
        assert all(re.fullmatch(r"WOLFHOUND_[A-Z0-9_]+=[A-Za-z0-9_-]*", line) for line in lines)
        assert len(lines) <= gitlab.VARIABLES
        assert len(data) <= gitlab.BYTES
    assert "WOLFHOUND_WORSE=1" in gitlab.dotenv(compared).decode()
    assert "WOLFHOUND_EXIT_CODE=1" in gitlab.dotenv(result).decode()


@pytest.mark.parametrize("code", [0, 8, 11, 31, 0xFFFE, 0xFFFF])
def test_signs_that_xml_forbids_are_written_as_codes(code: int) -> None:
    assert legal(f"a{chr(code)}b") == f"a\\x{code:02x}b"


def test_text_on_one_line_has_no_separator_of_lines_left() -> None:
    assert one_line("a\u2028b\x85c\rd").isprintable()
    assert markdown("- a_b*c*") == "\\- a\\_b\\*c\\*"
