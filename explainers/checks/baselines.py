"""Maps that know nothing of the network: what every faithfulness score has to be held against.

The scores favour blurry maps and maps in the middle, where photographers put things; so a score alone says little.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

CENTRE_WIDTH = 1 / 4
"""Deviation of the centre prior, as a share of each side."""

BLUR_WIDTH = 1 / 14
"""Deviation of the blur of the random maps, as a share of the shorter side: half a place of a 7 x 7 map."""


def random_maps(count: int, *, size: tuple[int, int], seed: int) -> Tensor:
    """Return uniform noise in [0, 1), `[count,H,W]` float64. Map i depends on the seed and i alone, not on `count`."""
    drawn = [torch.rand(size, generator=_generator(seed, image), dtype=torch.float64) for image in range(count)]
    return torch.stack(drawn) if drawn else torch.zeros(0, *size, dtype=torch.float64)


def centre_prior(count: int, *, size: tuple[int, int], seed: int = 0) -> Tensor:  # noqa: ARG001
    """Return the same Gaussian around the image's centre `count` times, `[count,H,W]` float64, 1 at its peak.

    Its deviation is `CENTRE_WIDTH` of each side. The seed plays no part.
    """
    rows, columns = (_bell(side) for side in size)
    return (rows[:, None] * columns).expand(count, *size).clone()


def blurred_random(count: int, *, size: tuple[int, int], seed: int) -> Tensor:
    """Return uniform noise blurred by a Gaussian of `BLUR_WIDTH` of the shorter side, `[count,H,W]` float64.

    Drawn on a larger field, of which the middle is kept: mirrored or empty borders would make the noise livelier or
    calmer along the image's edges, and its highest place would tend to lie there or never.
    """
    deviation = BLUR_WIDTH * min(size)
    margin = max(1, round(3 * deviation))
    wide = random_maps(count, size=(size[0] + 2 * margin, size[1] + 2 * margin), seed=seed)
    return gaussian_blur(wide[:, None], deviation=deviation)[:, 0, margin:-margin, margin:-margin].contiguous()


BASELINES: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {"random": random_maps, "centre prior": centre_prior, "blurred random": blurred_random}
)
"""The baselines by the names under which they stand beside every score."""


def gaussian_blur(images: Tensor, *, deviation: float) -> Tensor:
    """Return images `[B,C,H,W]` convolved with a Gaussian of that deviation in pixels, cut at 3 deviations.

    Borders are mirrored (without repeating the border pixel) as far as the image reaches.

    Raises:
        ValueError: a deviation that is not above 0.
    """
    if not deviation > 0:
        raise ValueError(f"expected a deviation above 0 pixels, got {deviation:g}")
    for dimension in (2, 3):
        # A mirror shows at most the whole image once.
        reach = min(max(1, round(3 * deviation)), images.shape[dimension] - 1)
        steps = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
        weights = torch.exp(-0.5 * (steps / deviation).square())
        kernel = (weights / weights.sum()).view(1, 1, *((-1, 1) if dimension == 2 else (1, -1)))
        padding = (0, 0, reach, reach) if dimension == 2 else (reach, reach, 0, 0)
        padded = functional.pad(images, padding, mode="reflect")
        images = functional.conv2d(padded.flatten(0, 1)[:, None], kernel).view(images.shape)
    return images


def _bell(side: int) -> Tensor:
    places = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    return torch.exp(-0.5 * (places / (CENTRE_WIDTH * side)).square())


def _generator(seed: int, image: int) -> torch.Generator:
    # Neighbouring seeds of torch's generator are unrelated; the product keeps (seed, image) pairs apart.
    return torch.Generator().manual_seed((seed * 1_000_003 + image) % 2**63)
