"""The audit as a Prefect flow: one thin task around each unit of work.

Import it only after `flows.process_settings.configure`. Values are small JSON; images, networks and perturbations go
through the evidence store, never through Prefect's results.
"""

import threading
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.task_runners import TaskRunner
from prefect.tasks import Task

from flows.artifacts import publish, told_to_server
from flows.audit import AuditResult, run_audit
from flows.audit_job import AuditJob, job_settings
from flows.console import console_progress, format_seconds
from flows.execution import Execution
from flows.prefect_server import Server, server_is_named
from flows.retrying import RETRIES, RETRY_DELAYS_SECONDS, reason_to_retry
from flows.run_logs import steps_told_to
from flows.runners import make_runner
from flows.units import Parcel, Unit, UnitResult, work
from reports.signing.choice import SigningChoice
from wolfhound.progress import Progress, silent

TAG = "wolfhound"
_one_at_a_time = threading.Lock()


def _worth_retrying(unit: Task[Any, Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether another try can help; says so, with the reason, to who reads the log."""
    del unit
    failure = state.result(raise_on_failure=False)
    reason = reason_to_retry(failure if isinstance(failure, BaseException) else None)
    logger = get_run_logger()
    if reason is None:
        logger.error("%s failed, and would fail again the same way: %s", run.name, failure)
    else:
        logger.warning("%s failed because %s; tried again up to %d times", run.name, reason, RETRIES)
    return reason is not None


@task(
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=RETRIES,
    retry_delay_seconds=list(RETRY_DELAYS_SECONDS),
    retry_condition_fn=_worth_retrying,
)
def audit_unit(unit: Parcel, threads: int | None, progress: Progress | None) -> UnitResult:
    """Run one unit, in the flow's process or in a worker's.

    The step records of the run folder decide what is done already, so Prefect's own cache stays out of it (ADR 0004).
    """
    return _run_alone(unit.unpacked(), threads, progress)


def _run_alone(unit: Unit, threads: int | None, progress: Progress | None) -> UnitResult:
    """Run one unit while no other of this process runs. Not in the task itself, which travels without its module."""
    logger = get_run_logger()
    # A worker with several threads takes several units; hooks and gradients of a network belong to one at a time.
    with _one_at_a_time, steps_told_to(logger):
        if threads is not None:
            torch.set_num_threads(threads)
        logger.info("%s begins", unit.name)
        result = work(unit, progress=told_to_server(unit.name, progress or silent))
    already = f"; done already: {', '.join(result.reused)}" if result.reused else ""
    logger.info("%s finished in %s%s", unit.name, format_seconds(result.seconds), already)
    return result


def through_prefect(
    units: Sequence[Unit], *, progress: Progress, execution: Execution, runner: TaskRunner[Any] | None
) -> list[UnitResult]:
    """Run units as Prefect tasks: one after another in this process, or handed to the runner together."""
    named = [(_task_of(unit, execution), unit) for unit in units]
    if runner is None:
        return [one(Parcel(unit), execution.threads, progress) for one, unit in named]
    threads = execution.threads_per_unit
    futures = [runner.submit(one, {"unit": Parcel(unit), "threads": threads, "progress": None}) for one, unit in named]
    return [future.result() for future in futures]


def _task_of(unit: Unit, execution: Execution) -> Task[Any, UnitResult]:
    minutes = execution.timeout_minutes
    return audit_unit.with_options(
        name=unit.kind,
        task_run_name=unit.name,
        # Prefect asks its server about every tag's concurrency limit, 0.4 s a unit: only where somebody may set one.
        tags=[TAG, unit.kind] if server_is_named() else (),
        timeout_seconds=None if minutes is None else minutes * 60,
    )


def conducted(job: AuditJob, execution: Execution, *, progress: Progress) -> AuditResult:
    """Run a prepared audit inside a flow run, its units as tasks, and show it on the server where one is named.

    Raises:
        PlanError: the runner has no server to report to, or is not installed; another audit holds the run folder.
    """
    runner = make_runner(execution)
    with nullcontext() if runner is None else runner:
        call = partial(through_prefect, execution=execution, runner=runner)
        result = run_audit(job, call=call, progress=progress)
    if server_is_named():
        publish(result.evidence, job.root, result.seal)
    return result


@flow(name="wolfhound-audit", flow_run_name="audit into {output}", persist_result=False)
def audit_flow(
    plan: str,
    folder: str,
    output: str,
    cache: str,
    command: str,
    quiet: bool,
    signing: SigningChoice | None = None,
    execution: Execution = Execution(),  # noqa: B008 (frozen)
    run_id: str = "",
) -> AuditResult:
    """Run a prepared audit: `plan` is the text of a plan, `folder` what its relative paths are meant from."""
    root = Path(output)
    settings = job_settings(execution, root)
    job = AuditJob(plan.encode(), Path(folder), root, Path(cache), command, signing, run_id, **settings)
    return conducted(job, execution, progress=console_progress(quiet=quiet))


def run_audit_flow(
    job: AuditJob, *, quiet: bool = False, execution: Execution | None = None, server: Server | None = None
) -> AuditResult:
    """Run a prepared audit as a Prefect flow.

    `server` is one that was begun earlier (see `flows.prefect_server.begin_server`). Without one, Prefect starts its
    own where PREFECT_API_URL names none.

    Raises:
        WolfhoundError: `server` did not start.
    """
    if server is not None:
        server.wait()
    result: AuditResult = audit_flow(
        plan=job.source.decode(),
        folder=str(job.folder),
        output=str(job.root),
        cache=str(job.cache),
        command=job.command,
        quiet=quiet,
        signing=job.signing,
        execution=execution or Execution(),
        run_id=job.run_id,
    )
    return result
