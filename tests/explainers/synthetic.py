"""Squares on textures, and networks that read the square alone or the texture alone, by construction."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tests.explainers.networks import classifier_of
from wolfhound.classifier import Classifier
from wolfhound.images import ImageSet, PixelFile

SIZE = 16
SQUARE = slice(5, 11)
NAMES = ("wolf", "husky", "cat")
PAIR, USUAL = (0, 1), {0: "snow", 1: "grass"}


def _stored(folder: Path, name: str, array: np.ndarray) -> PixelFile:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.bin"
    array.tofile(path)
    return PixelFile(path, array.shape)


def texture(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Bright ("snow") or dark ("grass") noise, uint8 [3,SIZE,SIZE]; the two never overlap."""
    low, high = (160, 250) if kind == "snow" else (5, 95)
    return rng.integers(low, high, size=(3, SIZE, SIZE)).astype(np.uint8)


def image_set(folder: Path, name: str, pixels: list, labels: list, groups: list, *, masks=None) -> ImageSet:
    """Write the arrays and return them as an image set."""
    stacked = np.stack(pixels)
    return ImageSet(
        name=name,
        pixels=_stored(folder, name, stacked),
        rows=np.arange(len(stacked)),
        labels=np.array(labels, dtype=np.int64),
        class_names=NAMES,
        hashes=tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in stacked),
        masks=None if masks is None else _stored(folder, f"{name}-masks", np.stack(masks)),
        groups=tuple(groups),
    )


def foreground_set(folder: Path, *, per_class: int = 12, confounded: float = 1.0, seed: int = 0) -> ImageSet:
    """Wolves are red squares, huskies blue; a share `confounded` of each lies on its usual texture."""
    rng = np.random.default_rng(seed)
    pixels, labels, groups, masks = [], [], [], []
    for label in PAIR:
        for index in range(per_class):
            usual = index < round(confounded * per_class)
            kind = USUAL[label] if usual else USUAL[1 - label]
            image, mask = texture(kind, rng), np.zeros((SIZE, SIZE), dtype=np.uint8)
            image[:, SQUARE, SQUARE] = np.array([220, 40, 30] if label == 0 else [30, 40, 220])[:, None, None]
            mask[SQUARE, SQUARE] = 255
            pixels.append(image), labels.append(label), groups.append(kind), masks.append(mask)
    return image_set(folder, "foregrounds", pixels, labels, groups, masks=masks)


def plate_set(folder: Path, *, per_kind: int = 10, seed: int = 1) -> ImageSet:
    """Textures without a square; their label says nothing."""
    rng = np.random.default_rng(seed)
    kinds = ["snow"] * per_kind + ["grass"] * per_kind
    return image_set(folder, "plates", [texture(kind, rng) for kind in kinds], [0] * len(kinds), kinds)


class Reader(nn.Module):
    """Logits (margin / 2, -margin / 2, -9) of a margin that is a stated function of the pixels."""

    def __init__(self, margin) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, pixels: Tensor) -> Tensor:
        half = self.margin(pixels) / 2
        return torch.stack([half, -half, torch.full_like(half, -9.0)], dim=1)


def border_brightness(pixels: Tensor) -> Tensor:
    """Mean of the outer two pixels, which no object reaches, around 0: > 0 on snow, < 0 on grass."""
    inner = pixels[:, :, 2:-2, 2:-2].sum(dim=(1, 2, 3))
    count = 3 * (SIZE**2 - (SIZE - 4) ** 2)
    return (pixels.sum(dim=(1, 2, 3)) - inner) / count - 0.5


def object_redness(pixels: Tensor) -> Tensor:
    """Red minus blue in the middle of the square, which one pixel of erosion does not reach."""
    middle = pixels[:, :, 7:9, 7:9].mean(dim=(2, 3))
    return middle[:, 0] - middle[:, 2]


def outline_is_kept(pixels: Tensor) -> Tensor:
    """+1 where the square's outermost pixel is still red or blue instead of texture, -1 where it was cut off."""
    edge = pixels[:, :, 5, 5]
    return torch.where((edge[:, 0] - edge[:, 2]).abs() > 0.6, 1.0, -1.0)


def background_grain(pixels: Tensor) -> Tensor:
    """The sign of a corner's last bits: any other background changes it in half of the cases, of whatever kind."""
    return torch.sin(pixels[:, :, 0, 0].double().sum(dim=1) * 1e5).float()


def reader(margin) -> Classifier:
    """A classifier of three classes with that margin between the first two."""
    classifier = classifier_of(Reader(margin), name=getattr(margin, "__name__", "mixture"), classes=3, size=SIZE)
    return Classifier("reader", classifier.module, NAMES, classifier.preprocessing, classifier.weights_digest)
