"""Digital faults: contrast, elastic deformation, pixelation and JPEG compression."""

import io
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from attacks.corruptions.noise import Draws, Parameters


def contrast(pixels: Tensor, parameters: Parameters, draws: Draws) -> Tensor:
    """Return `pixels` drawn towards the mean of each image's channel; (share of the contrast kept,). Draws nothing."""
    del draws
    (kept,) = parameters
    means = pixels.mean(dim=(2, 3), keepdim=True)
    return (pixels - means) * kept + means


def elastic_transform(pixels: Tensor, parameters: Parameters, draws: Draws) -> Tensor:
    """Return `pixels` sheared by a drawn affine map and then displaced by a smooth drawn field.

    (size of the displacement, sigma of its smoothing, jitter of the affine map's three points), all as shares of the
    shorter side. Simard, Steinkraus & Platt (2003), as Hendrycks & Dietterich (2019) use it.
    """
    side = min(pixels.shape[-2:])
    alpha, sigma, jitter = (side * share for share in parameters)
    grids = [_grids(pixels.shape[-2:], alpha, sigma, jitter, draw) for draw in draws]
    affine, smooth = (torch.stack(group) for group in zip(*grids, strict=True))
    sheared = functional.grid_sample(pixels, affine, padding_mode="reflection", align_corners=True)
    return functional.grid_sample(sheared, smooth, padding_mode="reflection", align_corners=False)


def _grids(size: torch.Size, alpha: float, sigma: float, jitter: float, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return where each pixel comes from, twice `[H,W,2]` on `grid_sample`'s scale: the affine map, then the field."""
    height, width = size
    shift = (2 * torch.rand(3, 2, generator=draw) - 1) * jitter
    noise = 2 * torch.rand(2, height, width, generator=draw) - 1
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([columns, rows], dim=-1).float()
    affine = _inverse_affine(places, shift)
    field = np.stack([ndimage.gaussian_filter(part, sigma, mode="reflect", truncate=3) for part in noise.numpy()])
    moved = places + alpha * torch.from_numpy(field).permute(1, 2, 0)
    extent = torch.tensor([width, height])
    return affine / (extent - 1) * 2 - 1, (moved * 2 + 1) / extent - 1


def _inverse_affine(places: Tensor, shift: Tensor) -> Tensor:
    """Return where the affine map that moves three points round the centre by `shift` takes each of `places` from."""
    height, width = places.shape[:2]
    centre = torch.tensor([width // 2, height // 2]).float()
    arm = min(height, width) // 3
    corners = centre + arm * torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    ones = torch.ones(3, 1)
    back = torch.linalg.solve(torch.cat([corners + shift, ones], dim=1), corners)
    origins: Tensor = places @ back[:2] + back[2]
    return origins


def pixelate(pixels: Tensor, parameters: Parameters, draws: Draws) -> Tensor:
    """Return `pixels` reduced to a share of its sides by box averages and enlarged again; (share,). Draws nothing."""
    del draws
    (share,) = parameters

    def coarsened(image: Image.Image) -> Image.Image:
        small = (int(image.width * share), int(image.height * share))
        return image.resize(small, Image.Resampling.BOX).resize(image.size, Image.Resampling.BOX)

    return _each(pixels, coarsened)


def jpeg_compression(pixels: Tensor, parameters: Parameters, draws: Draws) -> Tensor:
    """Return `pixels` after JPEG of a quality from 1 to 95, (quality,). Draws nothing."""
    del draws
    quality = int(parameters[0])

    def compressed(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB")

    return _each(pixels, compressed)


def _each(pixels: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    levels = (pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    changed: list[NDArray[np.uint8]] = [np.asarray(change(Image.fromarray(image))) for image in levels]
    return torch.from_numpy(np.stack(changed)).permute(0, 3, 1, 2).float() / 255
