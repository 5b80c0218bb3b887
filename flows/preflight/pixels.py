"""Images that were decoded to something other than photographs: nearly black, without contrast, blank."""

from collections.abc import Iterator

import numpy as np

from flows.preflight.notice import Notice
from flows.preflight.sample import Inspected
from wolfhound.images import ImageSet

LOOKED_AT = 256
SPREAD = 16
"""Levels between the darkest and the brightest pixel of all images that a photograph is never within."""

BLANK = 0.05
"""Share of images of one colour from which on it is a fault."""


def image_values(inspected: Inspected) -> Iterator[Notice]:
    """Yield a notice where the pixels of the set span hardly any levels, or many images are of one colour."""
    levels = _levels(inspected.images.splits.select)
    low, high = int(levels.min()), int(levels.max())
    channels = levels.reshape(len(levels), 3, -1)
    blank = int((channels.max(axis=2) == channels.min(axis=2)).all(axis=1).sum())
    if high - low < SPREAD:
        yield Notice(
            "image-range",
            "error",
            "images",
            f"all pixels of {len(levels)} images lie between {low} and {high} of 255",
            "look at the files: pictures saved from floating point in [0, 1] without a factor of 255, or pictures of "
            "10 to 16 bits read as 8, look like this",
        )
    elif blank > BLANK * len(levels):
        yield Notice(
            "blank-images",
            "warning",
            "images",
            f"{blank} of {len(levels)} images are of one colour",
            "look at the files; a picture that shows nothing can be given no label",
        )


def _levels(images: ImageSet) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    return images.pixels.read(images.rows[:LOOKED_AT])
