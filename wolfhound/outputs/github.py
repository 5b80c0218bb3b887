"""GitHub Actions: a summary of the job in Markdown, and annotations as workflow commands on standard output."""

from wolfhound.comparison import CHANGES, Comparison
from wolfhound.outputs.text import headline, markdown, observed, threshold
from wolfhound.result import JudgedCriterion, Result
from wolfhound.verdicts import SEVERITIES

ROWS_SHOWN = 200
"""A step's summary may take 1 MiB; GitHub drops it whole if it is larger."""

ANNOTATIONS = 10
"""GitHub shows ten errors and ten warnings of a step and drops the rest without a word."""

_ORDER = ("not met", "inconclusive", "not tested", "met")


def summary(result: Result) -> str:
    """Return the audit as Markdown: verdict, every judgement (the worst first), what was not tested, how to check."""
    ordered = worst_first(result)
    lines = [
        f"## {markdown(result.audit)}: {result.verdict.upper()}",
        "",
        f"Exit code {result.exit_code}. Finished {markdown(result.finished)}. Seal `{result.seal or 'none'}`.",
        "",
        "| Verdict | Severity | Criterion | Subject | Observed (95 % interval) | Asked |",
        "|---|---|---|---|---|---|",
        *(_row(row) for row in ordered[:ROWS_SHOWN]),
    ]
    if len(ordered) > ROWS_SHOWN:
        lines += ["", f"{len(ordered) - ROWS_SHOWN} more judgements are in result.json."]
    lines += ["", f"Not tested: {markdown('; '.join(result.not_tested) or 'nothing was named')}.", ""]
    if result.since_last_audit is not None:
        lines += changes(result.since_last_audit)
    return "\n".join([*lines, "A failed attack is no proof of robustness.", ""])


def worst_first(result: Result) -> list[JudgedCriterion]:
    """Return the judgements by verdict, severity and then the plan's order."""
    return sorted(result.judgements, key=lambda row: (_ORDER.index(row.verdict), SEVERITIES.index(row.severity)))


def _row(row: JudgedCriterion) -> str:
    cells = (
        row.verdict,
        row.severity,
        row.text,
        row.subject or "",
        observed(row),
        f"{row.comparator} {threshold(row)}",
    )
    return f"| {' | '.join(markdown(cell) for cell in cells)} |"


def changes(comparison: Comparison) -> list[str]:
    """Return the comparison as lines of Markdown: how many rates changed which way, and what got worse."""
    counted = ", ".join(f"{len(comparison.of(change))} {change}" for change in CHANGES)
    lines = [f"Since the audit of {markdown(comparison.before.finished)}: {counted}.", ""]
    lines += [f"- worse: {markdown(f'{row.finding}, {row.rate}: {row.reason}')}" for row in comparison.of("worse")]
    return [*lines, ""] if comparison.of("worse") else lines


def annotations(result: Result, *, plan_path: str, lines: dict[str, int]) -> list[str]:
    """Return workflow commands: an error for each judgement that is not met, a warning for what was not decided.

    GitHub shows ten of each, so the worst come first and the tenth says how many are left over.
    """
    rows = worst_first(result)
    errors = [_command("error", row, plan_path, lines) for row in rows if row.verdict == "not met"]
    undecided = [row for row in rows if row.verdict in ("inconclusive", "not tested")]
    warnings = [_command("warning", row, plan_path, lines) for row in undecided]
    return [*_shown("error", errors), *_shown("warning", warnings)]


def _shown(kind: str, commands: list[str]) -> list[str]:
    if len(commands) <= ANNOTATIONS:
        return commands
    left = len(commands) - ANNOTATIONS + 1
    return [*commands[: ANNOTATIONS - 1], f"::{kind} title=Wolfhound::{left} more are in result.json"]


def _command(kind: str, row: JudgedCriterion, plan_path: str, lines: dict[str, int]) -> str:
    place = {"file": plan_path, **({"line": str(lines[row.criterion])} if row.criterion in lines else {})}
    properties = {**place, "title": f"Wolfhound {row.criterion}"}
    said = ",".join(f"{name}={_property(value)}" for name, value in properties.items())
    return f"::{kind} {said}::{_data(headline(row))}"


def _data(text: str) -> str:
    """Return the text as a command's message: the runner takes these three signs back."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
