"""The audit as a Prefect flow: one thin task around each unit of work.

Import it only after `flows.process_settings.configure`. Values are small JSON; images, networks and perturbations go
through the evidence store, never through Prefect's results.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.audit import AuditResult, run_audit
from flows.audit_job import AuditJob
from flows.console import console_progress
from flows.steps import StepValue
from reports.signing.choice import SigningChoice

TAG = "wolfhound"


def through_prefect(kind: str, label: str, function: Callable[..., StepValue], /, *arguments: Any) -> StepValue:
    """Run one unit as a Prefect task named by its kind.

    The step records of the run folder decide what is done already, so Prefect's own cache stays out of it (ADR 0004).
    A unit computes and asks nothing of the network: a failure would only repeat itself, so there are no retries.
    """
    unit = task(
        name=kind,
        task_run_name=f"{kind}: {label}",
        tags=[TAG, kind],
        cache_policy=NO_CACHE,
        persist_result=False,
    )(function)
    value: StepValue = unit(*arguments)
    return value


@flow(name="wolfhound-audit", flow_run_name="audit into {output}", persist_result=False)
def audit_flow(
    plan: str, folder: str, output: str, cache: str, command: str, quiet: bool, signing: SigningChoice | None = None
) -> AuditResult:
    """Run a prepared audit: `plan` is the text of a plan, `folder` what its relative paths are meant from."""
    job = AuditJob(plan.encode(), Path(folder), Path(output), Path(cache), command, signing)
    return run_audit(job, call=through_prefect, progress=console_progress(quiet=quiet))


def run_audit_flow(job: AuditJob, *, quiet: bool = False) -> AuditResult:
    """Run a prepared audit as a Prefect flow, with the embedded server unless PREFECT_API_URL names another."""
    result: AuditResult = audit_flow(
        plan=job.source.decode(),
        folder=str(job.folder),
        output=str(job.root),
        cache=str(job.cache),
        command=job.command,
        quiet=quiet,
        signing=job.signing,
    )
    return result
