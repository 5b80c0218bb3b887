"""An audit as a small, hashable, picklable value: the plan's bytes and three folders."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypedDict

import torch

from flows.execution import Execution
from flows.shared_store import SharedStore, shared_url
from flows.steps import Step
from reports.signing.choice import SigningChoice
from wolfhound.plan import AuditPlan
from wolfhound.plan_reading import PlanFile, parse_plan
from wolfhound.store import EvidenceStore, sha256


class JobSettings(TypedDict):
    """Those of an audit job's attributes that come from how it is executed."""

    shared: str
    crafting_processes: int


@dataclass(frozen=True)
class AuditJob:
    """One audit to run.

    Attributes:
        source: the plan's bytes, as they were given.
        folder: what relative paths of the plan are meant from.
        root: the run folder.
        cache: decoded images and trained demonstration classifiers; shared by audits.
        command: how a person runs it again, as findings print it.
        signing: whose key signs the report; None leaves it unsigned.
        crafting_processes: how many processes share the crafting of a universal perturbation.
        shared: URL at which the run folder is kept as well; empty where all processes share a disk.
        run_id: tells apart the runs that one process serves; nothing that is measured depends on it.
    """

    source: bytes
    folder: Path
    root: Path
    cache: Path
    command: str
    signing: SigningChoice | None = None
    run_id: str = ""
    shared: str = ""
    crafting_processes: int = 1

    @property
    def plan(self) -> AuditPlan:
        """The checked plan."""
        return _plan(self.source, self.folder)

    @property
    def store(self) -> EvidenceStore:
        """The run folder's store."""
        return SharedStore(self.root, self.shared) if self.shared else EvidenceStore(self.root)

    @property
    def plan_sha256(self) -> str:
        """Digest of the plan as it was given."""
        return sha256(self.source)

    @property
    def device(self) -> torch.device:
        """The device that the plan asks for; "auto" takes CUDA, then MPS, then the CPU."""
        wanted = self.plan.device
        if wanted != "auto":
            return torch.device(wanted)
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")

    def seed(self, *names: object) -> int:
        """Return the seed of one piece of work: it depends on the plan's seed and the names alone, not on order."""
        text = "|".join([str(self.plan.seed), *(str(name) for name in names)])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    def generator(self, *names: object) -> torch.Generator:
        """Return a CPU generator seeded for one piece of work."""
        return torch.Generator().manual_seed(self.seed(*names))

    def step(self, name: str, **depends: Any) -> Step:
        """Return the step of that name, keyed by everything that its result depends on."""
        return Step(self.store, name, depends)


def job_settings(execution: Execution, root: Path) -> JobSettings:
    """Return what of an execution a job into `root` has to know.

    Raises:
        PlanError: a store of a protocol that is not known or not installed.
    """
    return {
        "shared": shared_url(execution.store, root),
        "crafting_processes": execution.crafting_processes,
    }


def job_of(
    plan: PlanFile,
    command: str,
    *,
    output: Path | None,
    cache: Path,
    signing: SigningChoice | None = None,
    execution: Execution | None = None,
) -> AuditJob:
    """Return the job of a plan that was read: into `output`, else where the plan says, else runs/NAME.

    Raises:
        PlanError: a store of a protocol that is not known or not installed.
    """
    folder = plan.path.resolve().parent if plan.path else Path.cwd()
    root = (output or plan.plan.output or Path("runs") / plan.plan.name).resolve()
    return AuditJob(plan.source, folder, root, cache, command, signing, **job_settings(execution or Execution(), root))


@lru_cache(maxsize=8)
def _plan(source: bytes, folder: Path) -> AuditPlan:
    return parse_plan(source, name="plan", folder=folder)
