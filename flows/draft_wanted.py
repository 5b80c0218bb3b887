"""What `wolfhound init` is told and asks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from wolfhound.errors import DataError
from wolfhound.sources.listing import Picture

Section = dict[str, Any]
"""A section of the plan that is being written: keys to plain values, paths as Path."""

Ask = Callable[[str, Sequence[str], str], str]
"""Asks a question with its possible answers (none: anything), or refuses with the flag that would have answered it."""


@dataclass(frozen=True)
class Wanted:
    """What the user said.

    Attributes:
        images: where the images are: a folder, a file, a pattern of shards, a torchvision name, or hf:NAME.
        model: what the network is: a name, a file, FILE.py:FUNCTION, timm:NAME, hf:NAME or an address.
        ask: how what is left open is asked.
        asked: whether there is somebody to answer.
        weights: a weights file, or torchvision's name of weights.
        arguments: what a function is called with.
        kind: which kind of image set it is, where `images` could be several.
        root: the folder of the pictures, or of a torchvision data set.
        split: which part of a set that has several.
        picture: column of the pictures or of their paths.
        label: column, suffix or json:KEY of the labels.
        class_names: a text file with one class name a line, or "imagenet".
        size: side of the images.
        mean: channel means on the [0, 1] scale.
        std: channel deviations on the [0, 1] scale.
    """

    images: str
    model: str
    ask: Ask = field(compare=False)
    asked: bool = False
    weights: str | None = None
    arguments: Mapping[str, int | float | str | bool | None] = field(default_factory=dict)
    kind: str | None = None
    root: Path | None = None
    split: str | None = None
    picture: str | None = None
    label: str | None = None
    class_names: str | None = None
    size: int | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None


def one_of(found: Sequence[str], question: str, flag: str, ask: Ask) -> str:
    """Return the only thing that was found, or the one that the user chooses."""
    return found[0] if len(found) == 1 else ask(question, found, flag)


def picture_size(picture: Picture) -> tuple[int, int]:
    """Return height and width of a picture.

    Raises:
        DataError: it cannot be read as one.
    """
    try:
        with picture.open() as image:
            width, height = image.size
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(f"{picture.origin}: expected a picture, but it cannot be read as one ({error})") from error
    return height, width
