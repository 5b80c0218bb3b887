"""An image set: pixels as uint8 in a memory-mapped file, labels, content hashes; masks and groups where they exist."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wolfhound.errors import DataError, fault_list


@dataclass(frozen=True)
class PixelFile:
    """A raw uint8 array on disk, mapped anew for each read, so that reading it all never keeps it all in memory."""

    path: Path
    shape: tuple[int, ...]

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the chosen rows, copied into memory, `[len(rows), *shape[1:]]`."""
        mapped = np.memmap(self.path, dtype=np.uint8, mode="r", shape=self.shape)
        return np.asarray(mapped[rows])


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with labels. Rows point into the pixel file, so a subset costs no pixels.

    Attributes:
        pixels: uint8 RGB on disk, `[M,3,H,W]`.
        rows: which rows of the file belong to this set, in order, `[N]`.
        labels: class of each image, int64 `[N]`, in [0, len(class_names)).
        class_names: the names of the classes that the labels count.
        hashes: content hash (SHA-256 hex of the decoded, resized pixels) of each image.
        masks: uint8 on disk, `[M,H,W]`, 255 where the object is, 0 elsewhere; None where there are none.
        groups: a named group of each image (the background, say); None where there are none.
        origins: where each image came from (a path relative to the set's folder, or a generator's index).
    """

    name: str
    pixels: PixelFile
    rows: NDArray[np.int64] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    class_names: tuple[str, ...] = field(repr=False)
    hashes: tuple[str, ...] = field(repr=False)
    masks: PixelFile | None = None
    groups: tuple[str, ...] | None = field(default=None, repr=False)
    origins: tuple[str, ...] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        lengths = {len(self.rows), len(self.labels), len(self.hashes)}
        lengths |= {len(part) for part in (self.groups, self.origins) if part is not None}
        if len(lengths) != 1:
            raise DataError(f"{self.name}: expected as many labels, hashes and groups as images, got {sorted(lengths)}")
        if len(self.labels) and not (self.labels.min() >= 0 and self.labels.max() < len(self.class_names)):
            raise DataError(
                f"{self.name}: expected labels in [0, {len(self.class_names)}), "
                f"got {self.labels.min()} to {self.labels.max()}"
            )

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of every image."""
        return self.pixels.shape[2], self.pixels.shape[3]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over content hashes, labels and class names in order: the identity of the whole set."""
        digest = hashlib.sha256("\n".join(self.class_names).encode())
        for content, label in zip(self.hashes, self.labels, strict=True):
            digest.update(f"\n{content} {label}".encode())
        return digest.hexdigest()

    def subset(self, positions: Sequence[int] | NDArray[np.int64], *, name: str | None = None) -> "ImageSet":
        """Return the images at `positions` (counted within this set), in that order, over the same pixel file."""
        chosen = np.asarray(positions, dtype=np.int64)
        return ImageSet(
            name=name or self.name,
            pixels=self.pixels,
            rows=self.rows[chosen],
            labels=self.labels[chosen],
            class_names=self.class_names,
            hashes=tuple(self.hashes[i] for i in chosen),
            masks=self.masks,
            groups=None if self.groups is None else tuple(self.groups[i] for i in chosen),
            origins=None if self.origins is None else tuple(self.origins[i] for i in chosen),
        )

    def load(self, positions: Sequence[int] | NDArray[np.int64] | slice = slice(None)) -> Tensor:
        """Return the pixels at `positions` as float32 `[B,3,H,W]` in [0, 1], on the CPU."""
        return torch.from_numpy(self.pixels.read(self.rows[positions])).float().div_(255)

    def load_masks(self, positions: Sequence[int] | NDArray[np.int64] | slice = slice(None)) -> Tensor:
        """Return the object masks at `positions` as float32 `[B,1,H,W]` in [0, 1].

        Raises:
            DataError: the set has no masks.
        """
        if self.masks is None:
            raise DataError(f"{self.name}: this image set has no object masks")
        return torch.from_numpy(self.masks.read(self.rows[positions])).float().div_(255).unsqueeze(1)

    def batches(self, size: int) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        """Yield (positions, pixels float32 `[B,3,H,W]` in [0, 1]) in order, at most `size` images at a time."""
        for start in range(0, len(self), size):
            positions = np.arange(start, min(start + size, len(self)), dtype=np.int64)
            yield positions, self.load(positions)


@dataclass(frozen=True)
class Splits:
    """Three sets without a common image: craft the perturbation, select a checkpoint, report the number."""

    craft: ImageSet
    select: ImageSet
    report: ImageSet

    def __post_init__(self) -> None:
        check_disjoint(craft=self.craft, select=self.select, report=self.report)


def check_disjoint(**sets: ImageSet) -> None:
    """Raise unless no content hash occurs in two of the named sets.

    Raises:
        DataError: names every overlapping pair, with counts.
    """
    names = list(sets)
    faults = []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            common = set(sets[first].hashes) & set(sets[second].hashes)
            if common:
                faults.append(f"{first} and {second} share {len(common)} image(s), for example {min(common)[:12]}")
    if faults:
        raise DataError(
            fault_list("expected disjoint image sets, but a perturbation would be judged on its own:", faults)
        )


def split(images: ImageSet, *, craft: int, select: int, report: int, generator: torch.Generator) -> Splits:
    """Return disjoint craft, select and report sets, drawn class by class so that each is as balanced as can be.

    Images of equal content count once. The draw depends on the generator and the content hashes alone, not on the order
    in which the images were read.

    Raises:
        DataError: fewer different images than asked for.
    """
    first_of = {content: position for position, content in reversed(list(enumerate(images.hashes)))}
    wanted = craft + select + report
    if wanted > len(first_of):
        raise DataError(
            f"{images.name}: the plan asks for {wanted} images (craft {craft}, select {select}, report {report}), "
            f"but there are only {len(first_of)} different ones; ask for fewer or add images"
        )
    order = _interleaved_by_class(images, first_of, generator)
    # Spread each class evenly over the three sets: walk the interleaved order and fill by largest remaining need.
    parts: dict[str, list[int]] = {"craft": [], "select": [], "report": []}
    sizes = {"craft": craft, "select": select, "report": report}
    for step, position in enumerate(order[:wanted], start=1):
        name = max(parts, key=lambda part: sizes[part] * step / wanted - len(parts[part]))
        parts[name].append(position)
    return Splits(**{name: images.subset(sorted(rows), name=f"{images.name}/{name}") for name, rows in parts.items()})


def _interleaved_by_class(images: ImageSet, first_of: dict[str, int], generator: torch.Generator) -> list[int]:
    by_class: dict[int, list[int]] = {}
    for content in sorted(first_of):
        by_class.setdefault(int(images.labels[first_of[content]]), []).append(first_of[content])
    shuffled = []
    for label in sorted(by_class):
        members = by_class[label]
        shuffled.append([members[i] for i in torch.randperm(len(members), generator=generator).tolist()])
    longest = max((len(members) for members in shuffled), default=0)
    return [members[i] for i in range(longest) for members in shuffled if i < len(members)]
