"""Draw a heat map over its image, as a uint8 RGB array, in colours that colour-blind readers can tell apart."""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

SAFE_COLOURS = ("viridis", "cividis", "inferno", "magma", "plasma")
"""Colour maps of monotone lightness, readable in grey and with the common forms of colour blindness."""

SIGNED_COLOURS = ("PuOr_r", "BrBG_r", "RdBu_r")
"""Colour maps for signed values: pale at 0, ever darker to both sides, in two hues that colour-blind readers tell apart
(ColorBrewer 2.0, Harrower & Brewer 2003)."""


@lru_cache(maxsize=len(SAFE_COLOURS) + len(SIGNED_COLOURS))
def colour_table(name: str) -> NDArray[np.float32]:
    """Return the 256 RGB colours `[256,3]` in [0, 1] of a colour-blind-safe map.

    Raises:
        ValueError: another map; its ups and downs of lightness would show structure that is not in the numbers.
    """
    known = (*SAFE_COLOURS, *SIGNED_COLOURS)
    if name not in known:
        raise ValueError(f"expected a colour map out of {', '.join(known)}, got {name!r}")
    import matplotlib  # here, because importing it reads the user's configuration

    table = matplotlib.colormaps[name](np.linspace(0, 1, 256))
    return np.asarray(table, dtype=np.float32)[:, :3]


def picture(pixels: Tensor, *, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Return one image `[3,H,W]` in [0, 1] as uint8 `[H,W,3]`, enlarged by repeating pixels: nothing is invented."""
    return _to_bytes(_enlarged_pixels(_one_image(pixels), size))


def heat_picture(heat: Tensor, *, size: tuple[int, int] | None = None, colours: str = "inferno") -> NDArray[np.uint8]:
    """Return one map `[H,W]` in [0, 1] in colour, as uint8 `[H,W,3]`, enlarged bilinearly."""
    return _to_bytes(_coloured(_enlarged_heat(_one_map(heat), size), colours))


def overlay(
    pixels: Tensor,
    heat: Tensor,
    *,
    size: tuple[int, int] | None = None,
    colours: str = "inferno",
    strength: float = 0.55,
) -> NDArray[np.uint8]:
    """Return the map laid over its image, as uint8 RGB `[H,W,3]`.

    The image is turned to `1 - strength` of its light and the map's colour fills the rest, so cold places darken and
    hot ones glow while the drawing stays visible everywhere.

    Args:
        pixels: one image `[3,H,W]`, floating, [0, 1].
        heat: one map `[H,W]`, floating, [0, 1] (`Maps.normalised[i]`); resampled to the image bilinearly if smaller.
        size: height and width of the result; None keeps the image's. Images enlarge by nearest, maps bilinearly.
        colours: one of `SAFE_COLOURS`.
        strength: share of the map in the mixture, [0, 1].

    Raises:
        ValueError: shapes, ranges, a colour map or a strength outside what is stated here.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"expected strength in [0, 1], got {strength:g}")
    image = _enlarged_pixels(_one_image(pixels), size)
    colour = _coloured(_enlarged_heat(_one_map(heat), (image.shape[-2], image.shape[-1])), colours)
    return _to_bytes((1 - strength) * image + strength * colour)


def fade(
    pixels: Tensor,
    heat: Tensor,
    *,
    size: tuple[int, int] | None = None,
    colours: str = "inferno",
    strength: float = 0.8,
) -> NDArray[np.uint8]:
    """Return the image in grey where its map is cold, and under the map's colour where it is hot, as uint8 `[H,W,3]`.

    The colour's opacity is `strength` times the square root of the map, and the grey is lightened by a quarter, so that
    the photograph can be read everywhere and a hot place is seen at once, also in print. Arguments as for `overlay`.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"expected strength in [0, 1], got {strength:g}")
    image = _enlarged_pixels(_one_image(pixels), size)
    warmth = _enlarged_heat(_one_map(heat), (image.shape[-2], image.shape[-1]))
    grey = 0.25 + 0.75 * torch.einsum("c,chw->hw", image.new_tensor(_LUMA), image)
    opacity = strength * warmth.sqrt()
    return _to_bytes((1 - opacity) * grey + opacity * _coloured(warmth, colours))


_LUMA = (0.2126, 0.7152, 0.0722)
"""Shares of red, green and blue in lightness (ITU-R BT.709)."""


def signed_picture(
    values: Tensor, *, limit: float, size: tuple[int, int] | None = None, colours: str = "PuOr_r"
) -> NDArray[np.uint8]:
    """Return signed values `[H,W]` in colour, uint8 `[H,W,3]`: pale at 0, one hue up to `limit`, another to -limit.

    Enlarged bilinearly. What lies beyond the limit has its end's colour.

    Raises:
        ValueError: a limit that is not above 0, values that are not finite, or colours that are not `SIGNED_COLOURS`.
    """
    if colours not in SIGNED_COLOURS:
        raise ValueError(f"expected signed colours out of {', '.join(SIGNED_COLOURS)}, got {colours!r}")
    if not limit > 0 or not bool(torch.isfinite(values).all()) or values.ndim != 2:
        raise ValueError(f"expected finite values [H, W] and a limit above 0, got {list(values.shape)} and {limit:g}")
    places = _enlarged_heat(values.detach().float().cpu(), size).div(limit).clamp(-1, 1)
    return _to_bytes(_coloured(0.5 + places / 2, colours))


def _one_image(pixels: Tensor) -> Tensor:
    if pixels.ndim != 3 or pixels.shape[0] != 3:
        raise ValueError(f"expected one image of shape [3, H, W], got {list(pixels.shape)}")
    return _checked(pixels, "pixels")


def _one_map(heat: Tensor) -> Tensor:
    if heat.ndim != 2:
        raise ValueError(f"expected one map of shape [H, W], got {list(heat.shape)}")
    return _checked(heat, "the map")


def _checked(values: Tensor, name: str) -> Tensor:
    values = values.detach().float().cpu()
    low, high = (float(value) for value in torch.aminmax(values))
    if not (low >= 0 and high <= 1 + 1e-6):
        raise ValueError(f"expected {name} within [0, 1], got values from {low:g} to {high:g}")
    return values.clamp(0, 1)


def _enlarged_pixels(pixels: Tensor, size: tuple[int, int] | None) -> Tensor:
    if size is None or tuple(pixels.shape[-2:]) == size:
        return pixels
    return functional.interpolate(pixels[None], size=size, mode="nearest")[0]


def _enlarged_heat(heat: Tensor, size: tuple[int, int] | None) -> Tensor:
    if size is None or tuple(heat.shape) == size:
        return heat
    return functional.interpolate(heat[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]


def _coloured(heat: Tensor, colours: str) -> Tensor:
    """Return the colours `[3,H,W]` of a map `[H,W]`."""
    steps = (heat * 255).round().long()
    return torch.from_numpy(colour_table(colours))[steps].permute(2, 0, 1)


def _to_bytes(image: Tensor) -> NDArray[np.uint8]:
    return (image * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
