"""Pictures that an attack on labels alone may start from."""

from typing import Any

import torch
from torch import Tensor

from wolfhound.errors import DataError
from wolfhound.images import ImageSet

_GRIDS = (0, 8, 4, 2)
"""Cells along each side of a random picture, in turn; 0: every pixel by itself. Coarse ones reach more classes."""


class StartImages:
    """Random pictures, or those of an image set in a random order an image.

    No hyper-parameter of a plan: who runs the attack hands it over. It is shared, not copied, where an attack's
    options are written down, and is printed by the fingerprint of its images.
    """

    def __init__(self, images: ImageSet | None = None) -> None:
        if images is not None and not len(images):
            raise DataError(f"{images.name}: expected at least one picture to start from, got none")
        self.images = images

    def picture(self, attempt: int, size: torch.Size | tuple[int, int], source: torch.Generator) -> Tensor:
        """Return the picture to try at an attempt (counted from 0), float32 `[3,H,W]` in [0, 1].

        Raises:
            DataError: the pictures have another size than the images attacked.
        """
        height, width = size
        if self.images is not None:
            if self.images.size != (height, width):
                raise DataError(f"expected start pictures of {height}x{width}, got {self.images.size}")
            return self.images.load([int(torch.randint(len(self.images), (1,), generator=source))])[0]
        cells = _GRIDS[attempt % len(_GRIDS)]
        if not cells:
            return torch.rand((3, height, width), generator=source)
        coarse = torch.rand((3, cells, cells), generator=source)
        rows = torch.arange(height) * cells // height
        columns = torch.arange(width) * cells // width
        return coarse[:, rows][:, :, columns]

    def __repr__(self) -> str:
        return "StartImages()" if self.images is None else f"StartImages({self.images.fingerprint[:16]})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StartImages) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> "StartImages":
        return self
