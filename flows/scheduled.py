"""The audit that a schedule starts: a plan on the worker's disk, a run folder of its own, and a verdict that gates.

A deployment names this flow (`flows.scheduled.scheduled_audit`); its parameters are the form that Prefect shows.
"""

import logging
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger, runtime
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from prefect.logging.loggers import flow_run_logger
from prefect.states import Completed, Failed
from pydantic import Field

from flows import preflight, process_settings
from flows.audit import AuditResult, prepare
from flows.audit_job import AuditJob, job_settings
from flows.cli import default_cache
from flows.execution import HERE, Execution, Gate
from flows.reuse import reuse_lines
from flows.storage import check_writable
from flows.tasks import conducted
from wolfhound.plan_reading import PlanFile, read_plan
from wolfhound.progress import silent
from wolfhound.verdicts import overall


def run_folder_of(runs: Path, *, run_id: str, started: datetime) -> Path:
    """Return the folder of one scheduled run in `runs`: a run that is tried again finds its own, by its id.

    >>> run_folder_of(Path("/nowhere"), run_id="0b1c2d3e-4f", started=datetime(2026, 3, 2, 2, 30)).name
    '2026-03-02T0230-0b1c2d3e'
    """
    there = sorted(runs.glob(f"*-{run_id[:8]}"))
    return there[0] if there else runs / f"{started:%Y-%m-%dT%H%M}-{run_id[:8]}"


def gated(result: AuditResult, root: Path, *, gate: Gate) -> State[Any]:
    """Return the state in which a flow run ends: failed where the gate says so, completed by its verdict otherwise."""
    verdict = overall(result.evidence.judgements)
    name, message = verdict.title().replace(" ", ""), f"{result.evidence.name}: {verdict}; report in {root}"
    if gate.fails(result.exit_code):
        return Failed(name=name, message=message)
    return Completed(name=name, message=message)


def tell_how_to_go_on(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Log what a person on call does about a run that failed, crashed or was cancelled."""
    logger = flow_run_logger(flow_run, flow)
    if state.name in ("NotMet", "Inconclusive", "NotTested"):
        logger.error("the audit is done and its gate is closed: %s", state.message)
        return
    logger.error(
        "the audit broke off (%s): %s. Its finished units are kept in %s; retry this run and it goes on from there, "
        "or run `wolfhound run PLAN --output FOLDER` with that folder on the worker",
        state.name, state.message, flow_run.parameters.get("runs"),
    )  # fmt: skip


def _job(read: PlanFile, runs: Path, cache: Path | None, execution: Execution) -> AuditJob:
    run_id, started = str(runtime.flow_run.id), runtime.flow_run.scheduled_start_time
    root = run_folder_of(runs.resolve(), run_id=run_id, started=started)
    wanted = (cache or read.plan.cache or default_cache()).resolve()
    assert read.path is not None  # it was read from a file
    command = f"wolfhound run {read.path.name} --output {root.name}"
    settings = job_settings(execution, root)
    return AuditJob(read.source, read.path.resolve().parent, root, wanted, command, run_id=run_id, **settings)


@flow(
    name="wolfhound-audit",
    flow_run_name="{plan} on {runs}",
    persist_result=False,
    on_failure=[tell_how_to_go_on],
    on_crashed=[tell_how_to_go_on],
    on_cancellation=[tell_how_to_go_on],
)
def scheduled_audit(
    plan: Path,
    runs: Path = Path("runs"),
    cache: Path | None = None,
    gate: Gate = Gate.NOT_MET,
    runner: str = HERE,
    threads_per_unit: Annotated[int | None, Field(ge=1)] = None,
    unit_timeout_minutes: Annotated[float | None, Field(gt=0)] = None,
    store: str = "",
    crafting_processes: Annotated[int, Field(ge=1)] = 1,
) -> State[Any]:
    """Run an audit plan into a folder of its own below `runs`, and end in the state that its verdict asks for.

    Args:
        plan: The audit plan, a YAML file on the worker's disk.
        runs: Folder that gets a run folder for each run.
        cache: Folder for decoded images and trained networks; by default the plan's, or the user's.
        gate: Which verdict fails the flow run. "inconclusive" fails on "not met" too.
        runner: Where units run. here, processes:N, dask:ADDRESS, ray or ray:ADDRESS.
        threads_per_unit: Torch threads of each unit.
        unit_timeout_minutes: How long one unit may take.
        store: URL under which run folders are kept as well, as s3://bucket/audits.
        crafting_processes: How many processes, or GPUs, share the crafting of one perturbation.
    """
    logger = get_run_logger()
    execution = Execution(runner, threads_per_unit, unit_timeout_minutes, store, crafting_processes)
    job = _job(read_plan(plan), runs, cache, execution)
    process_settings.configure(job.cache, prefect=False)
    check_writable(job.root)
    prepare(job)
    for notice in preflight.notices(job):
        logger.log(logging.INFO if notice.severity == "note" else logging.WARNING, "%s", notice.text)
    logger.info("auditing %d classifier(s) into %s", len(job.plan.classifiers), job.root)
    for line in reuse_lines(job):
        logger.info("%s", line)
    result = conducted(job, execution, progress=silent)
    return gated(result, job.root, gate=gate)
