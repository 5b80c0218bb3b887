"""How an audit is executed: where its units run, on how many threads, and how long one may take. Changes no result."""

import os
from dataclasses import dataclass
from enum import StrEnum

from flows.prefect_server import server_is_named
from wolfhound.errors import PlanError

HERE = "here"
_KINDS = ("here", "processes:N", "dask:ADDRESS", "ray", "ray:ADDRESS")


class Gate(StrEnum):
    """Which verdict fails a scheduled run."""

    NOT_MET = "not met"
    INCONCLUSIVE = "inconclusive"
    NEVER = "never"

    def fails(self, exit_code: int) -> bool:
        """Whether an audit that ends with this exit code fails the run.

        >>> Gate.NOT_MET.fails(3), Gate.INCONCLUSIVE.fails(3), Gate.NEVER.fails(1)
        (False, True, False)
        """
        return exit_code in {Gate.NOT_MET: (1,), Gate.INCONCLUSIVE: (1, 3), Gate.NEVER: ()}[self]


@dataclass(frozen=True)
class Execution:
    """Settings of the platform, not of the audit: the evidence does not hold them.

    Attributes:
        runner: "here" (one unit after another in the flow's process), "processes:N" (N processes of this machine),
            "dask:ADDRESS" (a Dask scheduler) or "ray:ADDRESS" (a Ray cluster; "ray" alone starts one here).
        threads: torch threads of each unit; None leaves the worker's own number, and with "processes:N" shares out
            the cores.
        timeout_minutes: how long one unit may take before the run breaks off; None for any time.
        store: URL under which the run folder is kept as well, for workers without a common disk; empty for none.
        crafting_processes: how many processes share the crafting of one universal perturbation. Only the rounding of
            sums depends on it, and steps are recorded with it.
    """

    runner: str = HERE
    threads: int | None = None
    timeout_minutes: float | None = None
    store: str = ""
    crafting_processes: int = 1

    def __post_init__(self) -> None:
        kind, _, rest = self.runner.partition(":")
        counted = kind == "processes" and rest.isdecimal() and int(rest) > 0
        if not (self.runner in (HERE, "ray") or counted or (kind in ("dask", "ray") and rest)):
            raise PlanError(f"expected a runner of the form {', '.join(_KINDS)}, got {self.runner!r}")
        if self.threads is not None and self.threads < 1:
            raise PlanError(f"expected at least 1 thread for each unit, got {self.threads}")
        if self.crafting_processes < 1:
            raise PlanError(f"expected at least 1 process to craft with, got {self.crafting_processes}")
        if self.timeout_minutes is not None and not self.timeout_minutes > 0:
            raise PlanError(f"expected a time limit for a unit above 0 minutes, got {self.timeout_minutes}")

    @property
    def needs_prefect(self) -> bool:
        """Whether it asks for something that plain function calls can't do."""
        return self.elsewhere or self.threads is not None or self.timeout_minutes is not None

    @property
    def elsewhere(self) -> bool:
        """Whether units run in other processes than the flow's."""
        return self.runner != HERE

    @property
    def threads_per_unit(self) -> int | None:
        """Return the torch threads that a unit is to use; None leaves them as they are."""
        kind, _, rest = self.runner.partition(":")
        if self.threads is None and kind == "processes":
            return max(1, (os.cpu_count() or 1) // int(rest))
        return self.threads

    def check_server(self) -> None:
        """Raise unless processes elsewhere have a server to report to: each would start one of its own.

        Raises:
            PlanError: PREFECT_API_URL is not set.
        """
        if self.elsewhere and not server_is_named():
            raise PlanError(
                f"the runner {self.runner!r} needs a Prefect server that all of its processes reach; start one with "
                "`prefect server start` and set PREFECT_API_URL=http://HOST:4200/api, or use the runner 'here'"
            )
