"""The commands for pipelines that gate on an audit: `export`, `compare`, `approve` and `history`."""

import json
import os
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from wolfhound.errors import PlanError

Run = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")]
Approvals = Annotated[
    Path | None, typer.Option("--file", help="The file of approvals. By default approved.json beside the run folder.")
]


class Format(StrEnum):
    """What `export` writes."""

    JSON = "json"
    JUNIT = "junit"
    SARIF = "sarif"
    METRICS = "metrics"
    GITHUB = "github"
    GITLAB = "gitlab"
    OPENLINEAGE = "openlineage"


def export(
    run_folder: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="The folder of a finished run.", show_default=False)
    ] = None,
    formats: Annotated[
        list[Format] | None, typer.Option("--format", "-f", help="Repeatable. By default json, junit, sarif, metrics.")
    ] = None,
    to: Annotated[Path, typer.Option("--to", help="Folder for the files.")] = Path("results"),
    plan: Annotated[
        str, typer.Option("--plan", help="Where the plan lies in your repository: results point there.")
    ] = "plan.yaml",
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit as the audit did, not with 0.")] = False,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of result.json.")] = False,
) -> None:
    """Write a finished run's results for machines: JSON, JUnit, SARIF, metrics, GitHub, GitLab, OpenLineage."""
    from flows.exporting import export_run
    from wolfhound.result import result_schema

    if schema:
        typer.echo(json.dumps(result_schema(), indent=1))
        return
    if run_folder is None:
        raise PlanError("expected a run folder, got none (wolfhound export RUN, or --schema)")
    chosen = formats or [Format.JSON, Format.JUNIT, Format.SARIF, Format.METRICS]
    exported = export_run(
        run_folder,
        to,
        formats=[form.value for form in chosen],
        plan_path=plan,
        step_summary=os.environ.get("GITHUB_STEP_SUMMARY", ""),
    )
    for path in exported.files:
        typer.echo(f"wrote  {path}", err=True)
    for line in exported.lines:
        typer.echo(line)
    raise typer.Exit(exported.result.exit_code if exit_code else 0)


def compare(
    before: Annotated[Path, typer.Argument(metavar="BEFORE", help="The folder of the earlier run.")],
    after: Annotated[Path, typer.Argument(metavar="AFTER", help="The folder of the later run.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the comparison as JSON.")] = False,
) -> None:
    """Compare two runs rate by rate on the same images. Exit code 1 if anything is worse, 3 if nothing compares."""
    from flows.comparing import comparison_lines
    from wolfhound.comparing import compare_runs
    from wolfhound.comparison import dump_comparison
    from wolfhound.finished import read_finished

    comparison = compare_runs(read_finished(before), read_finished(after))
    if as_json:
        typer.echo(dump_comparison(comparison).decode(), nl=False)
    else:
        typer.echo("\n".join(comparison_lines(comparison)))
    raise typer.Exit(comparison.exit_code)


def approve(
    run_folder: Run,
    by: Annotated[str, typer.Option("--by", envvar="WOLFHOUND_APPROVER", help="Who approves it.")],
    file: Approvals = None,
) -> None:
    """Record a run as the approved baseline of its audit: `compare_with: approved` in a plan refers to it."""
    from wolfhound.approval import APPROVED, approve

    path = file or run_folder.resolve().parent / APPROVED
    record = approve(run_folder, path, by=by, on=datetime.now(UTC).isoformat(timespec="seconds"))
    typer.echo(f"approved  {run_folder}: {record.verdict}\nby        {record.approved_by}\nseal      {record.seal}")
    typer.echo(f"in        {path}")


def history(
    folder: Annotated[Path, typer.Argument(help="Folder of run folders.")] = Path("runs"),
    svg: Annotated[Path | None, typer.Option("--svg", help="Draw the rates of every audit into this file.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write the table and the plots as one page.")] = None,
) -> None:
    """List every run of a folder, the oldest first: date, verdict, seal and worst rates."""
    from flows.history import history_lines, newest_language, read_history
    from reports.history_page import history_page
    from reports.history_plot import history_plot
    from wolfhound.store import write_atomically

    rows = read_history(folder)
    spoken = newest_language(folder, rows)
    typer.echo("\n".join(history_lines(rows)))
    if svg is not None:
        write_atomically(svg, history_plot(rows, spoken))
    if html is not None:
        write_atomically(html, history_page(rows, spoken).encode())


def mlflow(
    run_folder: Run,
    experiment: Annotated[
        str, typer.Option("--experiment", help="The experiment of MLflow, made where it is missing.")
    ],
    model: Annotated[str, typer.Option("--model", help="A registered model, whose version gets the verdict.")] = "",
    version: Annotated[str, typer.Option("--version", help="The audited version of that model.")] = "",
) -> None:
    """Log a finished run in MLflow, once: rates, files, the verdict as tags. MLFLOW_TRACKING_URI says where."""
    from flows.mlflow_logging import log_run

    run_id = log_run(run_folder, experiment=experiment, model=model, version=version)
    typer.echo(f"logged  {run_folder} as run {run_id}")
