"""Compose an object with another background: x = M f + (1 - M) b, on the fly, a batch at a time."""

from torch import Tensor
from torch.nn import functional


def compose(foregrounds: Tensor, masks: Tensor, backgrounds: Tensor) -> Tensor:
    """Return M f + (1 - M) b, `[B,3,H,W]` in [0, 1].

    Args:
        foregrounds: images with the object, `[B,3,H,W]` in [0, 1].
        masks: 1 on the object, 0 elsewhere, between them on soft edges, `[B,1,H,W]`.
        backgrounds: what replaces everything else, `[B,3,H,W]` in [0, 1].

    Raises:
        ValueError: shapes that do not belong together.
    """
    expected = (len(foregrounds), 1, *foregrounds.shape[2:])
    if foregrounds.shape != backgrounds.shape or tuple(masks.shape) != expected:
        raise ValueError(
            f"expected backgrounds like the images {list(foregrounds.shape)} and masks {list(expected)}, "
            f"got {list(backgrounds.shape)} and {list(masks.shape)}"
        )
    # Written as a mixture and not as b + M (f - b), so that M = 1 gives f to the bit.
    return masks * foregrounds + (1 - masks) * backgrounds


def dilated(masks: Tensor) -> Tensor:
    """Return masks `[B,1,H,W]` grown by one pixel in all eight directions."""
    return functional.max_pool2d(masks, kernel_size=3, stride=1, padding=1)


def eroded(masks: Tensor) -> Tensor:
    """Return masks `[B,1,H,W]` shrunk by one pixel from all eight directions; the image's border does not count."""
    return -functional.max_pool2d(-masks, kernel_size=3, stride=1, padding=1)


def grown(masks: Tensor, pixels: int) -> Tensor:
    """Return masks `[B,1,H,W]` grown by that many pixels on every side; shrunk where it is negative."""
    for _ in range(abs(pixels)):
        masks = dilated(masks) if pixels > 0 else eroded(masks)
    return masks
