"""Pictures that an attack on labels alone may start from."""

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np
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

    def pictures(
        self, size: torch.Size | tuple[int, int], source: torch.Generator, *, target: int | None = None
    ) -> Iterator[Tensor]:
        """Yield the pictures to try, float32 `[3,H,W]` in [0, 1]: without end, or each of an image set once.

        `target`: the class to reach; of an image set only pictures with that label are worth asking about.

        Raises:
            DataError: the pictures have another size than the images attacked, or none has the label of the target.
        """
        return self._random(size, source) if self.images is None else self._of(self.images, size, source, target)

    def missing(self, targets: Collection[int]) -> tuple[int, ...]:
        """Return those of the classes to reach that no picture is labelled with, in order; none for random pictures."""
        known = set(targets) if self.images is None else set(self.images.labels.tolist())
        return tuple(sorted(set(targets) - known))

    def _random(self, size: torch.Size | tuple[int, int], source: torch.Generator) -> Iterator[Tensor]:
        height, width = size
        while True:
            for cells in _GRIDS:
                if not cells:
                    yield torch.rand((3, height, width), generator=source)
                    continue
                coarse = torch.rand((3, cells, cells), generator=source)
                rows = torch.arange(height) * cells // height
                columns = torch.arange(width) * cells // width
                yield coarse[:, rows][:, :, columns]

    def _of(
        self, images: ImageSet, size: torch.Size | tuple[int, int], source: torch.Generator, target: int | None
    ) -> Iterator[Tensor]:
        if images.size != tuple(size):
            raise DataError(f"expected start pictures of {size[0]}x{size[1]}, got {images.size}")
        if target is not None and self.missing({target}):
            raise DataError(
                f"{images.name}: expected a picture labelled {images.class_names[target]!r} to start from, got none "
                "(without one an attack by labels cannot begin; choose another target or give more images)"
            )
        places = np.arange(len(images)) if target is None else np.flatnonzero(images.labels == target)
        order = torch.randperm(len(places), generator=source).numpy()
        return (images.load([int(place)])[0] for place in places[order])

    def __repr__(self) -> str:
        return "StartImages()" if self.images is None else f"StartImages({self.images.fingerprint[:16]})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StartImages) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> "StartImages":
        return self
