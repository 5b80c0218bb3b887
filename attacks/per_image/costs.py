"""What a per-image attack may ask of a network at most, read from its hyper-parameters, to be said beforehand."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from attacks.base import ImageAttack
from attacks.per_image.apgd import ApgdCrossEntropy, ApgdTargeted
from attacks.per_image.boundary import DOUBLINGS
from attacks.per_image.carlini_wagner import CarliniWagner
from attacks.per_image.fab import FabTargeted
from attacks.per_image.hopskipjump import HALVINGS
from attacks.per_image.targeted_ascent import TargetedAscent
from attacks.per_image.trial import PUSHES

_ROUNDS = ("restarts", "targets", "searches")
_STEPS = ("iterations", "most_steps")
_EXTRA = ("shrinkings", "halvings")
_BISECTION = 40
"""Questions of one of HopSkipJump's bisections: 2 log2(d) under linf, for images of up to a million numbers d."""


class _Step(NamedTuple):
    """Of one step: gradients, and further passes, as whether a success outlives rounding. `first`: looks before it."""

    gradients: float = 1
    again: int = 1
    first: int = 0


_STEP: Mapping[str, _Step] = MappingProxyType(
    {
        ApgdCrossEntropy.name: _Step(first=1),
        ApgdTargeted.name: _Step(first=1),
        TargetedAscent.name: _Step(first=1),
        CarliniWagner.name: _Step(again=0),
        # It takes a second gradient where it crosses the boundary unexpectedly, which is every other time at most.
        FabTargeted.name: _Step(gradients=1.5, again=2, first=1),
    }
)
"""Attacks whose steps ask otherwise than once for a gradient and once for the image as it would be delivered."""


@dataclass(frozen=True)
class Cost:
    """Gradients and further forward passes an image, each the most that there can be."""

    gradients: int
    forwards: int


def most_calls(attack: ImageAttack) -> Cost | None:
    """Return the most that `attack` asks about one image, or None where its hyper-parameters do not say.

    White-box: a gradient a step, as many rounds of steps as it has restarts, targets or searches (DeepFool: one for
    each candidate class). Forward passes: one a step for the image as it would be delivered, as often as a success may
    be lost in rounding, and those of the search for the smallest multiple. Score: its queries, each success once more
    as delivered. Label: sqrt(t) times the first estimate's questions in iteration t (Chen et al., 2020, section III-C).
    """
    steps = next((int(getattr(attack, name)) for name in _STEPS if hasattr(attack, name)), None)
    if attack.access == "black-box score":
        queries = getattr(attack, "most_queries", None)
        return None if queries is None else Cost(0, 2 * int(queries) + 1)
    if attack.access == "black-box label":
        return None if steps is None else Cost(0, _estimates(attack, steps))
    if not type(attack).__module__.startswith("attacks.per_image."):
        return None
    rounds = math.prod(int(getattr(attack, name, 1)) for name in _ROUNDS)
    extra = sum(int(getattr(attack, name, 0)) for name in _EXTRA)
    return _white_box(_STEP.get(attack.name, _Step()), steps or 1, rounds, int(getattr(attack, "candidates", 1)), extra)


def _white_box(step: _Step, steps: int, rounds: int, candidates: int, extra: int) -> Cost:
    gradients = rounds * (math.ceil(step.gradients * steps) + step.first) * candidates
    again = rounds * (step.again * (steps + step.first) + 1)  # between two rounds, what the first came to
    return Cost(gradients, again + extra + DOUBLINGS + len(PUSHES) + 2)  # and the clean image, and the last one whole


def _estimates(attack: ImageAttack, steps: int) -> int:
    first, most = int(getattr(attack, "first_evaluations", 100)), int(getattr(attack, "most_evaluations", 10_000))
    asked = sum(min(most, math.ceil(first * math.sqrt(t))) for t in range(1, steps + 1))
    starts = 1 + int(getattr(attack, "most_starts", 0)) + _BISECTION
    return starts + asked + steps * (HALVINGS + _BISECTION + 1) + len(PUSHES)
