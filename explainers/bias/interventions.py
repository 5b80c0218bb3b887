"""Named changes of a whole image, for data without masks, and the placebo that each is held against.

Every intervention maps pixels `[B,3,H,W]` in [0, 1] to the same, image by image: what becomes of an image depends on
nothing but the image (and, where it is drawn, its seed). The placebo is smooth grey noise of the same L2 norm as the
intervention has on that very image, so that what is left over is what is changed, not how much. It is grey, with a mean
of 0, because coloured noise would itself be the most usual nuisance, a change of tint.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional

from explainers.bias.composites import gaussian_noise, norms, with_noise
from wolfhound.errors import ModelError, PlanError

Change = Callable[[Tensor, tuple[str, ...]], Tensor]
"""From pixels `[B,3,H,W]` and the images' content hashes to changed pixels."""

CELLS = 8
"""The placebo's noise has so many cells a side: as coarse as a shadow."""


@dataclass(frozen=True)
class Tint:
    """Every pixel moves toward one colour: (1 - strength) x + strength colour."""

    red: float = 1.0
    green: float = 0.7
    blue: float = 0.4
    strength: float = 0.3

    def __call__(self, pixels: Tensor, hashes: tuple[str, ...]) -> Tensor:
        del hashes
        colour = torch.tensor([self.red, self.green, self.blue]).to(pixels).view(1, 3, 1, 1)
        return (1 - self.strength) * pixels + self.strength * colour


@dataclass(frozen=True)
class Blur:
    """A Gaussian blur; `sigma` is a share of the shorter side."""

    sigma: float = 0.015

    def __call__(self, pixels: Tensor, hashes: tuple[str, ...]) -> Tensor:
        del hashes
        deviation = self.sigma * min(pixels.shape[-2:])
        radius = max(1, min(round(3 * deviation), min(pixels.shape[-2:]) - 1))
        place = torch.arange(-radius, radius + 1).to(pixels)
        kernel = torch.exp(-(place**2) / (2 * deviation**2))
        kernel = (kernel / kernel.sum()).expand(3, 1, -1)
        padded = functional.pad(pixels, (radius,) * 4, mode="reflect")
        down = functional.conv2d(padded, kernel[..., None], groups=3)
        return torch.conv2d(down, kernel[:, :, None], groups=3).clamp(0, 1)


@dataclass(frozen=True)
class BorderRing:
    """The outermost pixels become grey; `width` is a share of the shorter side."""

    width: float = 0.06
    grey: float = 0.5

    def __call__(self, pixels: Tensor, hashes: tuple[str, ...]) -> Tensor:
        del hashes
        ring = max(1, round(self.width * min(pixels.shape[-2:])))
        changed = torch.full_like(pixels, self.grey)
        changed[..., ring:-ring, ring:-ring] = pixels[..., ring:-ring, ring:-ring]
        return changed


@dataclass(frozen=True)
class LowPass:
    """Only spatial frequencies up to `cutoff` of the highest one are left (a sharp disc in the Fourier plane)."""

    cutoff: float = 0.25

    def __call__(self, pixels: Tensor, hashes: tuple[str, ...]) -> Tensor:
        del hashes
        height, width = pixels.shape[-2:]
        down, across = torch.fft.fftfreq(height, d=0.5), torch.fft.rfftfreq(width, d=0.5)
        kept = (down[:, None] ** 2 + across[None] ** 2 <= self.cutoff**2).to(pixels.device)
        filtered: Tensor = torch.fft.irfft2(torch.fft.rfft2(pixels.float()) * kept, s=(height, width))
        return filtered.to(pixels).clamp(0, 1)


@dataclass(frozen=True)
class TileShuffle:
    """The image is cut into `tiles` x `tiles` pieces that change places, in an order of each image's own.

    Colours and textures stay, shapes and layout go. Pixels that no whole tile covers stay where they are.
    """

    tiles: int = 4

    def __call__(self, pixels: Tensor, hashes: tuple[str, ...]) -> Tensor:
        height, width = pixels.shape[-2] // self.tiles, pixels.shape[-1] // self.tiles
        changed = pixels.clone()
        for index, noise in enumerate(gaussian_noise(hashes, self.tiles**2, seed=17)):
            for place, taken in enumerate(noise.argsort().tolist()):
                (top, left), (row, column) = divmod(place, self.tiles), divmod(taken, self.tiles)
                changed[index, :, top * height : (top + 1) * height, left * width : (left + 1) * width] = pixels[
                    index, :, row * height : (row + 1) * height, column * width : (column + 1) * width
                ]
        return changed


