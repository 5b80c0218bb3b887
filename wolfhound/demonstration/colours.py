"""Colours that vary a little from picture to picture."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from wolfhound.demonstration.canvas import Colour

Choice = TypeVar("Choice")


def clipped(red: float, green: float, blue: float) -> Colour:
    """Return the colour with every channel rounded into 0..255."""
    return (round(min(255, max(0, red))), round(min(255, max(0, green))), round(min(255, max(0, blue))))


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return `first` moved by `share` in [0, 1] towards `second`.

    >>> mix((0, 0, 0), (100, 200, 50), 0.5)
    (50, 100, 25)
    """
    return clipped(*(a + (b - a) * share for a, b in zip(first, second, strict=True)))


def varied(rng: np.random.Generator, colour: Colour, spread: float) -> Colour:
    """Return `colour` with a common brightness change and a smaller change of hue, both of about `spread`."""
    common = rng.normal(0, spread)
    return clipped(
        *(channel + common + shift for channel, shift in zip(colour, rng.normal(0, spread / 3, 3), strict=True))
    )


def pick(rng: np.random.Generator, choices: Sequence[Choice]) -> Choice:
    """Return one of `choices`, each equally likely."""
    return choices[int(rng.integers(len(choices)))]
