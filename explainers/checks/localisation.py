"""Does a map lie on the object? Pointing game, energy in the mask and overlap, for images that come with masks.

That says where a map lies, not what the classifier uses: a classifier that reads the background should fail these.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from explainers.checks.ranking import grow, ranks

Values = NDArray[np.float64]

OVERLAP_THRESHOLD = 0.5
"""A place belongs to a map's region from this share of the map's largest value on."""


@dataclass(frozen=True, eq=False)
class Localisation:
    """Where the maps of B images lie.

    Attributes:
        hits: whether each map's highest pixel lies on the object (Zhang et al. 2018, section 4.2), bool `[B]`.
        energy: share of each map's positive values that lies on the object, `[B]`; 0 for a map without any.
        overlap: intersection over union of the object and the map's region, `[B]`; 0 for a map without positive values.
        area: share of each image that its object covers, `[B]`: what a flat map's energy would be.
        empty: maps without a positive value.
        settings: tolerance and threshold in words.
    """

    hits: NDArray[np.bool_] = field(repr=False)
    energy: Values = field(repr=False)
    overlap: Values = field(repr=False)
    area: Values = field(repr=False)
    empty: int
    settings: str


def localisation(
    maps: Tensor, masks: Tensor, *, tolerance: int = 0, threshold: float = OVERLAP_THRESHOLD, seed: int
) -> Localisation:
    """Return where raw maps `[B,h,w]`, grown bilinearly, lie relative to the objects.

    Args:
        masks: objects `[B,1,H,W]` in [0, 1]; from 0.5 on a pixel is object.
        tolerance: pixels by which the highest pixel may miss the object (squares; the paper: 15 of about 224).
        threshold: share of a map's largest value from which a pixel belongs to its region, in (0, 1].
        seed: decides between equally high pixels, so that a flat map hits as often as chance.

    Raises:
        ValueError: masks that do not fit the maps, an image without object, a negative tolerance, another threshold.
    """
    objects = _objects(maps, masks)
    if tolerance < 0 or not 0 < threshold <= 1:
        raise ValueError(f"expected a tolerance of at least 0 and a threshold in (0, 1], got {tolerance}, {threshold}")
    size = (objects.shape[-2], objects.shape[-1])
    positive = grow(maps, size=size).clamp(min=0)
    highest = positive.amax(dim=(1, 2), keepdim=True)
    region = (positive >= threshold * highest) & (highest > 0)
    union = (region | objects).sum(dim=(1, 2))
    inside = (positive * objects).sum(dim=(1, 2))
    return Localisation(
        hits=_hits(maps, objects, tolerance=tolerance, seed=seed),
        energy=(inside / positive.sum(dim=(1, 2)).clamp(min=1e-300)).numpy(),
        overlap=((region & objects).sum(dim=(1, 2)) / union).double().numpy(),
        area=objects.double().mean(dim=(1, 2)).numpy(),
        empty=int((highest == 0).sum()),
        settings=f"pointing tolerance {tolerance} pixels, region from {threshold:g} of the largest value on",
    )


def _objects(maps: Tensor, masks: Tensor) -> Tensor:
    if maps.ndim != 3 or masks.ndim != 4 or masks.shape[1] != 1 or len(maps) != len(masks):
        raise ValueError(f"expected maps [B, h, w] and masks [B, 1, H, W], got {list(maps.shape)}, {list(masks.shape)}")
    objects = masks.detach().cpu()[:, 0] >= 0.5
    bare = (~objects.flatten(1).any(dim=1)).nonzero().flatten().tolist()
    if bare:
        raise ValueError(f"expected an object in every mask, got none in image(s) {bare[:10]}")
    return objects


def _hits(maps: Tensor, objects: Tensor, *, tolerance: int, seed: int) -> NDArray[np.bool_]:
    """The highest value of the signed map decides: also a map of negative values has a place that it prefers."""
    size = (objects.shape[-2], objects.shape[-1])
    top = ranks(maps, size=size, seed=seed) == 0
    side = 2 * tolerance + 1
    near = functional.max_pool2d(objects[:, None].double(), side, stride=1, padding=tolerance)[:, 0] > 0
    found: NDArray[np.bool_] = (top & near).flatten(1).any(dim=1).numpy()
    return found
