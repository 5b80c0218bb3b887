"""Checks of tensors at the edges of the system: shape, dtype, range and finiteness. They are never switched off."""

import torch
from torch import Tensor


def check_pixel_layout(pixels: Tensor, *, name: str = "pixels") -> None:
    """Raise unless `pixels` is a floating `[B,3,H,W]` tensor. Looks at no value, so it costs nothing on a device.

    Raises:
        TypeError: not a floating tensor.
        ValueError: another shape.
    """
    if not isinstance(pixels, Tensor) or not pixels.is_floating_point():
        found = pixels.dtype if isinstance(pixels, Tensor) else type(pixels).__name__
        raise TypeError(f"expected {name} as a floating tensor in [0, 1], got {found} (divide uint8 pixels by 255)")
    if pixels.ndim != 4 or pixels.shape[1] != 3:
        raise ValueError(f"expected {name} of shape [B, 3, H, W], got {list(pixels.shape)}")


def check_pixels(pixels: Tensor, *, name: str = "pixels") -> None:
    """Raise unless `pixels` is a finite floating `[B,3,H,W]` tensor with every value in [0, 1].

    Raises:
        TypeError: not a floating tensor.
        ValueError: another shape, a NaN or infinity, or a value outside [0, 1].
    """
    check_pixel_layout(pixels, name=name)
    if pixels.numel() == 0:
        raise ValueError(f"expected at least one image in {name}, got shape {list(pixels.shape)}")
    lowest, highest = (float(value) for value in torch.aminmax(pixels.detach()))
    if not (lowest >= 0.0 and highest <= 1.0):
        hint = " (did you forget to divide by 255?)" if highest > 2 else ""
        raise ValueError(f"expected {name} within [0, 1], got values from {lowest:g} to {highest:g}{hint}")


def check_labels(labels: Tensor, *, count: int, classes: int, name: str = "labels") -> None:
    """Raise unless `labels` is an int64 `[count]` tensor with values in [0, classes).

    Raises:
        TypeError: another dtype.
        ValueError: another shape or a label outside the classes.
    """
    if labels.dtype != torch.int64:
        raise TypeError(f"expected {name} of dtype int64, got {labels.dtype}")
    if labels.shape != (count,):
        raise ValueError(f"expected {count} {name}, one an image, got shape {list(labels.shape)}")
    if count and not (int(labels.min()) >= 0 and int(labels.max()) < classes):
        raise ValueError(
            f"expected {name} in [0, {classes}), got values from {int(labels.min())} to {int(labels.max())}"
        )
