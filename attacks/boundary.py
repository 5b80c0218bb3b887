"""From a perturbation that reaches its goal to the smallest multiple of it that does so as an 8-bit image."""

import torch
from torch import Tensor

from attacks.image_task import ImageTask


def nearest_delivered(
    task: ImageTask, rows: Tensor, delta: Tensor, *, confidence: float, doublings: int, halvings: int
) -> tuple[Tensor, Tensor]:
    """Return the smallest multiple of each perturbation that reaches the goal when rounded, and which of them do.

    `delta` (levels, `[len(rows),3,H,W]`) is taken whole first, then doubled up to `doublings` times until what can be
    delivered of it reaches the goal; the interval between the last multiple that failed (or 0) and that one is halved
    `halvings` times.

    Rounding takes away every change of less than half a level, in a large image most of them. A rounded multiple is the
    best of its length all the same, as far as the network is linear: over whole n, round(s w) minimises
    ||n||^2 - 2 s <w, n>.

    Returns:
        whole levels, `[len(rows),3,H,W]`, zero where none held; held, bool `[len(rows)]`.
    """
    found = torch.zeros_like(delta)
    low = torch.zeros(len(rows), dtype=delta.dtype, device=delta.device)
    high, scale = torch.full_like(low, torch.inf), torch.ones_like(low)
    left = torch.full_like(rows, halvings)
    active = torch.arange(len(rows), device=delta.device)
    while len(active):
        tried = task.deliverable(rows[active], delta[active] * scale[active, None, None, None])
        holding = task.holds(rows[active], tried, confidence)
        found[active[holding]] = tried[holding]
        left[active] -= torch.isfinite(high[active]).long()
        high[active] = torch.where(holding, scale[active], high[active])
        low[active] = torch.where(holding, low[active], scale[active])
        bracketed = torch.isfinite(high)
        scale = torch.where(bracketed, (low + high) / 2, 2 * scale)
        active = active[torch.where(bracketed, left > 0, scale <= 2**doublings)[active]]
    return found, torch.isfinite(high)
