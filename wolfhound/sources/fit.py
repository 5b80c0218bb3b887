"""How a photograph of any size becomes an image of the set's size."""

from dataclasses import dataclass
from typing import Literal

from PIL import Image

from wolfhound.errors import DataError

Method = Literal["squash", "crop"]
Interpolation = Literal["bilinear", "bicubic", "lanczos", "nearest"]

_RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "nearest": Image.Resampling.NEAREST,
}


@dataclass(frozen=True)
class Fit:
    """The geometry of decoding. All resampling is antialiased (Pillow), except "nearest".

    `Fit("crop", shorter_side=256)` at 224x224 gives the pixels of torchvision's reference evaluation on PIL images,
    `Resize(256)` and `CenterCrop(224)`; `Fit("squash")` those of `Resize((224, 224))`.

    Attributes:
        method: "squash" resizes the whole image, whatever its shape; "crop" resizes the shorter side and cuts the
            centre, so that nothing is distorted but the borders are lost.
        shorter_side: for "crop", in pixels; None stands for the longer side of the size times 256/224, the
            proportion of the ImageNet evaluation.
        interpolation: how pixels are resampled.
        upright: turn the image as its EXIF orientation says, as viewers do. torchvision's reference evaluation does
            not; switch it off to repeat published accuracies to the image.
    """

    method: Method = "squash"
    shorter_side: int | None = None
    interpolation: Interpolation = "bilinear"
    upright: bool = True

    def check(self, size: tuple[int, int]) -> None:
        """Raise unless images of `size` (height, width) can be made.

        Raises:
            DataError: an unknown method or interpolation, a size below 1, or a shorter side that leaves less than is
                cut out.
        """
        if self.method not in ("squash", "crop") or self.interpolation not in _RESAMPLING:
            raise DataError(
                f"expected squash or crop, and one of {sorted(_RESAMPLING)}, got {self.method} and {self.interpolation}"
            )
        if min(size) < 1:
            raise DataError(f"expected an image size of at least 1x1, got {size[0]}x{size[1]}")
        if self.method == "squash" and self.shorter_side is not None:
            raise DataError("shorter_side belongs to crop; squash resizes the whole image (leave it out)")
        if self.shorter_side is not None and self.shorter_side < max(size):
            raise DataError(
                f"expected a shorter_side of at least {max(size)} to cut {size[0]}x{size[1]} out of, "
                f"got {self.shorter_side}"
            )

    def apply(self, image: Image.Image, size: tuple[int, int]) -> Image.Image:
        """Return `image` as an image of `size` (height, width), in the same mode."""
        height, width = size
        resampling = _RESAMPLING[self.interpolation]
        if self.method == "squash":
            return image.resize((width, height), resampling)
        resized = image.resize(self._resized(image.size, size), resampling)
        # Python rounds halves to even, and so does the reference; the crop would be a pixel off otherwise.
        left, top = round((resized.width - width) / 2), round((resized.height - height) / 2)
        return resized.crop((left, top, left + width, top + height))

    def _resized(self, found: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
        """Return (width, height) with the shorter side as asked and the longer one cut to a whole pixel."""
        side = self.shorter_side or round(max(size) * 256 / 224)
        width, height = found
        if width <= height:
            return side, int(side * height / width)
        return int(side * width / height), side