INTERVENTIONS: Mapping[str, type[Tint | Blur | BorderRing | LowPass | TileShuffle]] = {
    "tint": Tint,
    "blur": Blur,
    "border_ring": BorderRing,
    "low_pass": LowPass,
    "tile_shuffle": TileShuffle,
}


def named_intervention(name: str, options: Mapping[str, float]) -> Change:
    """Return the intervention of that name with those settings.

    Raises:
        PlanError: an unknown name, an unknown setting, or one outside (0, 1] (tiles: a whole number of at least 2).
    """
    if name not in INTERVENTIONS:
        raise PlanError(
            f"expected an intervention among {', '.join(INTERVENTIONS)} (or file.py:function), got {name!r}"
        )
    made = INTERVENTIONS[name]
    known = {part.name for part in fields(made)}
    unknown = sorted(set(options) - known)
    if unknown:
        raise PlanError(f"expected settings of {name} among {', '.join(sorted(known))}, got {', '.join(unknown)}")
    for key, value in options.items():
        if key == "tiles":
            if int(value) != value or value < 2:
                raise PlanError(f"expected a whole number of tiles of at least 2, got {value}")
        elif not 0 <= value <= 1 or (value == 0 and key in ("sigma", "width", "strength", "cutoff")):
            raise PlanError(f"expected {key} of {name} in (0, 1], got {value}")
    return made(**{key: int(value) if key == "tiles" else value for key, value in options.items()})  # type: ignore[arg-type]


def user_intervention(function: Callable[[Tensor], Tensor], *, name: str) -> Change:
    """Return a user's function of pixels `[B,3,H,W]` in [0, 1] as an intervention, checked at every call.

    Raises (when called):
        ModelError: it fails, returns anything but pixels of the same shape in [0, 1], or answers otherwise when asked
            again: a change that is drawn anew each time cannot be repeated.
    """

    def change(pixels: Tensor, hashes: tuple[str, ...]) -> Tensor:
        del hashes
        try:
            changed, again = function(pixels.clone()), function(pixels.clone())
        except Exception as error:  # a user's code may raise anything
            raise ModelError(f"{name} fails: {type(error).__name__}: {error}") from error
        if not isinstance(changed, Tensor) or changed.shape != pixels.shape or not changed.is_floating_point():
            found = list(changed.shape) if isinstance(changed, Tensor) else type(changed).__name__
            raise ModelError(f"expected {name} to return pixels of shape {list(pixels.shape)}, got {found}")
        if not torch.isfinite(changed).all() or changed.min() < 0 or changed.max() > 1:
            raise ModelError(f"expected {name} to return values in [0, 1] (clamp them), got others")
        if not torch.equal(changed, again):
            raise ModelError(f"{name} changes the same pixels in two ways (draw from a seeded generator)")
        return changed.to(pixels)

    return change


def placebo(pixels: Tensor, changed: Tensor, hashes: Sequence[str], *, seed: int) -> Tensor:
    """Return pixels with smooth grey noise of the L2 norm that the intervention has on each image, after clipping.

    Gaussian noise of 8 x 8 cells, equal in all colours, grown bilinearly, its mean removed. Where even the strongest
    noise that fits in [0, 1] is smaller, that is used; the norms of the ledger show it.
    """
    drawn = gaussian_noise(tuple(hashes), CELLS**2, seed=seed).view(-1, 1, CELLS, CELLS)
    noise = functional.interpolate(drawn, size=pixels.shape[-2:], mode="bilinear", align_corners=False).to(pixels)
    noise = noise - noise.mean(dim=(2, 3), keepdim=True)
    return with_noise(pixels, noise, norms(changed - pixels))
