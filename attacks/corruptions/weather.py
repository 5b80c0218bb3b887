"""Weather: snow, frost, fog and brightness."""

import torch
from torch import Tensor
from torch.nn import functional

from attacks.corruptions.filters import clipped_zoom, motion_blur, plasma
from attacks.corruptions.noise import Draws, Parameters

_LUMA = (0.299, 0.587, 0.114)


def snow(pixels: Tensor, parameters: Parameters, draws: Draws) -> Tensor:
    """Return `pixels` whitened, with flakes that fall both ways.

    (mean and deviation of the flakes' noise, their zoom, threshold, motion radius and sigma, share of the unwhitened
    image). Departure from the published code: the layer of flakes isn't rounded to 8 bit before it is smeared.
    """
    *_, kept = parameters
    grey = (pixels * pixels.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    whitened = kept * pixels + (1 - kept) * torch.maximum(pixels, 1.5 * grey + 0.5)
    flakes = torch.stack([_flakes(pixels.shape[-2:], parameters, draw) for draw in draws])
    return whitened + flakes + flakes.rot90(2, (-2, -1))


def _flakes(size: torch.Size, parameters: Parameters, draw: torch.Generator) -> Tensor:
    mean, deviation, zoom, threshold, radius, sigma, _ = parameters
    noise = clipped_zoom((mean + deviation * torch.randn(1, 1, *size, generator=draw)), zoom)[0]
    noise = torch.where(noise < threshold, 0.0, noise).clamp(0, 1)
    degrees = 90 * float(torch.rand((), generator=draw)) - 135
    return motion_blur(noise, radius=radius, sigma=sigma, degrees=degrees)


_ICE = (0.57, 0.65, 0.70)
_SPREAD = 0.15
_NEEDLES = 1.1
_DIRECTIONS = 6
_THINNEST = 2


def frost(pixels: Tensor, parameters: Parameters, draws: Draws) -> Tensor:
    """Return `pixels` behind drawn ice; (share of the image, share of the ice, contrast of the ice).

    Departure: the published data overlay one of five photographs of frosted panes, reduced to the size of the images.
    Here the ice is generated: pale blue, uneven as a plasma field, with bright needles in six drawn directions. The
    mean colour, its spread from pane to pane and the contrast within a pane (which is smaller in reduced photographs,
    so it goes by the size) are those measured on the photographs: 0.57, 0.65, 0.70; 0.15; 0.059, 0.070 and 0.094 for
    32, 64 and 224 pixels. Accuracies under it are still not those under the published frost.
    """
    share, ice, texture = parameters
    panes = torch.stack([_pane(pixels.shape[-2:], texture, draw) for draw in draws])
    return share * pixels + ice * panes


def _pane(size: torch.Size, contrast: float, draw: torch.Generator) -> Tensor:
    """Return ice `[3,H,W]` near the colour `_ICE`: an uneven cover and needles, of deviation `contrast` together."""
    uneven = _standard(plasma((size[0], size[1]), decay=1.5, draw=draw))
    # Fine grain in every pane; crystals of some size only where the image is large enough to show them.
    thicknesses = sorted({_THINNEST, max(_THINNEST, min(size) // 28)})
    needles = sum((_crossed(size, thickness, draw) for thickness in thicknesses), torch.zeros(size))
    texture = contrast * _standard(uneven + _NEEDLES * _standard(needles))
    brighter = _SPREAD * 3**0.5 * (2 * torch.rand((), generator=draw) - 1)
    return torch.tensor(_ICE).view(3, 1, 1) + brighter + texture


def _crossed(size: torch.Size, thickness: int, draw: torch.Generator) -> Tensor:
    """Return needles `[H,W]` about `thickness` pixels thick and thrice as long, in six drawn directions."""
    angles = (360 * torch.rand(_DIRECTIONS, generator=draw)).tolist()
    return _standard(torch.stack([_needles(size, thickness, angle, draw) for angle in angles]).amax(dim=0))


def _needles(size: torch.Size, thickness: int, degrees: float, draw: torch.Generator) -> Tensor:
    coarse = torch.randn(1, 1, *(-(-side * 2 // (thickness + 1)) for side in size), generator=draw)
    grain = functional.interpolate(coarse, size=tuple(size), mode="bilinear", align_corners=False)[0]
    return _standard(motion_blur(grain, radius=3 * thickness, sigma=2.0 * thickness, degrees=degrees)[0])


def _standard(field: Tensor) -> Tensor:
    return (field - field.mean()) / field.std().clamp_min(1e-6)


def fog(pixels: Tensor, parameters: Parameters, draws: Draws) -> Tensor:
    """Return `pixels` under a plasma cloud, rescaled to the image's own maximum; (thickness, decay of the plasma)."""
    thickness, decay = parameters
    size = (pixels.shape[-2], pixels.shape[-1])
    clouds = torch.stack([plasma(size, decay=decay, draw=draw) for draw in draws])[:, None]
    most = pixels.amax(dim=(1, 2, 3), keepdim=True)
    return (pixels + thickness * clouds) * most / (most + thickness)


def brightness(pixels: Tensor, parameters: Parameters, draws: Draws) -> Tensor:
    """Return `pixels` with the value V of HSV raised, hue and saturation kept; (increase,). Draws nothing.

    Hue and saturation depend on the ratios of the channels alone, so raising V multiplies all three by V'/V; black has
    no saturation and becomes grey.
    """
    del draws
    (increase,) = parameters
    value = pixels.amax(dim=1, keepdim=True)
    raised = (value + increase).clamp(0, 1)
    return torch.where(value > 0, pixels * (raised / value.clamp_min(1e-12)), raised)
