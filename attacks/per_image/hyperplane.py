"""The smallest step within the pixel cube that reaches a hyperplane, in linf or L2, batched."""

import torch
from torch import Tensor

from attacks.threat import Norm

_MOST_STEPS = 100


def steps_to_hyperplane(at: Tensor, normal: Tensor, gap: Tensor, norm: Norm) -> Tensor:
    """Return the smallest d `[B,N]` with <normal, d> = gap and 0 <= at + d <= 1.

    Where the cube does not reach so far, every pixel goes to its end of the cube. Otherwise every pixel moves towards
    the hyperplane until its own room ends: under linf all by one length t, under L2 by t times the absolute value of
    the normal (the conditions of Karush, Kuhn and Tucker; Croce & Hein, "Minimally distorted adversarial examples with
    a fast adaptive boundary attack", ICML 2020, section 2.2, sort the pixels instead). What they cover together rises
    in t, is piecewise linear and concave, so that Newton's method from 0 never overshoots and ends on the right piece
    after a few steps; that takes linear time and no sorting.

    `at` and `normal` `[B,N]`, `at` in [0, 1]; `gap` `[B]` of either sign.
    """
    towards = normal * gap.sign()[:, None]
    length = towards.abs()
    room = torch.where(towards > 0, 1 - at, at)
    limit = room if norm == "linf" else room / length.clamp_min(torch.finfo(at.dtype).tiny)
    limit = torch.where(length > 0, limit, torch.zeros_like(limit))
    slope = length if norm == "linf" else length.square()
    scale = _solve(slope, limit, gap.abs())
    moved = torch.minimum(scale[:, None], limit)
    return towards.sign() * (moved if norm == "linf" else torch.minimum(moved * length, room))


def _solve(slope: Tensor, limit: Tensor, wanted: Tensor) -> Tensor:
    """Return the t `[B]` at which the sum of slope * min(t, limit) is `wanted`; beyond all limits where none is."""
    scale = torch.zeros_like(wanted)
    going = torch.ones_like(wanted, dtype=torch.bool)
    tolerance = 4 * torch.finfo(wanted.dtype).eps * wanted
    for _ in range(_MOST_STEPS):
        short = wanted - (slope * torch.minimum(scale[:, None], limit)).sum(dim=1)
        rate = (slope * (limit > scale[:, None])).sum(dim=1)
        going = going & (short > tolerance) & (rate > 0)
        if not bool(going.any()):
            break
        scale = torch.where(going, scale + short / rate.clamp_min(torch.finfo(rate.dtype).tiny), scale)
    return scale
