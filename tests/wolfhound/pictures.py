"""Picture files for the tests of image sources."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wolfhound.images import ImageSet
from wolfhound.sources import Fit, read_folder


def noise(height: int, width: int, *, seed: int) -> NDArray[np.uint8]:
    """Return random RGB pixels `[H,W,3]`."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_picture(path: Path, pixels: NDArray[np.uint8]) -> Path:
    """Write pixels as the file type that the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_folder(root: Path, classes: dict[str, int], *, side: int = 8) -> Path:
    """Write a folder per class with so many different PNG files each."""
    for place, (name, count) in enumerate(classes.items()):
        for index in range(count):
            write_picture(root / name / f"{index}.png", noise(side, side, seed=1000 * place + index))
    return root


def read_back(folder: Path, cache: Path, *, fit: Fit | None = None, size: tuple[int, int] = (8, 8)) -> ImageSet:
    """Read a folder of classes with plain settings."""
    return read_folder(folder, cache=cache, size=size, fit=fit or Fit())
