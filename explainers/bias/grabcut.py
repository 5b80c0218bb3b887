"""Object masks by GrabCut, for images that have none, and how far a result hangs on where exactly the masks end.

Source: Rother, Kolmogorov & Blake 2004 (GrabCut), in OpenCV (extra `grabcut`). A rectangle says where the object is: a
box of the user's, or a centred one where there is none. A mask never comes from a heat map of the audited network: that
would ask the network where to look for its own fault.

GrabCut is an estimate. So a result with such masks is measured again with the masks grown and shrunk, and is worth
something only if it stays.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from explainers.bias.verdict import ExcessFlips
from explainers.composition import grown
from wolfhound.errors import DataError

SMALLEST, LARGEST = 0.02, 0.9
"""Shares of the image between which a mask is believed to be an object."""


@dataclass(frozen=True, eq=False)
class EstimatedMasks:
    """Masks `[N,1,H,W]` in {0, 1}, and which are usable: an object of between 2 % and 90 % of the image, bool `[N]`.

    `source` says in words how they were made; it belongs beside every number that rests on them.
    """

    masks: Tensor = field(repr=False)
    usable: NDArray[np.bool_]
    source: str


@dataclass(frozen=True)
class GrabCut:
    """GrabCut from a rectangle.

    Attributes:
        iterations: of the algorithm.
        margin: share of each side that the centred rectangle leaves out at either end, in (0, 0.5).
        seed: of OpenCV's clustering; set anew for every image, so that a mask depends on its image alone.
    """

    iterations: int = 5
    margin: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.iterations < 1 or not 0 < self.margin < 0.5:
            raise ValueError(
                f"expected at least 1 iteration and a margin in (0, 0.5), got {self.iterations} and {self.margin:g}"
            )

    def masks(self, images: Tensor, boxes: Tensor | None = None) -> EstimatedMasks:
        """Return estimated masks of images `[N,3,H,W]` in [0, 1].

        Args:
            boxes: int64 `[N,4]`: left, top, right, bottom in pixels, the last two exclusive; None: the centred one.

        Raises:
            DataError: OpenCV is not installed, or a box that leaves the image or nothing outside or inside of it.
        """
        height, width = images.shape[-2:]
        chosen = self._centred(len(images), height, width) if boxes is None else boxes
        _check_boxes(chosen, len(images), height, width)
        cv2 = open_cv()
        found = [self._one(cv2, image, box) for image, box in zip(_as_bytes(images), chosen.tolist(), strict=True)]
        masks = torch.from_numpy(np.stack(found)[:, None]).float()
        area = masks.flatten(1).mean(dim=1).numpy()
        what = f"a centred rectangle, margin {self.margin:g}" if boxes is None else "the boxes given"
        source = f"GrabCut (OpenCV {cv2.__version__}, {self.iterations} iterations) from {what}"
        return EstimatedMasks(masks, (area >= SMALLEST) & (area <= LARGEST), source)

    def _centred(self, count: int, height: int, width: int) -> Tensor:
        down, across = max(1, round(self.margin * height)), max(1, round(self.margin * width))
        return torch.tensor([[across, down, width - across, height - down]] * count, dtype=torch.int64)

    def _one(self, cv2: Any, image: NDArray[np.uint8], box: list[int]) -> NDArray[np.uint8]:
        left, top, right, bottom = box
        mask = np.zeros(image.shape[:2], dtype=np.uint8)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.setRNGSeed(self.seed)
        rectangle = (left, top, right - left, bottom - top)
        cv2.grabCut(image, mask, rectangle, *models, self.iterations, cv2.GC_INIT_WITH_RECT)
        return np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)


def open_cv() -> Any:
    """Return OpenCV.

    Raises:
        DataError: it is not installed.
    """
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise DataError(
            "expected OpenCV to estimate masks, but it is not installed (pip install 'wolfhound[grabcut]', or give "
            "masks of your own)"
        ) from error
    return cv2


def _as_bytes(images: Tensor) -> NDArray[np.uint8]:
    """Return images as uint8 BGR `[N,H,W,3]`, as OpenCV takes them."""
    levels = (images.detach().cpu().clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).numpy()[..., ::-1])


def _check_boxes(boxes: Tensor, count: int, height: int, width: int) -> None:
    if boxes.shape != (count, 4) or boxes.dtype != torch.int64:
        raise DataError(f"expected boxes int64 [{count}, 4], got {boxes.dtype} {list(boxes.shape)}")
    left, top, right, bottom = boxes.T
    inside = (left >= 0) & (top >= 0) & (right <= width) & (bottom <= height) & (right > left) & (bottom > top)
    bad = (~(inside & ((right - left < width) | (bottom - top < height)))).nonzero().flatten().tolist()
    if bad:
        raise DataError(
            f"expected boxes (left, top, right, bottom) within {width} x {height} pixels that leave some background, "
            f"got {boxes[bad[0]].tolist()} for image {bad[0]}" + (f" and {len(bad) - 1} more" if len(bad) > 1 else "")
        )


def plates_without_objects(images: Tensor, masks: Tensor, *, margin: int = 6, radius: int = 5) -> Tensor:
    """Return images `[N,3,H,W]` with their objects painted over (Telea 2004, OpenCV): plates to put other objects on.

    The masks are grown by `margin` pixels first, so that no outline of the object stays.

    Raises:
        DataError: OpenCV is not installed.
    """
    cv2 = open_cv()
    holes = (grown(masks, margin) >= 0.5).to(torch.uint8).numpy()[:, 0] * 255
    filled = [
        cv2.inpaint(image, hole, radius, cv2.INPAINT_TELEA)[..., ::-1]
        for image, hole in zip(_as_bytes(images), holes, strict=True)
    ]
    return torch.from_numpy(np.stack(filled).copy()).permute(0, 3, 1, 2).float() / 255


def pair_plates(kinds: Sequence[str], *, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return for each image the position of a plate of its own kind and of one of another kind, never its own.

    Plates of a kind are dealt out in a random order, each as often as the numbers allow.

    Raises:
        DataError: fewer than two kinds, or a kind with fewer than two images.
    """
    names = sorted(set(kinds))
    where = {name: np.flatnonzero(np.array(kinds) == name) for name in names}
    if len(names) < 2 or min(len(positions) for positions in where.values()) < 2:
        sizes = {name: len(positions) for name, positions in where.items()}
        raise DataError(f"expected at least two kinds of backgrounds with two images or more each, got {sizes}")
    rng = np.random.default_rng([seed, 8])
    same, other = np.zeros(len(kinds), dtype=np.int64), np.zeros(len(kinds), dtype=np.int64)
    for name in names:
        ring = rng.permutation(where[name])
        same[ring] = np.roll(ring, 1)  # the next one of the ring, so nobody meets himself
        others = rng.permutation(np.flatnonzero(np.array(kinds) != name))
        other[ring] = np.resize(others, len(ring))
    return same, other


