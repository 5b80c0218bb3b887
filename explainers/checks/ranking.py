"""Order the pixels of an image by a map: grown to the image, equal values in an order that chance decides."""

import torch
from torch import Tensor
from torch.nn import functional


def grow(maps: Tensor, *, size: tuple[int, int]) -> Tensor:
    """Return raw maps `[B,h,w]` as float64 `[B,H,W]` on the CPU, enlarged bilinearly (align_corners False)."""
    grown = maps.detach().double().cpu()
    if tuple(grown.shape[-2:]) == size:
        return grown
    return functional.interpolate(grown[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def ranks(maps: Tensor, *, size: tuple[int, int], seed: int) -> Tensor:
    """Return the rank of every pixel, int64 `[B,H,W]`: 0 for the largest value of its map, H W - 1 for the smallest.

    Equal values stand in a random order of the image's own, drawn from the seed: a raster order would remove the top of
    the picture first, and flatter or blame a map that says nothing (or knows segments only).
    """
    grown = grow(maps, size=size).flatten(1)
    found = torch.empty_like(grown, dtype=torch.int64)
    for image, values in enumerate(grown):
        shuffled = torch.randperm(len(values), generator=torch.Generator().manual_seed((seed * 7919 + image) % 2**63))
        order = shuffled[torch.argsort(values[shuffled], descending=True, stable=True)]
        found[image, order] = torch.arange(len(values))
    return found.view(len(maps), *size)


def constant(maps: Tensor) -> Tensor:
    """Return for each map whether it has one value only, and so no order: bool `[B]`, on the CPU."""
    flat = maps.detach().flatten(1).cpu()
    return flat.amax(dim=1) == flat.amin(dim=1)
