"""Object-free backgrounds made from the pictures themselves, where the user has no folder of them."""

import hashlib
import uuid
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explainers.bias.inpainting import mirrored_from_strip, painted_over
from explainers.composition import dilated
from wolfhound.errors import DataError
from wolfhound.images import ImageSet, PixelFile
from wolfhound.progress import Progress, silent

Making = Literal["inpainted", "mirrored"]
LARGEST_OBJECT = 0.6
"""Of a picture that its object covers to more than this, too little is left to paint it over from."""

METHOD = {
    "mirrored": "the largest strip beside each object's box, mirrored over the whole picture (strips below an eighth "
    "of the picture are not used); no outline of the object is left, nor the layout of the scene",
    "inpainted": "each object, with two pixels around it, painted over smoothly from its surroundings (pull-push; not "
    f"where the object covers more than {100 * LARGEST_OBJECT:g} %); its outline stays visible as a blur",
}


def own_plates(
    images: ImageSet, folder: Path, *, making: Making, batch_size: int = 64, progress: Progress = silent
) -> ImageSet:
    """Return a background of every picture that has one to give, as a set under `folder`.

    `groups` are the pictures' groups, labels theirs, and `origins` their content hashes, so that a probe never puts a
    picture on its own background.

    Raises:
        DataError: no masks or groups, or no picture has a background to give.
    """
    if images.masks is None or images.groups is None:
        raise DataError(f"{images.name}: expected object masks and groups to make backgrounds from")
    made: list[NDArray[np.uint8]] = []
    kept: list[int] = []
    with progress(f"backgrounds of {images.name}", len(images)) as advance:
        for positions, pixels in images.batches(batch_size):
            plates, usable = _made(pixels, images.load_masks(positions), making)
            chosen = usable.nonzero().flatten().tolist()
            made += list((plates[chosen] * 255).round().byte().numpy())
            kept += [int(positions[i]) for i in chosen]
            advance(len(positions))
    if not kept:
        raise DataError(f"{images.name}: no picture shows enough background (give a folder of object-free pictures)")
    stacked, groups = np.stack(made), images.groups
    return ImageSet(
        name=f"{images.name}/backgrounds, {making}",
        pixels=_stored(stacked, folder),
        rows=np.arange(len(kept), dtype=np.int64),
        labels=images.labels[kept],
        class_names=images.class_names,
        hashes=tuple(hashlib.sha256(plate.tobytes()).hexdigest() for plate in stacked),
        groups=tuple(groups[i] for i in kept),
        origins=tuple(images.hashes[i] for i in kept),
    )


def _made(pixels: Tensor, masks: Tensor, making: Making) -> tuple[Tensor, Tensor]:
    """Return the plates `[B,3,H,W]` and which of them are usable, bool `[B]`."""
    if making == "mirrored":
        return mirrored_from_strip(pixels, boxes_of(masks))
    return painted_over(pixels, dilated(dilated(masks))), masks.mean(dim=(1, 2, 3)) <= LARGEST_OBJECT


def boxes_of(masks: Tensor) -> Tensor:
    """Return the smallest box around each object: top, left, bottom, right (exclusive), int64 `[B,4]`.

    An empty mask has the box (0, 0, 0, 0).
    """
    found = []
    for mask in masks[:, 0] > 0:
        rows, columns = (mask.any(dim=dim).nonzero().flatten().tolist() for dim in (1, 0))
        found.append([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1] if rows else [0, 0, 0, 0])
    return torch.tensor(found, dtype=torch.int64).view(-1, 4)


def _stored(stacked: NDArray[np.uint8], folder: Path) -> PixelFile:
    """Keep the plates under a name that is their content: equal ones are one file, however many audits make them."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(stacked.tobytes()).hexdigest()[:24]}.bin"
    if not path.exists() or path.stat().st_size != stacked.nbytes:
        partial = path.with_suffix(f".{uuid.uuid4().hex}")
        stacked.tofile(partial)
        partial.replace(path)
    return PixelFile(path, stacked.shape)
