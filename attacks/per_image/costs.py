"""What a per-image attack may ask of a network at most, read from its hyper-parameters, to be said beforehand."""

import math
from dataclasses import dataclass

from attacks.base import ImageAttack

_ROUNDS = ("restarts", "targets", "searches")
_STEPS = ("iterations", "most_steps")
_EXTRA = ("shrinkings", "halvings")
_BISECTION = 40  # questions that one iteration of HopSkipJump asks beside its estimate of a gradient


@dataclass(frozen=True)
class Cost:
    """Gradients and further forward passes an image, each the most that there can be."""

    gradients: int
    forwards: int


def most_calls(attack: ImageAttack) -> Cost | None:
    """Return the most that `attack` asks about one image, or None where its hyper-parameters do not say.

    White-box: one gradient a step, as many rounds of steps as it has restarts, targets or searches (DeepFool: one for
    each candidate class), and forward passes for the first point and the search for the smallest multiple. Score: its
    queries. Label: sqrt(t) times the first estimate's questions in iteration t (Chen et al., 2020, section III-C).
    """
    steps = next((int(getattr(attack, name)) for name in _STEPS if hasattr(attack, name)), None)
    if attack.access == "black-box score":
        queries = getattr(attack, "most_queries", None)
        return None if queries is None else Cost(0, int(queries) + 2)
    if attack.access == "black-box label":
        return None if steps is None else Cost(0, _estimates(attack, steps))
    if not type(attack).__module__.startswith("attacks.per_image."):
        return None
    rounds = math.prod(int(getattr(attack, name, 1)) for name in _ROUNDS)
    extra = sum(int(getattr(attack, name, 0)) for name in _EXTRA)
    return _white_box(steps or 1, rounds, int(getattr(attack, "candidates", 1)), extra)


def _white_box(steps: int, rounds: int, candidates: int, extra: int) -> Cost:
    # The first and the last point of each round, and those that whole levels are searched on, are asked about too.
    return Cost(rounds * steps * candidates, rounds * (2 * extra + 4) + 4)


def _estimates(attack: ImageAttack, steps: int) -> int:
    first, most = int(getattr(attack, "first_evaluations", 100)), int(getattr(attack, "most_evaluations", 10_000))
    asked = sum(min(most, math.ceil(first * math.sqrt(t))) for t in range(1, steps + 1))
    return asked + steps * _BISECTION + int(getattr(attack, "most_starts", 0)) + _BISECTION
