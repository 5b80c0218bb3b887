"""The demonstration's image sets, drawn once and kept under a folder: ten classes, wolf and husky, bare backgrounds.

The planted confounder is the background of wolf and husky. `confounding` is the share rho in [0.5, 1] of wolves that
stand on snow and of huskies that stand on grass; the others stand on grass and on snow. It holds as an exact quota, for
every prefix of the set as nearly as whole images allow, and 0.5 means no confounder. Every other class takes all
backgrounds equally often.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from wolfhound.demonstration.backgrounds import BACKGROUNDS
from wolfhound.demonstration.scenes import SUBJECTS, Picture, Streams, draw_picture, draw_plate
from wolfhound.demonstration.storage import stored_pictures
from wolfhound.errors import DataError
from wolfhound.images import ImageSet
from wolfhound.progress import Progress, silent

CLASSES: tuple[str, ...] = tuple(SUBJECTS)
WOLF_HUSKY: tuple[str, ...] = ("wolf", "husky")

# Raise it whenever a picture changes: stored sets of another version are not reused.
DRAWING_VERSION = 1

_FAMILIES = {"ten classes": 0, "wolf and husky": 1, "plates": 2}


@dataclass(frozen=True)
class _Recipe:
    """Everything that decides the pictures of one set."""

    family: str
    count: int
    seed: int
    size: int
    confounding: float
    backgrounds: tuple[str, ...] = BACKGROUNDS
    version: int = DRAWING_VERSION

    def __post_init__(self) -> None:
        faults = []
        if self.count < 1:
            faults.append(f"expected at least 1 image, got count={self.count}")
        if self.seed < 0:
            faults.append(f"expected a seed of at least 0, got {self.seed}")
        if not 16 <= self.size <= 1024:
            faults.append(f"expected a size from 16 to 1024 pixels, got {self.size}")
        if not 0.5 <= self.confounding <= 1:
            faults.append(f"expected confounding in [0.5, 1] (0.5 means none), got {self.confounding}")
        unknown = sorted(set(self.backgrounds) - set(BACKGROUNDS))
        if unknown or not self.backgrounds:
            faults.append(f"expected backgrounds among {', '.join(BACKGROUNDS)}, got {unknown or 'none'}")
        if faults:
            raise DataError("; ".join(faults))

    @property
    def key(self) -> str:
        """SHA-256 (hex) of the recipe: the name of its folder."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def streams(self, index: int) -> Streams:
        return Streams.of(seed=self.seed, family=_FAMILIES[self.family], index=index)


def demonstration_images(
    folder: Path, *, count: int, seed: int, size: int = 64, confounding: float = 0.5, progress: Progress = silent
) -> ImageSet:
    """Return `count` generated images of the ten `CLASSES`, balanced, with masks; `groups` are their backgrounds.

    They are drawn on first use, kept under `folder`, verified on every later use and drawn anew where damaged. Image i
    depends on `seed`, `size`, i and (wolf and husky: their background only) on `confounding`, never on `count`.

    Raises:
        DataError: a value out of its range.
    """
    recipe = _Recipe("ten classes", count, seed, size, confounding)
    labels = [index % len(CLASSES) for index in range(count)]
    return _image_set(folder, recipe, "demonstration", CLASSES, labels, _backgrounds_of(recipe, CLASSES), progress)


def wolf_husky_images(
    folder: Path, *, count: int, seed: int, size: int = 64, confounding: float, progress: Progress = silent
) -> ImageSet:
    """Return `count` generated images of wolf and husky alone, balanced, with masks and the same planted confounder.

    No image of it occurs in `demonstration_images`, whatever the seeds.

    Raises:
        DataError: a value out of its range.
    """
    recipe = _Recipe("wolf and husky", count, seed, size, confounding)
    labels = [index % len(WOLF_HUSKY) for index in range(count)]
    name = f"wolf and husky, confounding {confounding:g}"
    return _image_set(folder, recipe, name, WOLF_HUSKY, labels, _backgrounds_of(recipe, WOLF_HUSKY), progress)


def background_plates(
    folder: Path,
    *,
    per_background: int,
    backgrounds: Sequence[str] = ("snow", "grass"),
    seed: int,
    size: int = 64,
    progress: Progress = silent,
) -> ImageSet:
    """Return pictures of backgrounds without any object, `per_background` of each; labels and groups name them.

    The class names are the backgrounds; the masks are empty.

    Raises:
        DataError: a value out of its range, or a background that does not exist.
    """
    names = tuple(backgrounds)
    if len(set(names)) != len(names):
        raise DataError(f"expected different backgrounds, got {list(names)}")
    recipe = _Recipe("plates", per_background * len(names), seed, size, 0.5, names)
    labels = [index % len(names) for index in range(recipe.count)]
    return _image_set(folder, recipe, "background plates", names, labels, [names[label] for label in labels], progress)


def _image_set(
    folder: Path,
    recipe: _Recipe,
    name: str,
    class_names: tuple[str, ...],
    labels: list[int],
    backgrounds: list[str],
    progress: Progress,
) -> ImageSet:
    draw = partial(_draw, recipe, class_names, labels, backgrounds)
    pictures = stored_pictures(folder / recipe.key[:16], draw, count=recipe.count, size=recipe.size, progress=progress)
    return ImageSet(
        name=name,
        pixels=pictures.pixels,
        rows=np.arange(recipe.count, dtype=np.int64),
        labels=np.array(labels, dtype=np.int64),
        class_names=class_names,
        hashes=pictures.hashes,
        masks=pictures.masks,
        groups=tuple(backgrounds),
        origins=tuple(f"{recipe.family}, seed {recipe.seed}, image {index}" for index in range(recipe.count)),
    )


def _draw(
    recipe: _Recipe, class_names: tuple[str, ...], labels: list[int], backgrounds: list[str], index: int
) -> Picture:
    streams = recipe.streams(index)
    if recipe.family == "plates":
        return draw_plate(backgrounds[index], size=recipe.size, streams=streams)
    return draw_picture(class_names[labels[index]], backgrounds[index], size=recipe.size, streams=streams)


def _backgrounds_of(recipe: _Recipe, class_names: tuple[str, ...]) -> list[str]:
    """Return the background of each image: by quota for wolf and husky, in shuffled rounds for every other class."""
    chosen = []
    for index in range(recipe.count):
        turn, label = divmod(index, len(class_names))
        if class_names[label] in WOLF_HUSKY:
            usual, other = ("snow", "grass") if class_names[label] == "wolf" else ("grass", "snow")
            chosen.append(usual if _takes_usual(turn, recipe.confounding) else other)
        else:
            round_number, place = divmod(turn, len(BACKGROUNDS))
            order = np.random.default_rng([recipe.seed, 99, label, round_number]).permutation(len(BACKGROUNDS))
            chosen.append(BACKGROUNDS[order[place]])
    return chosen


def _takes_usual(turn: int, share: float) -> bool:
    """Whether the class's image number `turn` takes the usual background, so that floor(n * share) of every n do."""
    tiny = 1e-9  # so that 0.95 * 20 counts as 19 whatever the last bit of the product
    return int((turn + 1) * share + tiny) > int(turn * share + tiny)
