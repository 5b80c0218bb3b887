"""One crafting run shared by several processes: each takes a part of every minibatch, all take the same step.

The processes draw the same minibatches from generators of the same seed, so only gradients travel. The sum over the
parts is the sum over the minibatch in another order: with the same inputs a shared run equals the run alone but for
rounding.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, distributed
from torch.multiprocessing.spawn import spawn

from wolfhound.errors import PlanError


class Sharing(Protocol):
    """How the work on one minibatch is shared out, and what each process found is added up."""

    def part(self, positions: Tensor, /) -> Tensor:
        """Return those of `positions` int64 `[B]` that are this process's to take."""
        ...

    def total(self, part: Tensor, /) -> Tensor:
        """Return the sum of every process's `part`, the same bits in each of them."""
        ...


@dataclass(frozen=True)
class Alone:
    """One process takes everything."""

    def part(self, positions: Tensor) -> Tensor:
        """Return all positions."""
        return positions

    def total(self, part: Tensor) -> Tensor:
        """Return it as it is."""
        return part


@dataclass(frozen=True)
class Ranked:
    """The process of that rank among `size` in torch's default group."""

    rank: int
    size: int

    def part(self, positions: Tensor) -> Tensor:
        """Return every `size`-th position, from the `rank`-th on."""
        return positions[self.rank :: self.size]

    def total(self, part: Tensor) -> Tensor:
        """Return the sum over the group."""
        summed = part.clone()
        distributed.all_reduce(summed)
        return summed


_sharing: ContextVar[Sharing] = ContextVar("sharing", default=Alone())  # noqa: B039 (frozen)


def sharing() -> Sharing:
    """Return how crafting is shared where this is called; alone by default."""
    return _sharing.get()


@contextmanager
def shared(how: Sharing) -> Iterator[None]:
    """Share the crafting inside the block."""
    token = _sharing.set(how)
    try:
        yield
    finally:
        _sharing.reset(token)


def in_processes(count: int, work: Callable[..., None], *arguments: Any, backend: str, meeting: Path) -> None:
    """Call `work(rank, *arguments)` in `count` new processes, each with its part of the crafting.

    `backend` is "gloo" for the CPU or "nccl" for GPUs (the process of rank r then takes GPU r). `meeting` is a file
    that does not exist yet. `work` is a function of a module; what it found it leaves in files.

    Raises:
        PlanError: fewer than two processes, or more than there are GPUs.
        torch.multiprocessing.ProcessRaisedException: one of them failed; the others are ended.
    """
    if count < 2:
        raise PlanError(f"expected at least 2 processes to share a crafting run, got {count}")
    if backend == "nccl" and count > torch.cuda.device_count():
        raise PlanError(f"expected at most one process a GPU, got {count} for {torch.cuda.device_count()}")
    try:
        spawn(_ranked, (count, backend, meeting, work, arguments), nprocs=count)  # type: ignore[no-untyped-call]
    finally:
        meeting.unlink(missing_ok=True)


def _ranked(
    rank: int, count: int, backend: str, meeting: Path, work: Callable[..., None], arguments: Sequence[Any]
) -> None:
    if backend == "nccl":
        torch.cuda.set_device(rank)
    else:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
    distributed.init_process_group(backend, init_method=meeting.resolve().as_uri(), rank=rank, world_size=count)
    try:
        with shared(Ranked(rank, count)):
            work(rank, *arguments)
    finally:
        distributed.destroy_process_group()
