"""Blur: defocus, frosted glass, motion and zoom."""

import numpy as np
import torch
from torch import Tensor

from attacks.corruptions.filters import clipped_zoom, disk_kernel, filtered, gaussian_blur
from attacks.corruptions.filters import motion_blur as smear
from attacks.corruptions.noise import Draws, Parameters


def defocus_blur(pixels: Tensor, parameters: Parameters, draws: Draws) -> Tensor:
    """Return `pixels` out of focus; (radius of the disk, softness of its rim) in pixels. Draws nothing."""
    del draws
    radius, softness = parameters
    return filtered(pixels, disk_kernel(radius, softness))


def glass_blur(pixels: Tensor, parameters: Parameters, draws: Draws) -> Tensor:
    """Return `pixels` seen through frosted glass: blurred, locally shuffled, blurred; (sigma, reach, rounds).

    Pixel after pixel is replaced by one drawn at offsets from -reach to reach - 1. The published code is written as an
    exchange of two pixels, but as numpy hands out views it copies the one over the other; the published data sets, and
    so their severities, are those of the copy, and so is this.
    """
    sigma, reach, rounds = parameters[0], int(parameters[1]), int(parameters[2])
    blurred = gaussian_blur(pixels, sigma)
    height, width = pixels.shape[-2:]
    shuffled = []
    for image, draw in zip(blurred, draws, strict=True):
        sources = list(range(height * width))
        for _ in range(rounds):
            _shuffle(sources, height, width, reach, draw)
        shuffled.append(image.flatten(1)[:, torch.tensor(sources)].view_as(image))
    return gaussian_blur(torch.stack(shuffled), sigma)


def _shuffle(sources: list[int], height: int, width: int, reach: int, draw: torch.Generator) -> None:
    """Replace every inner one of `sources` (rows of `width`), from the last to the first, by a near one."""
    rows = torch.arange(height - reach, reach, -1)
    columns = torch.arange(width - reach, reach, -1)
    here = (rows[:, None] * width + columns[None, :]).flatten()
    down, right = torch.randint(-reach, reach, (2, len(here)), generator=draw)
    for place, other in zip(here.tolist(), (here + down * width + right).tolist(), strict=True):
        sources[place] = sources[other]


def motion_blur(pixels: Tensor, parameters: Parameters, draws: Draws) -> Tensor:
    """Return `pixels` smeared along a direction drawn within 45 degrees of the row; (radius, sigma) in pixels."""
    radius, sigma = parameters
    angles = [90 * float(torch.rand((), generator=draw)) - 45 for draw in draws]
    smeared = [smear(x, radius=radius, sigma=sigma, degrees=angle) for x, angle in zip(pixels, angles, strict=True)]
    return torch.stack(smeared)


def zoom_blur(pixels: Tensor, parameters: Parameters, draws: Draws) -> Tensor:
    """Return the mean of `pixels` and its enlargements from 1 up to a factor; (end, step). Draws nothing."""
    del draws
    end, step = parameters
    factors = np.arange(1, end, step)  # as published: round-off decides whether `end` itself belongs to it
    total = pixels.clone()
    for factor in factors:
        total += clipped_zoom(pixels, float(factor))
    return total / (len(factors) + 1)
