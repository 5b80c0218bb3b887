"""Fill removed pixels from their neighbourhood: noisy linear imputation (Rong et al. 2022, section 4.2)."""

import torch
from torch import Tensor
from torch.nn import functional

from wolfhound.errors import DataError

NOISE = 0.01
"""Deviation of the noise that is added to imputed pixels, on the [0, 1] scale; that of the authors' own code."""

TOLERANCE = 3e-6
"""What an imputed value may still differ from the mean of its neighbours.

On photographs of 224 pixels, half or nine tenths of them removed in one piece, values are then within 0.0005 of those
of a direct solver, an eighth of a grey level of 8 bits.
"""

_MOST_STEPS = 5000


def impute(images: Tensor, removed: Tensor, *, noise: Tensor | None = None) -> Tensor:
    """Return images in which every removed pixel is the weighted mean of its eight neighbours, plus noise.

    Weights are 1/6 for the four direct and 1/12 for the four diagonal neighbours; beyond the border there are none, and
    the others' share grows. All removed pixels of an image together are one linear system. The authors solve it
    directly; here conjugate gradients solve it for the whole batch at once, until no imputed value differs from the
    mean of its neighbours by more than `TOLERANCE`.

    Args:
        images: `[B,3,H,W]` in [0, 1].
        removed: bool `[B,H,W]`.
        noise: what is added to the removed pixels, `[B,3,H,W]`; None adds none. Results are not clipped, as noise is
            meant to hide what was removed.

    Raises:
        DataError: an image of which every pixel was removed; a system that did not converge.
    """
    if bool(removed.flatten(1).all(dim=1).any()):
        raise DataError("expected at least one pixel to impute from, got an image of which all were removed")
    hole = removed[:, None].to(images.device)
    filled = _solve(torch.where(hole, torch.zeros_like(images), images).double(), hole, start=_pulled(images, hole))
    if noise is not None:
        filled = filled + torch.where(hole, noise.to(filled), torch.zeros_like(filled))
    return filled.to(images.dtype)


def _neighbour_sum(values: Tensor) -> Tensor:
    """Return the weighted sum of the eight neighbours; what lies beyond the border counts as 0."""
    channels = values.shape[1]
    kernel = values.new_tensor([[1, 2, 1], [2, 0, 2], [1, 2, 1]]).div(12).expand(channels, 1, 3, 3)
    return functional.conv2d(values, kernel, padding=1, groups=channels)


def _pulled(images: Tensor, hole: Tensor) -> Tensor:
    """Return a start for the solver: holes filled from ever coarser means of what is known around them."""
    known = (~hole).to(torch.float64)
    values, weights = images.double() * known, known
    levels = []
    while min(values.shape[-2:]) > 1:
        levels.append((values, weights))
        padding = (0, values.shape[-1] % 2, 0, values.shape[-2] % 2)
        values, weights = (functional.avg_pool2d(functional.pad(part, padding), 2) for part in (values, weights))
    filled = values / weights.clamp(min=1e-12)
    for finer_values, finer_weights in reversed(levels):
        size = (finer_values.shape[-2], finer_values.shape[-1])
        coarse = functional.interpolate(filled, size=size, mode="bilinear", align_corners=False)
        own = finer_values / finer_weights.clamp(min=1e-12)
        filled = torch.where(finer_weights > 0, own, coarse)
    return filled


def _solve(known: Tensor, hole: Tensor, *, start: Tensor) -> Tensor:
    """Solve (D - W) x = W known on the hole, every channel of every image by itself (Hestenes & Stiefel 1952)."""
    degree = _neighbour_sum(torch.ones_like(known[:, :1]))
    inside = hole.to(known.dtype)

    def apply(values: Tensor) -> Tensor:
        return inside * (degree * values - _neighbour_sum(values))

    solution = inside * start
    residual = inside * _neighbour_sum(known) - apply(solution)
    scaled = residual / degree
    direction, power = scaled, (residual * scaled).sum(dim=(2, 3), keepdim=True)
    for _ in range(_MOST_STEPS):
        if float(scaled.abs().max()) <= TOLERANCE:
            return known + solution
        moved = apply(direction)
        # A channel that is solved has no direction left: its step is 0 and not 0 / 0.
        step = power / (direction * moved).sum(dim=(2, 3), keepdim=True).clamp(min=1e-300)
        solution, residual = solution + step * direction, residual - step * moved
        scaled, before = residual / degree, power
        power = (residual * scaled).sum(dim=(2, 3), keepdim=True)
        direction = scaled + power / before.clamp(min=1e-300) * direction
    raise DataError(f"the imputation did not converge within {_MOST_STEPS} steps (are the pixels finite?)")
