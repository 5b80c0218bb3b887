"""From the bytes of a picture to RGB pixels and masks, one rule for each kind of file; nothing is guessed.

Grey, palette, CMYK and YCbCr become RGB as Pillow converts them (without colour profiles, as every training pipeline
does). Transparency is laid on white. 16-bit grey is scaled to 8 bit. Refused: 32-bit and floating pixels, whose scale
nobody knows, and files of several frames, of which one would have to be guessed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from wolfhound.errors import DataError
from wolfhound.sources.fit import Fit
from wolfhound.sources.listing import Picture

MOST_PIXELS = 120_000_000


class PixelBudget:
    """Lets threads decode side by side as long as their pictures together have at most `limit` pixels."""

    def __init__(self, limit: int) -> None:
        self._limit, self._taken, self._changed = limit, 0, Condition()

    @contextmanager
    def take(self, pixels: int) -> Iterator[None]:
        """Wait until `pixels` more fit; a picture above the whole limit waits until it is alone."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken == 0 or self._taken + pixels <= self._limit)
            self._taken += pixels
        try:
            yield
        finally:
            with self._changed:
                self._taken -= pixels
                self._changed.notify_all()


def decode(
    picture: Picture, mask: Picture | None, *, fit: Fit, size: tuple[int, int], budget: PixelBudget
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Return the picture as RGB uint8 `[3,H,W]` and its mask as uint8 `[H,W]` (255 object, 0 elsewhere), or None.

    Raises:
        DataError: the file cannot be read, is no picture, or is of a refused kind; the mask does not fit the picture.
    """
    with _opened(picture) as image, budget.take(image.width * image.height):
        upright = _turned(image, fit)
        found = upright.size
        fitted = fit.apply(_as_rgb(upright), size)
    pixels = np.ascontiguousarray(np.asarray(fitted).transpose(2, 0, 1))
    return pixels, None if mask is None else _decode_mask(mask, found, fit=fit, size=size, budget=budget)


@contextmanager
def _opened(picture: Picture) -> Iterator[Image.Image]:
    try:
        with picture.open() as image:
            if image.width * image.height > MOST_PIXELS:
                raise DataError(
                    f"{image.width}x{image.height} pixels are too many (at most {MOST_PIXELS:,}); shrink it"
                )
            frames = getattr(image, "n_frames", 1)
            # An MPO is a camera's JPEG with further views behind the picture.
            if frames > 1 and image.format != "MPO":
                raise DataError(f"holds {frames} frames (save the one that is meant as a picture of its own)")
            yield image
    except DataError:
        raise
    except Exception as error:  # decoders of foreign bytes raise nearly anything, SyntaxError included
        raise DataError(f"cannot be decoded ({type(error).__name__}: {error})") from error


def _turned(image: Image.Image, fit: Fit) -> Image.Image:
    image.load()
    if fit.upright:
        ImageOps.exif_transpose(image, in_place=True)
    return image


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        wide = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((wide + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise DataError(f"has 32-bit pixels of unknown scale (mode {image.mode}); save it with 8 bits a channel")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _decode_mask(
    mask: Picture, found: tuple[int, int], *, fit: Fit, size: tuple[int, int], budget: PixelBudget
) -> NDArray[np.uint8]:
    """Return the mask after the picture's own geometry: a pixel is object where at least half of what it shows is."""
    try:
        with _opened(mask) as image, budget.take(image.width * image.height):
            values = np.asarray(_grey(_turned(image, fit)))
    except DataError as error:
        raise DataError(f"its mask {mask.origin}: {error}") from error
    if values.shape != (found[1], found[0]):
        raise DataError(
            f"its mask {mask.origin} is {values.shape[1]}x{values.shape[0]}, but the picture is {found[0]}x{found[1]}"
        )
    present = np.unique(values)
    if len(present) > 2 or (len(present) == 2 and present[0] != 0) or not present.any():
        raise DataError(
            f"its mask {mask.origin}: expected 0 and one other value, got {len(present)} value(s) from {present[0]} "
            f"to {present[-1]} (make it two-valued: 0 background, 255 object)"
        )
    whole = Image.fromarray(np.where(values > 0, np.uint8(255), np.uint8(0)))
    fitted = np.asarray(fit.apply(whole, size))
    return np.where(fitted >= 128, np.uint8(255), np.uint8(0))


def _grey(image: Image.Image) -> Image.Image:
    """Return a mask in one channel. A palette's index is the value; its colours mean nothing."""
    if image.mode in ("L", "P") or image.mode.startswith("I"):
        return image
    return image.convert("L")
