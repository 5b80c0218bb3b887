"""Noise: gaussian, shot and impulse. Each image has a generator of its own, so batches change nothing."""

from collections.abc import Sequence

import torch
from torch import Tensor

Draws = Sequence[torch.Generator]
Parameters = tuple[float, ...]


def gaussian_noise(pixels: Tensor, parameters: Parameters, draws: Draws) -> Tensor:
    """Return `pixels` plus normal noise; (standard deviation,) on the pixel scale. Bad light."""
    (deviation,) = parameters
    noise = torch.stack([torch.randn(pixels.shape[1:], generator=draw) for draw in draws])
    return pixels + deviation * noise


def shot_noise(pixels: Tensor, parameters: Parameters, draws: Draws) -> Tensor:
    """Return `pixels` as if few photons had been counted; (photons at full white,). Poisson."""
    (photons,) = parameters
    counts = [torch.poisson(image * photons, generator=draw) for image, draw in zip(pixels, draws, strict=True)]
    return torch.stack(counts) / photons


def impulse_noise(pixels: Tensor, parameters: Parameters, draws: Draws) -> Tensor:
    """Return `pixels` with a share of all values (channel by channel) set to 0 or 1 by a fair coin; (share,)."""
    (share,) = parameters
    chance = torch.stack([torch.rand(pixels.shape[1:], generator=draw) for draw in draws])
    return torch.where(chance < share / 2, 0.0, torch.where(chance < share, 1.0, pixels))
