"""`wolfhound serve`: a schedule without a work pool. This process waits for the hour and starts the audit."""

from pathlib import Path
from typing import Annotated

import typer

from flows.execution import Gate
from flows.prefect_server import server_is_named
from wolfhound.errors import PlanError
from wolfhound.plan_reading import read_plan


def serve(
    plan: Annotated[Path, typer.Argument(help="The audit plan, a YAML file.", show_default=False)],
    cron: Annotated[str, typer.Option("--cron", help='When, as cron writes it: "0 2 * * *" is two at night, UTC.')],
    runs: Annotated[Path, typer.Option("--runs", help="Folder that gets a run folder for each run.")] = Path("runs"),
    cache: Annotated[Path | None, typer.Option("--cache", envvar="WOLFHOUND_CACHE")] = None,
    gate: Annotated[Gate, typer.Option("--gate", help="Which verdict fails a run.")] = Gate.NOT_MET,
    timezone: Annotated[str, typer.Option("--timezone", help="Of the schedule, as in Europe/Berlin.")] = "UTC",
) -> None:
    """Run an audit plan on a schedule until it is interrupted, one at a time. Needs a Prefect server."""
    if not server_is_named():
        raise PlanError(
            "expected PREFECT_API_URL, as a schedule needs a server that stays; start one with `prefect server start` "
            "and set PREFECT_API_URL=http://127.0.0.1:4200/api"
        )
    read = read_plan(plan)
    from prefect import serve as served
    from prefect.schedules import Cron

    from flows.scheduled import scheduled_audit

    given = {"plan": str(plan.resolve()), "runs": str(runs.resolve()), "gate": gate.value}
    deployment = scheduled_audit.to_deployment(
        name=read.plan.name,
        schedules=[Cron(cron, timezone=timezone)],
        parameters=given | ({} if cache is None else {"cache": str(cache.resolve())}),
        tags=["wolfhound"],
        concurrency_limit=1,
    )
    served(deployment, limit=1, print_starting_message=False)  # type: ignore[arg-type]
