"""What becomes of an image under each condition of the background probe, composed a batch at a time."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from explainers.bias.inpainting import painted_over
from explainers.bias.verdict import ProbeSettings
from explainers.composition import compose, dilated, eroded


@dataclass(frozen=True, eq=False)
class Parts:
    """What the composites of B images are made of, float in [0, 1].

    Attributes:
        images, same, other, partners: the images, plates of their own and of another kind of background, and images of
            another class, `[B,3,H,W]`.
        masks, partner_masks: the objects, `[B,1,H,W]`.
        hashes: content of the images; noise is seeded by them.
    """

    images: Tensor
    masks: Tensor
    same: Tensor
    other: Tensor
    partners: Tensor
    partner_masks: Tensor
    hashes: tuple[str, ...]


Composite = Callable[[Parts], Tensor]
STRONGEST, BISECTIONS = 64.0, 30
"""Deviation of the strongest noise, which leaves next to no pixel between 0 and 1, and steps down to 6e-8."""


def composites(settings: ProbeSettings, *, seed: int) -> dict[str, Composite]:
    """Return condition -> composite, in the order of the ledger's columns."""
    found: dict[str, Composite] = {
        "own": lambda parts: parts.images,
        "same": lambda parts: compose(parts.images, parts.masks, parts.same),
        "other": lambda parts: compose(parts.images, parts.masks, parts.other),
        "wider": lambda parts: compose(parts.images, dilated(parts.masks), parts.same),
        "narrower": lambda parts: compose(parts.images, eroded(parts.masks), parts.same),
    }
    for dose in settings.doses:
        found[f"dose_{dose:g}"] = _blend(dose)
    found["object"] = lambda parts: compose(parts.partners, parts.partner_masks, parts.same)
    found["none"] = lambda parts: compose(parts.images, parts.masks, torch.full_like(parts.images, 0.5))
    found["removed"] = lambda parts: painted_over(parts.images, dilated(parts.masks))
    found["noise_object"] = _noise(settings.noise, seed=seed, on_object=True)
    found["noise_background"] = _noise(settings.noise, seed=seed, on_object=False)
    return found


def _blend(dose: float) -> Composite:
    def composite(parts: Parts) -> Tensor:
        return compose(parts.images, parts.masks, (1 - dose) * parts.images + dose * parts.other)

    return composite


def _noise(strength: float, *, seed: int, on_object: bool) -> Composite:
    """Return Gaussian noise on the object or around it, of the same L2 norm an image after clipping to [0, 1].

    Where so much does not fit in one of the two places (a small object), both take the most that fits in either.
    """

    def composite(parts: Parts) -> Tensor:
        drawn = gaussian_noise(parts.hashes, parts.images[0].numel(), seed=seed).view_as(parts.images)
        places = (parts.masks, 1 - parts.masks)
        fits = [norms(_noisy(parts.images, drawn * where, STRONGEST) - parts.images) for where in places]
        wanted = torch.minimum(*fits).clamp(max=strength)
        return with_noise(parts.images, drawn * places[0 if on_object else 1], wanted)

    return composite


def with_noise(images: Tensor, noise: Tensor, wanted: Tensor) -> Tensor:
    """Return images `[B,3,H,W]` with noise whose `norms` after clipping to [0, 1] are `wanted` `[B]`.

    Its strength is found by bisection. Where even the strongest noise that fits in [0, 1] is smaller, that is used.
    """
    low, high = torch.zeros_like(wanted), torch.full_like(wanted, STRONGEST)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        reached = norms(_noisy(images, noise, middle) - images)
        low, high = torch.where(reached < wanted, middle, low), torch.where(reached < wanted, high, middle)
    return _noisy(images, noise, low)


def _noisy(images: Tensor, noise: Tensor, scale: Tensor | float) -> Tensor:
    factor = scale.view(-1, 1, 1, 1) if isinstance(scale, Tensor) else scale
    return (images + noise * factor).clamp(0, 1)


def norms(difference: Tensor) -> Tensor:
    """Return the L2 norm of each image's difference, divided by that of an image of ones: a root mean square, `[B]`."""
    found: Tensor = torch.linalg.vector_norm(difference.flatten(1), dim=1) / difference[0].numel() ** 0.5
    return found


def gaussian_noise(hashes: tuple[str, ...], count: int, *, seed: int) -> Tensor:
    """Return standard normal noise `[B,count]`, a function of each image's content and the seed, not of its batch."""
    drawn = []
    for content in hashes:
        digest = hashlib.sha256(f"{seed}|{content}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        drawn.append(torch.randn(count, generator=generator))
    return torch.stack(drawn)
