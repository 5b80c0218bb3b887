"""Divide an image into segments: a grid, which needs nothing, or SLIC and quickshift of scikit-image (extra `lime`)."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor


class Segmenter(Protocol):
    """Divides images. Settings and seeds are fields of the (frozen) segmenter."""

    @property
    def name(self) -> str:
        """What is printed beside an explanation."""

    def segments(self, image: Tensor) -> Tensor:
        """Return int64 `[H,W]` of one image `[3,H,W]` in [0, 1]: numbers 0 to S - 1, each of at least one pixel."""


@dataclass(frozen=True)
class Grid:
    """Rectangles of equal size (to a pixel), `cells` along each side."""

    cells: int = 8
    name: str = "grid"

    def segments(self, image: Tensor) -> Tensor:
        """Return the number of each pixel's rectangle, row by row.

        Raises:
            ValueError: fewer pixels than cells along a side.

        >>> Grid(cells=2).segments(torch.zeros(3, 2, 4)).tolist()
        [[0, 0, 1, 1], [2, 2, 3, 3]]
        """
        height, width = image.shape[-2:]
        if not 1 <= self.cells <= min(height, width):
            raise ValueError(f"expected 1 to {min(height, width)} cells a side of the image, got {self.cells}")
        rows, columns = (torch.arange(side) * self.cells // side for side in (height, width))
        return rows[:, None] * self.cells + columns


@dataclass(frozen=True)
class Slic:
    """SLIC superpixels (Achanta et al. 2012) by scikit-image: about `count` compact pieces of like colour."""

    count: int = 60
    compactness: float = 10.0
    sigma: float = 1.0
    name: str = "slic"

    def segments(self, image: Tensor) -> Tensor:
        """Return the number of each pixel's superpixel.

        Raises:
            ModuleNotFoundError: scikit-image is not installed.
        """
        found = _scikit_image().slic(
            _array(image), n_segments=self.count, compactness=self.compactness, sigma=self.sigma, start_label=0
        )
        return _numbered(found)


@dataclass(frozen=True)
class Quickshift:
    """Quickshift (Vedaldi & Soatto 2008) by scikit-image, with the settings of the lime package."""

    kernel_size: float = 4
    max_dist: float = 200
    ratio: float = 0.2
    seed: int = 42
    name: str = "quickshift"

    def segments(self, image: Tensor) -> Tensor:
        """Return the number of each pixel's segment.

        Raises:
            ModuleNotFoundError: scikit-image is not installed.
        """
        found = _scikit_image().quickshift(
            _array(image),
            kernel_size=self.kernel_size,
            max_dist=self.max_dist,
            ratio=self.ratio,
            rng=self.seed,
        )
        return _numbered(found)


def _scikit_image() -> Any:
    try:
        from skimage import segmentation
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "expected scikit-image for SLIC and quickshift, it is not installed "
            "(pip install 'wolfhound[lime]', or take the grid, which needs nothing)"
        ) from error
    return segmentation


def _array(image: Tensor) -> "np.ndarray[Any, np.dtype[np.float64]]":
    array: np.ndarray[Any, np.dtype[np.float64]] = image.detach().cpu().double().permute(1, 2, 0).numpy()
    return array


def _numbered(labels: "np.ndarray[Any, Any]") -> Tensor:
    """Number segments 0 to S - 1 without gaps, in the order of their labels."""
    _, numbers = np.unique(labels, return_inverse=True)
    return torch.from_numpy(numbers.reshape(labels.shape).astype(np.int64))
