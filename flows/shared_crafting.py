"""A universal perturbation crafted by several processes of one machine: a part of every minibatch, or a GPU, each."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch

from attacks.universal.checkpoints import CheckpointFile
from attacks.universal.sharing import in_processes
from flows.audit_job import AuditJob
from flows.steps import StepValue
from wolfhound.errors import PlanError
from wolfhound.progress import Progress, silent

SHAREABLE = frozenset({"sgd_uap", "sga_uap", "df_uap", "cosine_uap", "dominant_uap"})
"""Attacks whose every gradient is a mean over a minibatch; the others would do the same work in each process."""


@dataclass(frozen=True)
class Kept:
    """The checkpoint of a shared run: all of its processes go on from it, the first alone writes it."""

    file: CheckpointFile
    writes: bool

    def __str__(self) -> str:
        return str(self.file)

    def load(self) -> bytes | None:
        """Return what was saved last, or None."""
        return self.file.load()

    def save(self, data: bytes) -> None:
        """Keep `data`, in the process that writes."""
        if self.writes:
            self.file.save(data)


def check_shareable(job: AuditJob) -> None:
    """Raise unless every universal attack of the plan can be shared by as many processes as the job asks for.

    Raises:
        PlanError: names those that can't.
    """
    if job.crafting_processes == 1:
        return
    others = sorted({section.attack for section in job.plan.universal} - SHAREABLE)
    if others:
        raise PlanError(
            f"expected universal attacks that several processes can share ({', '.join(sorted(SHAREABLE))}), got "
            f"{', '.join(others)} (leave out --crafting-processes)"
        )


def device_of(job: AuditJob, rank: int) -> torch.device:
    """Return the device of one process: GPU `rank` where the job computes on GPUs."""
    return torch.device("cuda", rank) if job.device.type == "cuda" else job.device


def crafted_together(job: AuditJob, entry: object, source: str, run: int, progress: Progress) -> StepValue:
    """Return what `craft` returns, computed by `job.crafting_processes` processes."""
    with tempfile.TemporaryDirectory() as folder, progress(f"{source}: in processes", 1) as advance:
        backend = "nccl" if job.device.type == "cuda" else "gloo"
        meeting, answer = Path(folder, "meeting"), Path(folder, "answer.json")
        in_processes(
            job.crafting_processes, _take_part, job, entry, source, run, answer, backend=backend, meeting=meeting
        )
        advance(1)
        return dict(json.loads(answer.read_bytes()))


def _take_part(rank: int, job: AuditJob, entry: object, source: str, run: int, answer: Path) -> None:
    from flows.universal_stage import crafted_here  # which imports this module

    value = crafted_here(job, entry, source, run, silent, rank=rank)  # type: ignore[arg-type]
    if rank == 0:
        answer.write_text(json.dumps(value))
