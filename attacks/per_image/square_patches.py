"""The patches of the Square attack: where they lie and what is written into them, for each image by its own numbers.

Algorithms 2 (linf) and 3 (L2) of Andriushchenko et al., ECCV 2020, with the L2 budget of a patch as in the authors'
code.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from attacks.threat import Threat

NUMBERS = 8
"""Uniform numbers that a change uses an image: top and left of two windows, the turn, and a sign a channel."""

_TINY = 1e-12


def first_change(clean: Tensor, threat: Threat, sources: Sequence[torch.Generator]) -> Tensor:
    """Return the start of each of `clean` `[b,3,H,W]`, of the full size of `threat`, clipped to [0, 1].

    linf: vertical stripes one pixel wide of plus or minus epsilon, each channel by itself. L2: a grid of tiles, five
    along the shorter side, each with the pattern of `hill_and_valley` under a random sign a channel.
    """
    height, width = clean.shape[-2:]
    if threat.norm == "linf":
        stripes = torch.stack([torch.rand((3, 1, width), generator=source) for source in sources])
        return (clean + threat.epsilon * _signs(stripes).to(clean)).clamp_(0, 1)
    side = max(min(height, width) // 5, 1)
    tiles = (height // side, width // side)
    numbers = torch.stack([torch.rand((*tiles, 4), generator=source) for source in sources]).to(clean)
    pattern = hill_and_valley(side).to(clean)
    turned = torch.where(numbers[..., :1, None] > 0.5, pattern.T, pattern)
    signed = turned[:, :, :, None] * _signs(numbers[..., 1:])[..., None, None]
    delta = torch.zeros_like(clean)
    rows, columns = tiles[0] * side, tiles[1] * side
    top, left = (height - rows) // 2, (width - columns) // 2
    tiled = signed.permute(0, 3, 1, 4, 2, 5).reshape(len(clean), 3, rows, columns)
    delta[:, :, top : top + rows, left : left + columns] = tiled
    return _at_length(clean, delta, threat.epsilon)


def changed(best: Tensor, clean: Tensor, threat: Threat, side: float, numbers: Tensor) -> Tensor:
    """Return `best` `[b,3,H,W]` with one patch of about `side` pixels changed in each, within `threat` of `clean`.

    `numbers` `[b, NUMBERS]` uniform in [0, 1).
    """
    if threat.norm == "linf":
        return _changed_linf(best, clean, threat.epsilon, max(round(side), 1), numbers)
    return _changed_l2(best, clean, threat.epsilon, max(round(side), 3) | 1, numbers)


def _changed_linf(best: Tensor, clean: Tensor, epsilon: float, side: int, numbers: Tensor) -> Tensor:
    """Fill a square with plus or minus epsilon, one sign a channel (algorithm 2)."""
    top, left, side = _window(best, side, numbers[:, :2])
    rows, columns = (torch.arange(size, device=best.device) for size in best.shape[-2:])
    in_rows = (rows >= top[:, None]) & (rows < top[:, None] + side)
    in_columns = (columns >= left[:, None]) & (columns < left[:, None] + side)
    inside = (in_rows[:, :, None] & in_columns[:, None, :])[:, None]
    corner = (clean + epsilon * _signs(numbers[:, 5:])[:, :, None, None]).clamp_(0, 1)
    return torch.where(inside, corner, best)


def _changed_l2(best: Tensor, clean: Tensor, epsilon: float, side: int, numbers: Tensor) -> Tensor:
    """Move the budget of a second window, and what is unused, into a first one with a pattern (algorithm 3)."""
    delta = (best - clean).flatten(2)
    largest = min(best.shape[-2:])
    side = min(side, largest - (largest + 1) % 2)
    first, second = (_pixels(best, side, numbers[:, at : at + 2]) for at in (0, 2))
    squared = delta.square()
    both = torch.zeros_like(squared).scatter_(2, first, 1.0).scatter_(2, second, 1.0)
    unused = (epsilon**2 - squared.sum(dim=(1, 2))).clamp_min(0)[:, None, None] / delta.shape[1]
    budget = (unused + (squared * both).sum(dim=2, keepdim=True)).sqrt()
    pattern = hill_and_valley(side).to(best)
    turned = torch.where(numbers[:, 4, None, None] > 0.5, pattern.T, pattern).flatten(1)
    old = _unit(delta.gather(2, first))
    new = budget * _unit(old + turned[:, None] * _signs(numbers[:, 5:])[:, :, None])
    moved = delta.scatter(2, second, 0.0).scatter_(2, first, new)
    return _at_length(clean, moved.view_as(best), epsilon)


def hill_and_valley(side: int) -> Tensor:
    """Return the L2 pattern `[side,side]` of unit length: a hill on the upper half, a valley on the lower one.

    Each is a stack of centred squares of 1, 3, 5, ... pixels, the k-th of height 1 / k^2 (section 4.3 of the paper).
    """
    upper = side // 2
    parts = [_hill(upper, side), -_hill(side - upper, side)]
    return _unit(torch.cat([part for part in parts if part.numel()]).flatten()).view(side, side)


def _hill(rows: int, columns: int) -> Tensor:
    centre, middle = rows // 2, columns // 2
    away_rows = (torch.arange(rows) - centre).abs()
    away_columns = (torch.arange(columns) - middle).abs()
    distance = torch.maximum(away_rows[:, None], away_columns[None, :])
    layers = max(centre, middle) + 1
    heights = 1 / torch.arange(1, layers + 1, dtype=torch.float32).square()
    covered = heights.flip(0).cumsum(0).flip(0)
    return _unit(covered[distance].flatten()).view(rows, columns) if rows else torch.empty((0, columns))


def _window(images: Tensor, side: int, numbers: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return the top `[b]`, the left `[b]` and the side of a window that lies within the image."""
    height, width = images.shape[-2:]
    side = min(side, height, width)
    return (numbers[:, 0] * (height - side + 1)).long(), (numbers[:, 1] * (width - side + 1)).long(), side


def _pixels(images: Tensor, side: int, numbers: Tensor) -> Tensor:
    """Return the flat places of a window's pixels in every channel, int64 `[b,3,side*side]`."""
    top, left, side = _window(images, side, numbers)
    steps = torch.arange(side, device=images.device)
    rows, columns = top[:, None] + steps, left[:, None] + steps
    flat = (rows[:, :, None] * images.shape[-1] + columns[:, None, :]).flatten(1)
    return flat[:, None].expand(-1, images.shape[1], -1)


def _signs(numbers: Tensor) -> Tensor:
    return torch.where(numbers < 0.5, -1.0, 1.0).to(numbers)


def _unit(vectors: Tensor) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / (lengths + _TINY)


def _at_length(clean: Tensor, delta: Tensor, epsilon: float) -> Tensor:
    lengths: Tensor = torch.linalg.vector_norm(delta.flatten(1), dim=1)[:, None, None, None]
    return (clean + epsilon * delta / (lengths + _TINY)).clamp_(0, 1)
