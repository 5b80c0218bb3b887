"""Object masks that are drawn from annotations: polygons, boxes, run lengths. They share the picture's geometry."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from wolfhound.errors import DataError
from wolfhound.sources.listing import PictureFile

_ORIENTATION = 0x0112

Mask = NDArray[np.bool_]
Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels; right and bottom are outside."""


@dataclass(frozen=True)
class DrawnMask:
    """A mask that is drawn when it is needed, in the pixels of the picture as its file stores them.

    Annotations count stored pixels, so the mask is turned as the picture is by its EXIF orientation.
    """

    picture: PictureFile
    size: tuple[int, int]
    description: str = field(repr=False)
    draw: Callable[[int, int], Mask] = field(repr=False)

    @property
    def origin(self) -> str:
        """Whose annotation it is."""
        return f"annotation of {self.picture.origin}"

    @property
    def signature(self) -> bytes:
        """Changes whenever picture or annotation may have changed."""
        return self.picture.signature + hashlib.sha256(f"{self.size}{self.description}".encode()).digest()

    @contextmanager
    def open(self) -> Iterator[Image.Image]:
        """Yield the mask, 255 where the object is.

        Raises:
            DataError: the annotation is of a picture of another size.
        """
        with self.picture.open() as image:
            found, orientation = image.size, image.getexif().get(_ORIENTATION, 1)
        if found != self.size:
            raise DataError(
                f"is of a picture of {self.size[0]}x{self.size[1]}, but the picture is {found[0]}x{found[1]}"
            )
        width, height = self.size
        mask = Image.fromarray(np.where(self.draw(width, height), np.uint8(255), np.uint8(0)))
        mask.getexif()[_ORIENTATION] = orientation
        yield mask


def boxes_mask(boxes: list[Box]) -> Callable[[int, int], Mask]:
    """Return what draws the union of boxes: a pixel belongs to one if its centre does."""

    def draw(width: int, height: int) -> Mask:
        mask = np.zeros((height, width), dtype=bool)
        for left, top, right, bottom in boxes:
            rows = slice(max(0, _first_centre(top)), max(0, _first_centre(bottom)))
            columns = slice(max(0, _first_centre(left)), max(0, _first_centre(right)))
            mask[rows, columns] = True
        return mask

    return draw


def _first_centre(edge: float) -> int:
    """Return the first pixel whose centre (its index and a half) does not lie before `edge`."""
    return int(np.ceil(edge - 0.5))


def polygons_mask(polygons: list[list[float]]) -> Callable[[int, int], Mask]:
    """Return what draws the union of polygons, each x, y, x, y, … in pixels, as Pillow fills them."""

    def draw(width: int, height: int) -> Mask:
        image = Image.new("1", (width, height))
        for polygon in polygons:
            ImageDraw.Draw(image).polygon(polygon, fill=1)
        return np.asarray(image)

    return draw


def runs_mask(counts: list[int]) -> Callable[[int, int], Mask]:
    """Return what draws COCO's run lengths: column by column, how many pixels are outside, inside, outside, and so on.

    Raises:
        DataError: (by what draws) the runs do not fill the picture.
    """

    def draw(width: int, height: int) -> Mask:
        if sum(counts) != width * height or min(counts, default=0) < 0:
            raise DataError(f"holds run lengths of {sum(counts)} pixels in all, expected {width * height}")
        values = np.arange(len(counts)) % 2 == 1
        return np.repeat(values, counts).reshape(width, height).T

    return draw


def unpacked_runs(text: str) -> list[int]:
    """Return the run lengths in COCO's compressed text.

    Each count is written in groups of 5 bits from the lowest, one sign a group (code 48 and up), a sixth bit where more
    follow and the sign in the fifth of the last; from the fourth count on it is the difference to the one before last.
    Source: the format of the COCO API (Lin et al., ECCV 2014), written anew from its description.

    >>> unpacked_runs("01")
    [0, 1]

    Raises:
        DataError: the text is no such thing.
    """
    counts: list[int] = []
    value = shift = 0
    for sign in text:
        group = ord(sign) - 48
        if not 0 <= group < 64:
            raise DataError(f"holds run lengths with the sign {sign!r}")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        value -= (1 << shift) if group & 16 else 0
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    if shift:
        raise DataError("holds run lengths that are cut off")
    return counts


def union(drawers: list[Callable[[int, int], Mask]]) -> Callable[[int, int], Mask]:
    """Return what draws the union of several masks."""

    def draw(width: int, height: int) -> Mask:
        mask = np.zeros((height, width), dtype=bool)
        for drawer in drawers:
            mask |= drawer(width, height)
        return mask

    return draw
