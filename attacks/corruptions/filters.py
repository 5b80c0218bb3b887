"""Blurs, zooms and fractals that several corruptions share. Images are float32 `[B,3,H,W]` in [0, 1]."""

import math

import torch
from torch import Tensor
from torch.nn import functional

_NEGLIGIBLE = 1e-7


def gaussian_blur(pixels: Tensor, sigma: float, *, truncate: float = 4.0) -> Tensor:
    """Return `pixels` `[B,C,H,W]` blurred by a Gaussian of `sigma` pixels, cut off at `truncate` sigmas.

    The border is continued by its outermost pixels. A sigma so small that no neighbour has a weight changes nothing.
    """
    reach = int(truncate * sigma + 0.5)
    if not reach:
        return pixels
    steps = torch.arange(-reach, reach + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (steps / sigma) ** 2)
    line = (weights / weights.sum()).to(pixels.dtype)
    rows = functional.pad(pixels.flatten(0, 1).unsqueeze(1), (reach,) * 4, mode="replicate")
    blurred = functional.conv2d(functional.conv2d(rows, line.view(1, 1, 1, -1)), line.view(1, 1, -1, 1))
    return blurred.view(pixels.shape)


def disk_kernel(radius: float, alias_sigma: float) -> Tensor:
    """Return a disk of `radius` pixels whose rim is softened by a Gaussian of `alias_sigma`, `[K,K]` with sum 1.

    The softening Gaussian has 3x3 weights up to a radius of 8 and 5x5 beyond, as published for the defocus blur.
    """
    reach = 1 if radius <= 8 else 2
    side = math.floor(radius) + reach
    along = torch.arange(-side, side + 1, dtype=torch.float32)
    disk = (along[:, None] ** 2 + along[None, :] ** 2 <= radius**2).float()
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, dtype=torch.float32) / alias_sigma) ** 2)
    taps = taps / taps.sum()
    softened = functional.conv2d((disk / disk.sum())[None, None], torch.outer(taps, taps)[None, None], padding=reach)
    return softened[0, 0]


def filtered(pixels: Tensor, kernel: Tensor) -> Tensor:
    """Return every channel of `pixels` `[B,C,H,W]` correlated with `kernel` `[K,K]`; the border is mirrored."""
    reach = kernel.shape[-1] // 2
    padded = functional.pad(pixels, (reach,) * 4, mode="reflect").flatten(0, 1).unsqueeze(1)
    return functional.conv2d(padded, kernel[None, None].to(pixels.dtype)).view(pixels.shape)


def motion_blur(image: Tensor, *, radius: float, sigma: float, degrees: float) -> Tensor:
    """Return one image `[C,H,W]` smeared to one side along `degrees` (0 is along a row, 90 down a column).

    The weights are half a Gaussian of `sigma` over 2 radius + 1 steps of one pixel, at whole-pixel offsets, as
    ImageMagick's MotionBlurImage has it. The border is continued by its outermost pixels.
    """
    steps = torch.arange(2 * math.ceil(radius) + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (steps / sigma) ** 2)
    weights = weights[weights >= _NEGLIGIBLE]
    weights = weights / weights.sum()
    angle, reach = math.radians(degrees), len(weights)
    height, width = image.shape[-2:]
    padded = functional.pad(image[None], (reach,) * 4, mode="replicate")[0]
    total = torch.zeros_like(image)
    for step, weight in enumerate(weights.tolist()):
        top = reach + math.ceil(step * math.sin(angle) - 0.5)
        left = reach + math.ceil(step * math.cos(angle) - 0.5)
        total.add_(padded[..., top : top + height, left : left + width], alpha=weight)
    return total


def clipped_zoom(pixels: Tensor, factor: float) -> Tensor:
    """Return the middle of `pixels` `[B,C,H,W]` enlarged (bilinear) by `factor` of at least 1, cut to the same size."""
    height, width = pixels.shape[-2:]
    high, wide = math.ceil(height / factor), math.ceil(width / factor)
    top, left = (height - high) // 2, (width - wide) // 2
    middle = pixels[..., top : top + high, left : left + wide]
    size = (round(high * factor), round(wide * factor))
    zoomed = functional.interpolate(middle, size=size, mode="bilinear", align_corners=True)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return zoomed[..., top : top + height, left : left + width]


def plasma(size: tuple[int, int], *, decay: float, draw: torch.Generator) -> Tensor:
    """Return a cloud-like field `[H,W]` with values from 0 to 1: the diamond-square algorithm on a torus.

    Every level of it halves the spacing of the points and divides the size of the random displacement by the square of
    `decay`, as the published fog does (its displacement is a uniform number times its own bound): a small decay leaves
    fine grain. (Fournier, Fussell & Carpenter, 1982; every new point starts from the mean of its four neighbours.)
    """
    side = 2 ** math.ceil(math.log2(max(*size, 2)))
    field = torch.zeros(side, side)
    step, wobble = side, 1.0
    while step >= 2:
        half = step // 2
        corners = field[::step, ::step]
        field[half::step, half::step] = _displaced(_four(corners, corners.roll(-1, 0)), wobble, draw)
        centres = field[half::step, half::step]
        field[::step, half::step] = _displaced((_pair(corners, 1) + centres + centres.roll(1, 0)) / 4, wobble, draw)
        field[half::step, ::step] = _displaced(
            (corners + corners.roll(-1, 0) + centres + centres.roll(1, 1)) / 4, wobble, draw
        )
        step, wobble = half, wobble / decay**2
    field = field - field.min()
    return (field / field.max())[: size[0], : size[1]]


def _pair(corners: Tensor, dim: int) -> Tensor:
    return corners + corners.roll(-1, dim)


def _four(upper: Tensor, lower: Tensor) -> Tensor:
    return (_pair(upper, 1) + _pair(lower, 1)) / 4


def _displaced(mean: Tensor, wobble: float, draw: torch.Generator) -> Tensor:
    return mean + wobble * (2 * torch.rand(mean.shape, generator=draw) - 1)
