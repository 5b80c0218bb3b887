"""Adam on a perturbation, as a pure function of its state, so that a run can be taken up again anywhere."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from attacks.base import Proposal
from attacks.threat import Threat
from attacks.universal.ensemble import Losses, Member, Readable, mean_gradient
from attacks.universal.minibatches import State, minibatch_proposals, starting_point
from attacks.universal.views import Augment, Viewed
from wolfhound.images import ImageSet
from wolfhound.progress import Advance

FIRST, SECOND, UPDATES = "first moment", "second moment", "updates"
BETA1, BETA2, TINY = 0.9, 0.999, 1e-8

Decay = Literal["none", "cosine"]


class AdamOptions(Protocol):
    """The hyper-parameters that every attack driven by Adam has."""

    @property
    def passes(self) -> int:
        """How often every crafting image is used."""
        ...

    @property
    def images_per_update(self) -> int:
        """Images in the mean gradient of one update."""
        ...

    @property
    def step(self) -> float:
        """Adam's learning rate as a share of the largest change of a pixel (see `pixel_scale`)."""
        ...

    @property
    def decay(self) -> Decay:
        """Whether the steps keep their length or shrink to zero along half a cosine."""
        ...


@dataclass(frozen=True, eq=False)
class Shown:
    """What the updates see: `count` images of `size` (height, width) a pass; `draw` gives those at some positions."""

    count: int
    size: tuple[int, int]
    draw: Callable[[Tensor], Readable]

    @classmethod
    def of(cls, images: ImageSet, augment: Augment, *, generator: torch.Generator) -> "Shown":
        """Return the crafting images, varied anew in each update as `augment` says."""
        return cls(len(images), images.size, lambda part: Viewed.drawn(images, part, augment, generator=generator))


@dataclass(frozen=True, eq=False)
class Run:
    """What the driver hands an attack, beside networks and images (see `attacks.base.UniversalAttack.proposals`)."""

    threat: Threat
    generator: torch.Generator
    chunk: int
    advance: Advance
    resume: Proposal | None


def pixel_scale(threat: Threat, numbers: int) -> float:
    """Return the root mean square of a perturbation of full size: for linf epsilon, for L2 epsilon / sqrt(numbers)."""
    return threat.l2_radius(numbers) / math.sqrt(numbers)


def moments(like: Tensor) -> dict[str, Tensor]:
    """Return Adam's state before the first update of a tensor like `like`."""
    zeros = torch.zeros_like(like)
    return {FIRST: zeros, SECOND: zeros, UPDATES: torch.zeros((), dtype=torch.int64, device=like.device)}


def direction(state: State, gradient: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Return where Adam goes for `gradient`, about 1 in every pixel, and its next state.

    m <- 0.9 m + 0.1 g, s <- 0.999 s + 0.001 g^2; the direction is m' / (sqrt(s') + 1e-8) with the unbiased m' and s'.
    Kingma and Ba, "Adam", ICLR 2015, algorithm 1.
    """
    updates = state[UPDATES] + 1
    first = BETA1 * state[FIRST] + (1 - BETA1) * gradient
    second = BETA2 * state[SECOND] + (1 - BETA2) * gradient.square()
    count = int(updates)
    unbiased = first / (1 - BETA1**count)
    spread = (second / (1 - BETA2**count)).sqrt() + TINY
    return unbiased / spread, {FIRST: first, SECOND: second, UPDATES: updates}


def share_of_step(decay: Decay, done: int, total: int) -> float:
    """Return what is left of the step's length after `done` of `total` updates.

    >>> [round(share_of_step("cosine", done, 4), 3) for done in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """
    return 1.0 if decay == "none" else 0.5 * (1 + math.cos(math.pi * done / total))


def adam_proposals(
    losses: Losses, members: Sequence[Member], shown: Shown, run: Run, *, options: AdamOptions
) -> Iterator[Proposal]:
    """Yield v after every update v <- project(v + step * pixel_scale * Adam's direction for the mean gradient)."""
    total = options.passes * math.ceil(shown.count / options.images_per_update)
    first = members[0].classifier
    start = torch.zeros(3, *shown.size, device=first.device, dtype=first.dtype)

    def update(state: State, positions: Tensor) -> tuple[State, int]:
        delta, images = state["delta"], shown.draw(positions)
        gradient = mean_gradient(losses, members, images, positions, delta, chunk=run.chunk)
        rise, after = direction(state, gradient)
        length = options.step * share_of_step(options.decay, int(state[UPDATES]), total)
        moved = delta + length * pixel_scale(run.threat, delta.numel()) * rise
        return {"delta": run.threat.project(moved), **after}, len(positions) * len(members)

    yield from minibatch_proposals(
        update,
        starting_point([member.classifier for member in members], shown.size, run.resume, **moments(start)),
        shown.count,
        passes=options.passes,
        images_per_update=options.images_per_update,
        generator=run.generator,
        advance=run.advance,
    )
