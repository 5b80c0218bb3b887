"""The shared loop: which images an update sees, what is counted, and where it can be taken up again."""

from collections.abc import Iterator
from itertools import chain

import pytest
import torch
from torch import Tensor

from attacks.base import Proposal
from attacks.universal.minibatches import ORDER, State, minibatch_proposals


def counting(state: State, positions: Tensor) -> tuple[State, int]:
    """Add up the positions seen, weighted by the number of the update, so that any other order gives another sum."""
    updates = state["updates"] + 1
    return {"delta": state["delta"] + updates * positions.sum(), "updates": updates}, 2 * len(positions)


def beginning() -> Proposal:
    return Proposal(torch.zeros(1, dtype=torch.float64), passes=0, gradients=0, state={"updates": torch.tensor(0)})


def loop(
    start: Proposal | None = None, *, generator: torch.Generator, advanced: list[int] | None = None
) -> Iterator[Proposal]:
    steps: list[int] = [] if advanced is None else advanced
    return minibatch_proposals(
        counting, start or beginning(), 7, passes=3, images_per_update=3, generator=generator, advance=steps.append
    )


def test_every_pass_takes_each_image_once_in_a_new_random_order() -> None:
    taken: list[list[int]] = []

    def recording(state: State, positions: Tensor) -> tuple[State, int]:
        taken.append(positions.tolist())
        return state, 0

    generator = torch.Generator().manual_seed(0)
    start = Proposal(torch.zeros(1), passes=0, gradients=0)
    list(
        minibatch_proposals(
            recording, start, 7, passes=2, images_per_update=3, generator=generator, advance=lambda _: None
        )
    )
    assert [len(group) for group in taken] == [3, 3, 1, 3, 3, 1]
    first, second = list(chain(*taken[:3])), list(chain(*taken[3:]))
    assert sorted(first) == sorted(second) == list(range(7))
    assert first != second


def test_proposals_say_how_far_they_are() -> None:
    found = list(loop(generator=torch.Generator().manual_seed(0)))
    assert [(row.passes, row.seen) for row in found[:4]] == [(0, 3), (0, 6), (1, 0), (1, 3)]
    assert [row.gradients for row in found] == [6, 12, 14, 20, 26, 28, 34, 40, 42]
    assert [ORDER in row.state for row in found] == [True, True, False] * 3


@pytest.mark.parametrize("position", range(9))
def test_going_on_from_any_proposal_gives_the_rest(position: int) -> None:
    generator, states, found = torch.Generator().manual_seed(3), [], []
    for proposal in loop(generator=generator):
        found.append(proposal)
        states.append(generator.get_state())
    again = torch.Generator()
    again.set_state(states[position])
    rest = list(loop(found[position], generator=again))
    assert [float(row.delta) for row in rest] == [float(row.delta) for row in found[position + 1 :]]
    assert [row.gradients for row in rest] == [row.gradients for row in found[position + 1 :]]


@pytest.mark.parametrize("position", [0, 2, 4, 8])
def test_progress_counts_what_was_done_before(position: int) -> None:
    found = list(loop(generator=torch.Generator().manual_seed(0)))
    advanced: list[int] = []
    list(loop(found[position], generator=torch.Generator().manual_seed(0), advanced=advanced))
    assert sum(advanced) == 21


def test_an_attack_may_stop_after_a_pass_and_the_rest_counts_as_done() -> None:
    advanced: list[int] = []

    def after_one(state: State) -> tuple[State, bool]:
        return {**state, "updates": torch.tensor(0)}, int(state["passes"]) == 1

    def update(state: State, positions: Tensor) -> tuple[State, int]:
        return {**state, "passes": state["passes"] + (len(positions) == 1)}, 1

    start = Proposal(torch.zeros(1), passes=0, gradients=0, state={"passes": torch.tensor(0)})
    generator = torch.Generator().manual_seed(0)
    found = list(
        minibatch_proposals(
            update,
            start,
            7,
            passes=5,
            images_per_update=3,
            generator=generator,
            advance=advanced.append,
            end_of_pass=after_one,
        )
    )
    assert [row.finished for row in found] == [False, False, True]
    assert int(found[-1].state["updates"]) == 0
    assert sum(advanced) == 35
    nothing_more = minibatch_proposals(
        update, found[-1], 7, passes=5, images_per_update=3, generator=generator, advance=lambda _: None
    )
    assert list(nothing_more) == []
