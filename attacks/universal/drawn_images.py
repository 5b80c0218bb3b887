"""Images drawn at random that stand in for photographs: noise, and jigsaws of coloured tiles."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Prior = Literal["noise", "jigsaw"]
PRIORS: tuple[Prior, ...] = get_args(Prior)

FAINTEST, STRONGEST = 10 / 255, 127 / 255
"""Standard deviations of the noise, between which each image draws its own."""

SMALLEST_TILE = 8
"""Pixels a side that a tile has on average where an image has most tiles."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """The drawn images of one update, `[B,3,H,W]`; `rows` maps positions to them."""

    rows: dict[int, int]
    pixels: Tensor

    @classmethod
    def of(cls, positions: Tensor, prior: Prior, size: tuple[int, int], *, generator: torch.Generator) -> "Drawn":
        """Return an image of its own for each of `positions` int64 `[B]`."""
        draw = noise if prior == "noise" else jigsaw
        pixels = torch.stack([draw(size, generator=generator) for _ in positions])
        return cls({int(position): row for row, position in enumerate(positions)}, pixels)

    def load(self, positions: Sequence[int] | NDArray[np.int64] | slice = slice(None)) -> Tensor:
        """Return the images at `positions`, float32 `[b,3,H,W]` in [0, 1]."""
        wanted = list(self.rows)[positions] if isinstance(positions, slice) else positions
        return self.pixels[[self.rows[int(position)] for position in wanted]]


def noise(size: tuple[int, int], *, generator: torch.Generator) -> Tensor:
    """Return Gaussian noise around grey, of a strength of its own, `[3,H,W]` clipped to [0, 1]."""
    strength = FAINTEST + (STRONGEST - FAINTEST) * torch.rand((), generator=generator)
    return (0.5 + strength * torch.randn(3, *size, generator=generator)).clamp(0, 1)


def jigsaw(size: tuple[int, int], *, generator: torch.Generator) -> Tensor:
    """Return a grid of tiles of random colours, cut at random rows and columns, `[3,H,W]` in [0, 1].

    From one cut a side up to one for every `SMALLEST_TILE` pixels, so that tiles of all sizes occur.
    """
    most = max(1, min(size) // SMALLEST_TILE)
    cuts = int(torch.randint(1, most + 1, (), generator=generator))
    colours = torch.rand(3, cuts + 1, cuts + 1, generator=generator)
    rows, columns = (_tiles(side, cuts, generator=generator) for side in size)
    return colours[:, rows][:, :, columns]


def _tiles(side: int, cuts: int, *, generator: torch.Generator) -> Tensor:
    """Return which tile each of `side` pixels belongs to, int64 `[side]`, for cuts at random places."""
    places = torch.randint(0, side + 1, (cuts,), generator=generator).sort().values
    return torch.bucketize(torch.arange(side), places, right=True)
