"""Images that are in two splits in all but name, or in the set twice under different labels.

Equal pixels are dealt with where sets are split: they count once. Here it is about the same picture in other pixels:
saved again, resized, a little brighter, or mirrored.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flows.preflight.notice import Notice
from flows.preflight.sample import Inspected
from wolfhound.images import ImageSet

COMPARED = 1500
"""Images of each split that are compared, the first in the order of their hashes."""

SIDE = 16
ALIKE = 0.998
"""Correlation of two thumbnails from which on they show the same picture."""

CONTRAST = 6.0
"""Standard deviation of a thumbnail in levels below which it shows too little to be told from another."""

_Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class _Pair:
    first: str
    second: str


def leaks(inspected: Inspected) -> Iterator[Notice]:
    """Yield a notice where images of the report split resemble crafting or select images, or labels contradict."""
    splits = inspected.images.splits
    report = _thumbnails(_first(splits.report))
    for name, other in (("craft", splits.craft), ("select", splits.select)):
        pairs = _alike(_first(other), _first(splits.report), _thumbnails(_first(other)), report)
        if pairs:
            yield Notice(
                "leak",
                "warning",
                "images",
                f"{len(pairs)} image(s) of the report split are nearly the same as one of the {name} split, for "
                f"example {pairs[0].second} and {pairs[0].first}",
                "remove the copies, so that no number comes from images that the attack was made on",
            )
    yield from _contradictions(inspected.images.whole)


def _first(images: ImageSet) -> ImageSet:
    return images.subset(np.argsort(np.array(images.hashes))[:COMPARED])


def _thumbnails(images: ImageSet) -> _Vectors:
    """Return thumbnails of length 1 and mean 0 by channel, `[N,3*16*16]`; zeros where one shows nothing."""
    height, width = images.size
    rows = np.linspace(0, height, SIDE + 1).astype(int)[:-1]
    columns = np.linspace(0, width, SIDE + 1).astype(int)[:-1]
    parts = []
    for start in range(0, len(images), 128):
        levels = images.pixels.read(images.rows[start : start + 128]).astype(np.float32)
        sums = np.add.reduceat(np.add.reduceat(levels, rows, axis=2), columns, axis=3)
        areas = np.diff([*rows, height])[:, None] * np.diff([*columns, width])[None, :]
        parts.append((sums / areas).reshape(len(levels), 3, -1))
    small = np.concatenate(parts) if parts else np.empty((0, 3, SIDE * SIDE), np.float32)
    centred = (small - small.mean(axis=2, keepdims=True)).reshape(len(small), 3 * SIDE * SIDE)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    shows = lengths > CONTRAST * np.sqrt(centred.shape[1])
    return np.where(shows, centred / np.maximum(lengths, 1e-9), 0).astype(np.float32)


def _alike(first: ImageSet, second: ImageSet, left: _Vectors, right: _Vectors) -> list[_Pair]:
    """Return one pair for each image of `second` that shows the same as an image of `first`, mirrored or not."""
    mirrored = right.reshape(-1, 3, SIDE, SIDE)[..., ::-1].reshape(len(right), -1)
    if not len(left) or not len(right):
        return []
    likeness = np.maximum(left @ right.T, left @ mirrored.T)
    best = likeness.argmax(axis=0)
    found = np.flatnonzero(likeness.max(axis=0) >= ALIKE)
    return [_Pair(_called(first, int(best[i])), _called(second, int(i))) for i in found]


def _called(images: ImageSet, position: int) -> str:
    return images.hashes[position][:12] if images.origins is None else images.origins[position]


def _contradictions(images: ImageSet) -> Iterator[Notice]:
    labels: dict[str, set[int]] = {}
    for content, label in zip(images.hashes, images.labels.tolist(), strict=True):
        labels.setdefault(content, set()).add(label)
    twice = [content for content, several in labels.items() if len(several) > 1]
    if twice:
        names = sorted(images.class_names[label] for label in labels[twice[0]])
        yield Notice(
            "contradicting-labels",
            "warning",
            "images",
            f"{len(twice)} image(s) are there under more than one label, for example as {' and '.join(names)}",
            "decide on one label for each, or remove them",
        )
