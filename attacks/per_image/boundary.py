"""From a perturbation that reaches its goal to the smallest multiple of it that does so as an 8-bit image."""

import torch
from torch import Tensor

from attacks.per_image.task import ImageTask

DOUBLINGS = 10
"""How often a perturbation that rounding has undone is doubled before it counts as lost.

In an image of 224x224 near its boundary the least perturbation is so faint that eight times of it may round to nothing.
"""


def nearest_delivered(
    task: ImageTask, delta: Tensor, *, confidence: float, doublings: int, halvings: int
) -> tuple[Tensor, Tensor]:
    """Return the smallest multiple of each perturbation that reaches the goal when rounded, and which of them do.

    `delta` (levels, `[B,3,H,W]`) is taken whole first, then doubled up to `doublings` times until what can be delivered
    of it reaches the goal; the interval between the last multiple that failed (or 0) and that one is halved `halvings`
    times.

    Rounding takes away every change of less than half a level, in a large image most of them. A rounded multiple is the
    best of its length all the same, as far as the network is linear: over whole n, round(s w) minimises
    ||n||^2 - 2 s <w, n>.

    Returns:
        whole levels, `[B,3,H,W]`, zero where none held; held, bool `[B]`.
    """
    found = torch.zeros_like(delta)
    low = torch.zeros(len(task), dtype=delta.dtype, device=delta.device)
    high, scale = torch.full_like(low, torch.inf), torch.ones_like(low)
    left = torch.full_like(task.rows, halvings)
    active = torch.ones_like(task.rows, dtype=torch.bool)
    while bool(active.any()):
        part, at = task.only(active), scale[active]
        tried = part.deliverable(delta[active] * at[:, None, None, None])
        holding = part.holds(tried, confidence)
        found[torch.nonzero(active)[:, 0][holding]] = tried[holding]
        left[active] -= torch.isfinite(high[active]).long()
        high[active] = torch.where(holding, at, high[active])
        low[active] = torch.where(holding, low[active], at)
        bracketed = torch.isfinite(high)
        scale = torch.where(bracketed, (low + high) / 2, 2 * scale)
        active &= torch.where(bracketed, left > 0, scale <= 2**doublings)
    return found, torch.isfinite(high)
