"""Crafting images varied at random each time they are read: a few hundred photographs stand for more."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from wolfhound.images import ImageSet

Augment = Literal["auto", "none", "flips", "shifts", "crops", "mixes"]
AUGMENTS: tuple[Augment, ...] = get_args(Augment)

SMALLEST_CROP = 0.5
"""Least share of an image's area that a crop keeps."""

FARTHEST_SHIFT = 1 / 8
"""Largest move in each direction as a share of the image's side: 4 of 32 pixels, as CIFAR-10 networks are trained."""

SMALL = 48
"""Up to this many pixels on the shorter side, "auto" moves and does not crop: scaling a crop blurs what is left."""

SIDES_OF_A_PIECE = 0.2, 0.7
"""Least and largest height and width of a piece of another image, as shares of the image's."""

Attack = TypeVar("Attack")


def settled(attack: Attack, size: tuple[int, int]) -> Attack:
    """Return `attack` with its "auto" replaced by how it varies images of `size` (height, width); any other as it is.

    >>> from attacks.universal.df import DfUniversal
    >>> settled(DfUniversal(), (32, 32)).augment, settled(DfUniversal(), (224, 224)).augment
    ('shifts', 'crops')
    >>> settled(DfUniversal(augment="none"), (32, 32)).augment
    'none'
    """
    if getattr(attack, "augment", None) != "auto":
        return attack
    return cast(Attack, replace(cast(Any, attack), augment=suited("auto", size)))


def suited(augment: Augment, size: tuple[int, int]) -> Augment:
    """Return how images of `size` (height, width) are varied where `augment` is asked for: "auto" depends on the size.

    >>> suited("auto", (32, 32)), suited("auto", (96, 224)), suited("none", (224, 224))
    ('shifts', 'crops', 'none')
    """
    if augment != "auto":
        return augment
    return "shifts" if min(size) <= SMALL else "crops"


@dataclass(frozen=True, eq=False)
class Pieces:
    """Which images have a piece of which others put on them, and where.

    Attributes:
        givers: int64 `[B]`, the position of the image that each one's piece is of; its own where it has none.
        boxes: int64 `[B,4]`, top, left, bottom, right of each piece; those of images without one are empty.
    """

    givers: Tensor
    boxes: Tensor

    @classmethod
    def drawn(cls, positions: Tensor, size: tuple[int, int], *, generator: torch.Generator) -> "Pieces":
        """Return a piece for about half of the images at `positions`, of another of them at the same place."""
        count, sides, (least, most) = len(positions), torch.tensor(size), SIDES_OF_A_PIECE
        draws = torch.rand(count, 5, generator=generator)
        lengths = ((least + (most - least) * draws[:, :2]) * sides).round().long().clamp(min=1)
        corners = (draws[:, 2:4] * (sides - lengths + 1)).floor().long()
        given = draws[:, 4] < 0.5
        others = positions[torch.randperm(count, generator=generator)]
        boxes = torch.cat([corners, corners + lengths], dim=1)
        return cls(torch.where(given, others, positions), torch.where(given[:, None], boxes, torch.zeros_like(boxes)))


@dataclass(frozen=True, eq=False)
class Viewed:
    """Images as one update sees them: mirrored left to right half of the time, and moved or cropped where asked for.

    A shift moves the image by whole pixels, up to `FARTHEST_SHIFT` of its side in each direction; what comes in from
    outside is the image mirrored at its border (He et al., "Deep Residual Learning", CVPR 2016, section 4.2, move as
    far, with black outside). A crop keeps a square share of the image, between `SMALLEST_CROP` and all of its area, and
    is scaled back to full size (bilinear). Mixed images are moved or cropped, as suits their size, and half of them
    have a rectangle of another image of the update put on at the same place (as in Yun et al., "CutMix", ICCV 2019,
    section 3, whose mixed labels are not needed here: the network is asked what it sees in the new image). What is
    drawn belongs to the image and not to the batch, so the batch size changes nothing.

    Attributes:
        rows: which row of `theta` belongs to which position.
        theta: an affine map an image from the places of the view to those of the image, `[B,2,3]`; None leaves them be.
        outside: what lies beyond the border: its pixels repeated, or the image mirrored.
        pieces: of other images, put on these; None where there are none.
    """

    images: ImageSet
    rows: dict[int, int]
    theta: Tensor | None
    outside: Literal["border", "reflection"] = "border"
    pieces: Pieces | None = None

    @property
    def composed(self) -> bool:
        """Whether an image may show something of another, so that what is known of it does not hold for the view."""
        return self.pieces is not None

    @classmethod
    def drawn(cls, images: ImageSet, positions: Tensor, augment: Augment, *, generator: torch.Generator) -> "Viewed":
        """Return views of the images at `positions` int64 `[B]`, as different as `augment` says for their size."""
        if augment == "mixes":
            moved = cls.drawn(images, positions, "auto", generator=generator)
            return replace(moved, pieces=Pieces.drawn(positions, images.size, generator=generator))
        augment = suited(augment, images.size)
        rows = {int(position): row for row, position in enumerate(positions)}
        if augment == "none":
            return cls(images, rows, None)
        draws = torch.rand(len(positions), 4, generator=generator)
        side = (SMALLEST_CROP + (1 - SMALLEST_CROP) * draws[:, 0]).sqrt() if augment == "crops" else draws.new_ones(())
        theta = torch.zeros(len(positions), 2, 3)
        theta[:, 0, 0] = torch.where(draws[:, 1] < 0.5, -side, side)
        theta[:, 1, 1] = side
        if augment == "shifts":
            theta[:, :, 2] = _moves(draws[:, 2:], images.size)
            return cls(images, rows, theta, "reflection")
        theta[:, :, 2] = (2 * draws[:, 2:] - 1) * (1 - side).reshape(-1, 1)
        return cls(images, rows, theta)

    def load(self, positions: Sequence[int] | NDArray[np.int64] | slice = slice(None)) -> Tensor:
        """Return the views at `positions`, float32 `[B,3,H,W]` in [0, 1], on the CPU."""
        wanted = range(len(self.images))[positions] if isinstance(positions, slice) else positions
        pixels = self._moved(wanted)
        if self.pieces is None:
            return pixels
        rows = [self.rows[int(position)] for position in wanted]
        others = self._moved(self.pieces.givers[rows].numpy())
        for own, other, (top, left, bottom, right) in zip(
            pixels, others, self.pieces.boxes[rows].tolist(), strict=True
        ):
            own[:, top:bottom, left:right] = other[:, top:bottom, left:right]
        return pixels

    def _moved(self, positions: Sequence[int] | NDArray[np.int64]) -> Tensor:
        pixels = self.images.load(positions)
        if self.theta is None:
            return pixels
        theta = self.theta[[self.rows[int(position)] for position in positions]]
        grid = functional.affine_grid(theta, list(pixels.shape), align_corners=False)
        shown = functional.grid_sample(pixels, grid, mode="bilinear", padding_mode=self.outside, align_corners=False)
        return shown.clamp_(0, 1)


def _moves(draws: Tensor, size: tuple[int, int]) -> Tensor:
    """Return moves by whole pixels, across and down, from numbers in [0, 1) `[B,2]`, in units of half the side."""
    sides = torch.tensor([size[1], size[0]])
    farthest = (FARTHEST_SHIFT * sides).floor()
    return ((draws * (2 * farthest + 1)).floor() - farthest) * 2 / sides
