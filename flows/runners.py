"""The task runners by which an audit's units go to other processes and machines. Import it only after configuring."""

from typing import Any

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner

from flows.execution import Execution
from wolfhound.errors import PlanError


def make_runner(execution: Execution) -> TaskRunner[Any] | None:
    """Return the Prefect task runner of that execution, None for units that run one after another in the flow.

    There is no runner on threads: hooks and gradients of one network belong to one unit at a time.

    Raises:
        PlanError: no server is named, or the package of the runner is not installed.
    """
    execution.check_server()
    kind, _, address = execution.runner.partition(":")
    match kind:
        case "processes":
            return ProcessPoolTaskRunner(max_workers=int(address))
        case "dask":
            return _dask(address)
        case "ray":
            return _ray(address)
        case _:
            return None


def _dask(address: str) -> TaskRunner[Any]:
    try:
        from prefect_dask import DaskTaskRunner
    except ImportError as error:
        raise PlanError("the runner 'dask' needs prefect-dask (pip install 'wolfhound[dask]')") from error
    runner: TaskRunner[Any] = DaskTaskRunner(address=address)
    return runner


def _ray(address: str) -> TaskRunner[Any]:
    try:
        from prefect_ray import RayTaskRunner
    except ImportError as error:
        raise PlanError("the runner 'ray' needs prefect-ray (pip install 'wolfhound[ray]')") from error
    runner: TaskRunner[Any] = RayTaskRunner(address=address) if address else RayTaskRunner()
    return runner
