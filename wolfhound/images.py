"""An image set: pixels as uint8 in a memory-mapped file, labels, content hashes; masks and groups where they exist."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wolfhound.errors import DataError, fault_list

T = TypeVar("T")


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
        attributes: further named values of each image (the camera, the site), by the name of their column.
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
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        lengths = {len(self.rows), len(self.labels), len(self.hashes)}
        lengths |= {len(part) for part in (self.groups, self.origins, *self.attributes.values()) if part is not None}
        if len(lengths) != 1:
            raise DataError(
                f"{self.name}: expected as many labels, hashes, groups and attributes as images, got {sorted(lengths)}"
            )
        self._check_pixel_files()
        if len(self.labels) and not (self.labels.min() >= 0 and self.labels.max() < len(self.class_names)):
            raise DataError(
                f"{self.name}: expected labels in [0, {len(self.class_names)}), "
                f"got {self.labels.min()} to {self.labels.max()}"
            )

    def _check_pixel_files(self) -> None:
        if len(self.pixels.shape) != 4 or self.pixels.shape[1] != 3:
            raise DataError(f"{self.name}: expected pixels of shape [M, 3, H, W], got {list(self.pixels.shape)}")
        held, _, height, width = self.pixels.shape
        if self.masks is not None and self.masks.shape != (held, height, width):
            raise DataError(
                f"{self.name}: expected masks of shape {[held, height, width]}, got {list(self.masks.shape)}"
            )
        if len(self.rows) and not (self.rows.min() >= 0 and self.rows.max() < held):
            raise DataError(f"{self.name}: expected rows in [0, {held}), got {self.rows.min()} to {self.rows.max()}")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of every image."""
        return self.pixels.shape[2], self.pixels.shape[3]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over class names, content hashes, labels, groups, attributes and masks in order: its identity.

        Reads every mask once where there are masks.
        """
        digest = hashlib.sha256(json.dumps([self.class_names, self.groups]).encode())
        if self.attributes:
            digest.update(json.dumps(dict(self.attributes), sort_keys=True).encode())
        for content, label in zip(self.hashes, self.labels, strict=True):
            digest.update(f"\n{content} {label}".encode())
        if self.masks is not None:
            for start in range(0, len(self), 1024):
                digest.update(self.masks.read(self.rows[start : start + 1024]).tobytes())
        return digest.hexdigest()

    def subset(self, positions: Sequence[int] | NDArray[np.int64], *, name: str | None = None) -> "ImageSet":
        """Return the images at `positions` (counted within this set), in that order, over the same pixel file.

        Raises:
            TypeError: positions that are no integers (a mask of booleans, say: use `np.flatnonzero`).
            IndexError: a position outside the set.
        """
        chosen = np.asarray(positions)
        if chosen.size and chosen.dtype.kind not in "iu":
            raise TypeError(
                f"expected integer positions, got {chosen.dtype} (np.flatnonzero turns a mask into positions)"
            )
        chosen = chosen.astype(np.int64)
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
            attributes={name: tuple(values[i] for i in chosen) for name, values in self.attributes.items()},
        )

    def attribute(self, name: str) -> tuple[str, ...]:
        """Return the value of a named attribute for each image; "group" is the one that `groups` holds.

        Raises:
            DataError: the set has no such attribute; names those that it has.
        """
        known = {**({} if self.groups is None else {"group": self.groups}), **self.attributes}
        if name not in known:
            has = ", ".join(known) or "none"
            raise DataError(f"{self.name}: expected an attribute of each image called {name!r}, got {has}")
        return known[name]

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
        """Yield (positions, pixels float32 `[B,3,H,W]` in [0, 1]) in order, at most `size` images at a time.

        Raises:
            ValueError: a size below 1.
        """
        if size < 1:
            raise ValueError(f"expected a batch size of at least 1, got {size}")
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

    Images of equal content count once. Which images are drawn depends on the generator and on the images alone
    (content, label, group, origin), not on the order in which they were read; within each set they keep that order.

    Raises:
        DataError: a negative number of images asked for, or fewer different images than asked for.
    """
    if min(craft, select, report) < 0:
        raise DataError(f"{images.name}: expected 0 or more images a set, got {craft}, {select} and {report}")
    different = _one_position_each(images)
    wanted = craft + select + report
    if wanted > len(different):
        raise DataError(
            f"{images.name}: the plan asks for {wanted} images (craft {craft}, select {select}, report {report}), "
            f"but there are only {len(different)} different ones; ask for fewer or add images"
        )
    drawn = _spread_evenly(_drawn_by_class(images, different, wanted, generator))
    parts = {"craft": drawn[:craft], "select": drawn[craft : craft + select], "report": drawn[craft + select :]}
    return Splits(**{name: images.subset(sorted(part), name=f"{images.name}/{name}") for name, part in parts.items()})


def _one_position_each(images: ImageSet) -> list[int]:
    """Return one position for each content, ordered by content; of equal contents the one that sorts first."""

    def identity(position: int) -> tuple[str, int, str, str]:
        group = "" if images.groups is None else images.groups[position]
        origin = "" if images.origins is None else images.origins[position]
        return images.hashes[position], int(images.labels[position]), group, origin

    ordered = sorted(range(len(images)), key=identity)
    return [p for i, p in enumerate(ordered) if i == 0 or images.hashes[p] != images.hashes[ordered[i - 1]]]


def _drawn_by_class(images: ImageSet, positions: list[int], wanted: int, generator: torch.Generator) -> list[list[int]]:
    """Return `wanted` positions grouped by class, as many of each class as of every other while they last."""
    by_class: dict[int, list[int]] = {}
    for position in positions:
        by_class.setdefault(int(images.labels[position]), []).append(position)
    shuffled = [_permuted(by_class[label], generator) for label in sorted(by_class)]
    # Where not every class can have one image more, chance decides which do, not the alphabet.
    shuffled = _permuted(shuffled, generator)
    kept: list[list[int]] = [[] for _ in shuffled]
    rounds = range(max((len(members) for members in shuffled), default=0))
    dealt = [(kind, i) for i in rounds for kind, members in enumerate(shuffled) if i < len(members)]
    for kind, i in dealt[:wanted]:
        kept[kind].append(shuffled[kind][i])
    return kept


def _spread_evenly(groups: list[list[int]]) -> list[int]:
    """Return all members in one order in which every group is spread evenly, so that each stretch of it is balanced.

    Groups of the same size take turns; a scarce one is spread from end to end. (Cutting such an order by another
    periodic rule would put whole groups into one set: two classes dealt alternately to two sets share none.)
    """
    most = max((len(members) for members in groups), default=0)
    placed = []
    for kind, members in enumerate(groups):
        # A group that the last, incomplete round left out is not scarce: it keeps its turn in all others.
        rounds = most if len(members) >= most - 1 else len(members)
        start = Fraction(2 * kind + 1, 2 * len(groups))
        placed += [((i + start) / rounds, member) for i, member in enumerate(members)]
    return [member for _, member in sorted(placed)]


def _permuted(members: list[T], generator: torch.Generator) -> list[T]:
    return [members[i] for i in torch.randperm(len(members), generator=generator).tolist()]
