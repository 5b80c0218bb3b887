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


class PlantedNet(nn.Module):
    """Counts red in the image: 3 x 3 means of red minus the mean of green and blue, ReLU, mean over places, one Linear.

    Logit 0 rises with red and logit 1 falls; logit 2 is constant. So the evidence for class 0 is the red square alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self.colour = nn.Conv2d(3, 2, 3, padding=1)
        self.head = nn.Linear(2, 3)
        kernel = torch.tensor([1.0, -0.5, -0.5]).view(3, 1, 1).expand(3, 3, 3) / 9
        with torch.no_grad():
            self.colour.weight.copy_(torch.stack([kernel, -kernel]))
            self.colour.bias.fill_(-0.1)
            self.head.weight.copy_(torch.tensor([[40.0, 0.0], [-40.0, 0.0], [0.0, 0.0]]))
            self.head.bias.copy_(torch.tensor([-2.0, 2.0, 0.0]))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.colour(pixels).relu().mean(dim=(2, 3)))


def planted_classifier() -> Classifier:
    """A classifier that sees red and nothing else."""
    made = classifier_of(PlantedNet().eval(), name="planted", classes=3, size=SIZE)
    return Classifier("planted", made.module, NAMES, made.preprocessing, made.weights_digest)


def red_squares(count: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Return images of grey noise with a red square of 6 x 6 somewhere `[count,3,S,S]`, and masks `[count,1,S,S]`."""
    rng = np.random.default_rng(seed)
    pixels = np.repeat(rng.uniform(0.2, 0.8, (count, 1, SIZE, SIZE)), 3, axis=1)
    masks = np.zeros((count, 1, SIZE, SIZE))
    for index in range(count):
        row, column = rng.integers(0, SIZE - 6, 2)
        masks[index, 0, row : row + 6, column : column + 6] = 1
    pixels = np.where(masks > 0, np.array([0.9, 0.1, 0.1])[None, :, None, None], pixels)
    return torch.from_numpy(pixels).float(), torch.from_numpy(masks).float()
