"""From a proposed perturbation to what can be delivered: bounded, clipped to [0, 1] and rounded to 8 bit.

What is judged is exactly what an 8-bit PNG can hold, so a judged perturbation is one that somebody can send. Beside it
stands what the network would say of the same perturbation in floating point, bounded and clipped but not rounded.
Levels are the integers of the 8-bit grid: a perturbation of 10 levels is 10/255.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from attacks.threat import Threat
from wolfhound.checks import check_pixels
from wolfhound.errors import DataError, EvidenceError

RESAMPLING = "bilinear (antialiased where it shrinks), then projected on the threat and rounded to 8 bit"
"""How a perturbation of another size is brought to the size of the images."""

_ROUND_OFF = 1e-6
_BISECTIONS = 16
_SAME = 1e-3
"""Levels by which a whole level may be missed by round-off in float32 and still be that level."""


def check_size(delta: Tensor, threat: Threat, *, name: str = "perturbation") -> None:
    """Raise unless every perturbation of `delta` `[...,3,H,W]` is finite and at most epsilon in size.

    Raises:
        EvidenceError: a NaN or infinity, or a size above epsilon by more than round-off.
    """
    if not bool(torch.isfinite(delta).all()):
        raise EvidenceError(f"expected a finite {name}, got NaN or infinity (do the network's gradients overflow?)")
    largest = float(threat.size(delta).max())
    if largest > threat.epsilon * (1 + _ROUND_OFF) + 1e-9:
        raise EvidenceError(
            f"expected a {name} of at most {threat.norm} {threat.epsilon_text}, got {largest:.6g} (project it first)"
        )


def quantised_levels(delta: Tensor, threat: Threat) -> Tensor:
    """Return `delta` `[...,3,H,W]` projected on the threat and rounded to 8-bit levels, int16, never above epsilon.

    linf: rounded to the nearest level, at most floor(255 epsilon). L2: rounded to the nearest level; where rounding
    carries the perturbation over epsilon, it is shrunk first, as little as a bisection of 16 steps finds. Patch:
    rounded to the nearest level.

    Raises:
        EvidenceError: not finite, or larger than epsilon after all (a broken projection).
    """
    bounded = threat.project(delta.detach().float())
    check_size(bounded, threat, name="projected perturbation")
    exact = bounded * 255
    if threat.norm == "linf":
        most = math.floor(255 * threat.epsilon * (1 + _ROUND_OFF))
        levels = exact.round().clamp(-most, most)
    elif threat.norm == "patch":
        levels = exact.round()
    else:
        levels = _rounded_within_l2(exact, threat)
    check_size(levels / 255, threat, name="rounded perturbation")
    return levels.to(torch.int16)


def _rounded_within_l2(exact: Tensor, threat: Threat) -> Tensor:
    best = exact.trunc()
    low = torch.zeros(exact.shape[:-3], dtype=exact.dtype, device=exact.device)
    high, scale = torch.ones_like(low), torch.ones_like(low)
    for _ in range(_BISECTIONS):
        candidate = (exact * scale[..., None, None, None]).round()
        fits = threat.size(candidate / 255) <= threat.epsilon
        better = fits & (threat.size(candidate) >= threat.size(best))
        best = torch.where(better[..., None, None, None], candidate, best)
        low, high = torch.where(fits, scale, low), torch.where(fits, high, scale)
        scale = (low + high) / 2
    return best


def quantise(delta: Tensor, threat: Threat) -> Tensor:
    """Return `delta` `[...,3,H,W]` as it can be delivered: float32 multiples of 1/255 within the threat.

    Raises:
        EvidenceError: not finite.
    """
    return quantised_levels(delta, threat).float().div_(255)


def resample(delta: Tensor, size: tuple[int, int]) -> Tensor:
    """Return `delta` `[3,h,w]` at (height, width) `size` by the rule that `RESAMPLING` states (without its projection).

    Bilinear weights are convex, so the linf size never grows; the L2 size does when the image gets larger.
    """
    if tuple(delta.shape[-2:]) == tuple(size):
        return delta
    resized = functional.interpolate(
        delta[None].float(), size=size, mode="bilinear", align_corners=False, antialias=True
    )
    return resized[0]


def nearest_levels(pixels: Tensor) -> Tensor:
    """Return `pixels` `[B,3,H,W]`, floating in [0, 1] and on the 8-bit grid, as whole levels 0 to 255, float32.

    Raises:
        DataError: some value is no multiple of 1/255, so the image cannot be an 8-bit one.
        ValueError: a value outside [0, 1].
    """
    check_pixels(pixels)
    levels = pixels.detach().float() * 255
    nearest = levels.round()
    if max(abs(float(end)) for end in torch.aminmax(levels.sub_(nearest))) > 1e-2:
        raise DataError("expected images on the 8-bit grid (multiples of 1/255); round them before they are attacked")
    return nearest


def eight_bit(pixels: Tensor) -> Tensor:
    """Return `pixels` `[B,3,H,W]`, floating in [0, 1] and on the 8-bit grid, as uint8.

    Raises:
        As `nearest_levels` does.
    """
    return nearest_levels(pixels).to(torch.uint8)


def deliver(pixels: Tensor, delta: Tensor, threat: Threat | None) -> Tensor:
    """Return the delivered images, uint8 `[B,3,H,W]`: `pixels` plus `delta`, bounded, clipped and rounded.

    `pixels` `[B,3,H,W]` lie on the 8-bit grid; `delta` is `[3,H,W]` for all or `[B,3,H,W]`. `threat` None bounds the
    perturbation by [0, 1] alone. The size is checked before and after rounding and clipping.

    Raises:
        DataError: pixels off the 8-bit grid.
        EvidenceError: the perturbation is not finite.
    """
    originals = eight_bit(pixels)
    if threat is None:
        if not bool(torch.isfinite(delta).all()):
            raise EvidenceError("expected a finite perturbation, got NaN or infinity")
        return ((pixels.detach().float() + delta.detach().float()).clamp(0, 1) * 255).round().to(torch.uint8)
    delivered = add_levels(originals, quantised_levels(delta, threat))
    check_size((delivered.to(torch.int16) - originals) / 255, threat, name="delivered perturbation")
    return delivered


def unrounded(pixels: Tensor, delta: Tensor, threat: Threat | None) -> Tensor:
    """Return the images as they would be delivered in floating point, `[B,3,H,W]` in [0, 1] in the dtype of `pixels`.

    As `deliver`, bounded and clipped, but not rounded. The size is checked before clipping, which only shrinks it.

    Raises:
        EvidenceError: the perturbation is not finite, or larger than epsilon after all (a broken projection).
    """
    moved = delta.detach().to(pixels)
    if threat is not None:
        moved = threat.project(moved)
        check_size(moved, threat, name="projected perturbation")
    elif not bool(torch.isfinite(moved).all()):
        raise EvidenceError("expected a finite perturbation, got NaN or infinity")
    return (pixels.detach() + moved).clamp_(0, 1)


def changed_by_rounding(exact: Tensor, delivered: Tensor) -> Tensor:
    """Return which images differ between floating point `[B,3,H,W]` in [0, 1] and 8 bit (uint8), bool `[B]`."""
    apart = exact * 255 - delivered.to(exact)
    return (apart.abs() > _SAME).flatten(start_dim=1).any(dim=1)


def add_levels(images: Tensor, levels: Tensor) -> Tensor:
    """Return uint8 `images` plus int16 `levels`, clipped to 0..255, as uint8."""
    return images.to(torch.int16).add_(levels).clamp_(0, 255).to(torch.uint8)


def as_pixels(images: Tensor) -> Tensor:
    """Return uint8 `images` as float32 pixels in [0, 1]: the very numbers that reading the PNG back would give."""
    return images.float().div_(255)