@dataclass(frozen=True, eq=False)
class DilationSensitivity:
    """A result under masks grown and shrunk.

    Attributes:
        table: columns pixels, images, other, placebo (counts of flips), excess, low, high, p_value.
        stays: whether the excess's interval lies on the same side of 0 at every offset, or contains 0 at every one.
        left_out: images whose mask vanished or filled the image at some offset; they are in no row.
    """

    table: pd.DataFrame = field(repr=False)
    stays: bool
    left_out: int


def usual_offsets(masks: Tensor) -> tuple[int, ...]:
    """Return by how many pixels masks are grown and shrunk: up to about 2 % of the shorter side, at least 2 pixels.

    >>> usual_offsets(torch.zeros(1, 1, 224, 224)), usual_offsets(torch.zeros(1, 1, 64, 64))
    ((-4, -2, 0, 2, 4), (-2, -1, 0, 1, 2))
    """
    step = max(1, round(min(masks.shape[-2:]) / 112))
    return (-2 * step, -step, 0, step, 2 * step)


def dilation_sensitivity(
    measure: Callable[[Tensor, NDArray[np.int64]], ExcessFlips], masks: Tensor, *, offsets: Sequence[int] | None = None
) -> DilationSensitivity:
    """Return what `measure` finds under every offset, on the same images.

    Args:
        measure: of masks `[K,1,H,W]` and the positions `[K]` of their images among all.
        masks: `[N,1,H,W]` in {0, 1}.
        offsets: pixels; None takes `usual_offsets`.

    Raises:
        DataError: no image is left.
    """
    offsets = usual_offsets(masks) if offsets is None else offsets
    shifted = {offset: grown(masks, offset) for offset in offsets}
    areas = torch.stack([one.flatten(1).mean(dim=1) for one in shifted.values()])
    kept = torch.nonzero(((areas > 0) & (areas < 1)).all(dim=0)).flatten().numpy()
    if not len(kept):
        raise DataError(f"expected masks that can be shrunk by {-min(offsets)} pixels, got none (take smaller offsets)")
    rows, sides = [], set()
    for offset, changed in shifted.items():
        found = measure(changed[torch.from_numpy(kept)], kept)
        bounds = found.interval
        sides.add((bounds.low > 0) - (bounds.high < 0))
        rows.append(
            {
                "pixels": offset,
                "images": found.other.total,
                "other": found.other.successes,
                "placebo": found.placebo.successes,
                "excess": found.difference,
                "low": bounds.low,
                "high": bounds.high,
                "p_value": found.p_value,
            }
        )
    return DilationSensitivity(pd.DataFrame(rows), len(sides) == 1, len(masks) - len(kept))
