"""The loop that gradient-based universal attacks share: passes over minibatches in random order, resumable anywhere.

An attack is then its update rule alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from attacks.base import Proposal
from wolfhound.classifier import Classifier
from wolfhound.progress import Advance

ORDER = "order"
"""Where a proposal within a pass keeps the order of that pass; no name for an attack's own state."""

State = Mapping[str, Tensor]
Update = Callable[[State, Tensor], tuple[State, int]]
"""(state, positions int64 `[B]` of a minibatch) -> (the next state, gradients taken).

The state holds "delta" `[3,H,W]` and whatever else the attack put there. The next one has new tensors: writing into the
given ones would change proposals that were yielded before.
"""

EndOfPass = Callable[[State], tuple[State, bool]]
"""The state after a pass -> (the state to begin the next one with, whether the attack stops here by its own rule)."""


def keep_going(state: State) -> tuple[State, bool]:
    """Return the state as it is: every pass is followed by the next."""
    return state, False


def starting_point(
    classifiers: Sequence[Classifier], size: tuple[int, int], resume: Proposal | None, **state: Tensor
) -> Proposal:
    """Return `resume`, or where there is none a perturbation of zeros with `state`.

    The tensors lie on the first network's device, the perturbation in its dtype.
    """
    device, dtype = classifiers[0].device, classifiers[0].dtype
    start = resume or Proposal(torch.zeros(3, *size), passes=0, gradients=0, state=state)
    moved = {name: tensor.to("cpu" if name == ORDER else device) for name, tensor in start.state.items()}
    return replace(start, delta=start.delta.to(device, dtype), state=moved)


def minibatch_proposals(
    update: Update,
    start: Proposal,
    images: int,
    *,
    passes: int,
    images_per_update: int,
    generator: torch.Generator,
    advance: Advance,
    end_of_pass: EndOfPass = keep_going,
) -> Iterator[Proposal]:
    """Yield a proposal after every update, going on from `start`, until `passes` passes over `images` images are done.

    Each pass takes the images in a random order, `images_per_update` at a time (the last minibatch may be smaller). The
    order is drawn from `generator` as the pass begins; `update` may draw from it too. Which proposal the loop goes on
    from makes no difference to those that follow, if the generator stands as it did when it was yielded. An end before
    the last pass counts the rest as done.
    """
    advance(start.passes * images + start.seen)
    last = start
    while last.passes < passes and not last.finished:
        state = {"delta": last.delta, **last.state}
        order = state.pop(ORDER) if last.seen else torch.randperm(images, generator=generator)
        group = order[last.seen : last.seen + images_per_update]
        after, taken = update(state, group)
        last = _next_proposal(last, after, order, used=len(group), taken=taken, end_of_pass=end_of_pass)
        advance(len(group))
        yield last
    advance((passes - last.passes) * images)


def _next_proposal(
    last: Proposal, state: State, order: Tensor, *, used: int, taken: int, end_of_pass: EndOfPass
) -> Proposal:
    seen, passes, finished = last.seen + used, last.passes, False
    if seen == len(order):
        state, finished = end_of_pass(state)
        seen, passes = 0, passes + 1
    kept = {name: tensor for name, tensor in state.items() if name != "delta"} | ({ORDER: order} if seen else {})
    return Proposal(state["delta"], passes, last.gradients + taken, kept, finished=finished, seen=seen)
