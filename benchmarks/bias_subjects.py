"""Images, confounders and small networks of the calibration study of bias probes (`bias_calibration.py`).

Every image is a drawn animal (wolf or husky), cut out by its exact mask and put on a drawn background without an
object, grass or water. (On snow, networks that were trained without any shortcut still lean toward the husky, which is
as white.) All networks take their training images from one pool of animals and backgrounds, and all are asked about the
same held-out ones.
"""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from explainers.composition import compose
from wolfhound import demonstration
from wolfhound.classifier import Classifier, state_digest
from wolfhound.demonstration.training import TrainingRecipe, measured_preprocessing, one_cycle
from wolfhound.images import ImageSet, PixelFile

KINDS = ("grass", "water")
USUAL = dict(enumerate(KINDS))
STRENGTH = 0.12
WARM, COLD = (1.0, 0.75, 0.45), (0.45, 0.65, 1.0)
RECIPE = TrainingRecipe(epochs=8, batch_size=25)
WIDTH = 12


@dataclass(frozen=True)
class Cell:
    """What a network is trained with: "background", "tint" (both in a share rho) or "object" (nothing planted)."""

    confounder: str
    rho: float


@dataclass(frozen=True, eq=False)
class Pool:
    """Animals `[N,3,64,64]` with masks, and backgrounds of both kinds, held in memory."""

    animals: ImageSet
    plates: ImageSet
    pixels: Tensor = field(repr=False)
    masks: Tensor = field(repr=False)
    backgrounds: Tensor = field(repr=False)

    def composed(self, rows: NDArray[np.int64], on_grass: NDArray[np.bool_], rng: np.random.Generator) -> Tensor:
        """Return the animals of these rows, each on a random background of the kind asked for."""
        groups = np.array(self.plates.groups)
        drawn = np.stack([rng.choice(np.flatnonzero(groups == kind), len(rows)) for kind in KINDS])
        chosen = torch.from_numpy(np.where(on_grass, drawn[0], drawn[1]))
        where = torch.from_numpy(rows)
        return compose(self.pixels[where], self.masks[where], self.backgrounds[chosen])


def pool(folder: Path, *, animals: int, plates: int, seed: int) -> Pool:
    """Return a pool of so many animals and so many backgrounds of each kind, drawn on first use."""
    drawn = demonstration.wolf_husky_images(folder, count=animals, seed=seed, confounding=0.5)
    bare = demonstration.background_plates(folder, per_background=plates, backgrounds=KINDS, seed=seed + 1)
    return Pool(drawn, bare, drawn.load(), drawn.load_masks(), bare.load())


def usual_way(labels: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return for each image whether it has what class 0 usually has, so that this share of each class is usual."""
    usual = np.zeros(len(labels), dtype=np.bool_)
    for label in (0, 1):
        members = rng.permutation(np.flatnonzero(labels == label))
        usual[members[: round(share * len(members))]] = True
    return (labels == 0) == usual


def tinted(pixels: Tensor, warm: NDArray[np.bool_]) -> Tensor:
    """Return pixels `[N,3,H,W]` moved by `STRENGTH` toward a warm or a cold colour."""
    colours = torch.where(torch.from_numpy(warm)[:, None], torch.tensor(WARM), torch.tensor(COLD))
    return (1 - STRENGTH) * pixels + STRENGTH * colours[:, :, None, None]


@dataclass(frozen=True)
class TintSwap:
    """Takes the tint of each image away and puts the other one on; `warm` tells by content hash which it has.

    The tint is undone, so no image is tinted twice, and what is asked is what the truth asks.
    """

    warm: dict[str, bool]

    def __call__(self, pixels: Tensor, hashes: tuple[str, ...]) -> Tensor:
        """Return pixels `[B,3,H,W]` with the other tint; exact up to the rounding of stored pixels."""
        step = STRENGTH * (torch.tensor(COLD) - torch.tensor(WARM))
        signs = torch.tensor([1.0 if self.warm[one] else -1.0 for one in hashes])
        return (pixels + signs.view(-1, 1, 1, 1) * step.view(1, 3, 1, 1)).clamp(0, 1)


def image_set(folder: Path, name: str, pixels: Tensor, source: Pool, on_grass: NDArray[np.bool_]) -> ImageSet:
    """Return all the pool's animals, as `pixels` show them, as a set with masks and kinds of background."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for what, values in (("pixels", pixels), ("masks", source.masks[:, 0])):
        array = (values * 255).round().byte().numpy()
        array.tofile(folder / f"{name}-{what}.bin")
        files.append((folder / f"{name}-{what}.bin", array))
    return ImageSet(
        name=name,
        pixels=PixelFile(files[0][0], files[0][1].shape),
        rows=np.arange(len(pixels)),
        labels=source.animals.labels,
        class_names=source.animals.class_names,
        hashes=tuple(hashlib.sha256(one.tobytes()).hexdigest() for one in files[0][1]),
        masks=PixelFile(files[1][0], files[1][1].shape),
        groups=tuple(KINDS[0] if one else KINDS[1] for one in on_grass),
    )


def trained(cell: Cell, source: Pool, *, count: int, seed: int) -> Classifier:
    """Return a small network trained on `count` images of that cell, balanced, drawn from the pool by `seed`."""
    rng = np.random.default_rng([seed, 21])
    labels = source.animals.labels
    rows = np.concatenate([rng.permutation(np.flatnonzero(labels == one))[: count // 2] for one in (0, 1)])
    background, tint = (cell.rho if cell.confounder == name else 0.5 for name in ("background", "tint"))
    pixels = source.composed(rows, usual_way(labels[rows], background, rng), rng)
    if cell.confounder == "tint":
        pixels = tinted(pixels, usual_way(labels[rows], tint, rng))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return _fitted((pixels * 255).round() / 255, torch.from_numpy(labels[rows]), source.animals.class_names)


def _network() -> nn.Sequential:
    """Return 3 convolutions, averaged over places, and a linear layer: it sees textures and colours before shapes."""
    parts: list[nn.Module] = []
    for given, width, kernel in ((3, WIDTH, 5), (WIDTH, 2 * WIDTH, 3), (2 * WIDTH, 4 * WIDTH, 3)):
        convolution = nn.Conv2d(given, width, kernel, stride=2, padding=kernel // 2, bias=False)
        parts += [convolution, nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * WIDTH, 2))


def _augmented(pixels: Tensor) -> Tensor:
    """Return pixels `[B,3,H,W]`, half of them mirrored, all moved by one draw of up to 3 pixels, the edge repeated."""
    mirrored = torch.where(torch.rand(len(pixels), 1, 1, 1) < 0.5, pixels.flip(3), pixels)
    down, across = torch.randint(0, 2 * RECIPE.shift + 1, (2,)).tolist()
    padded = functional.pad(mirrored, (RECIPE.shift,) * 4, mode="replicate")
    return padded[:, :, down : down + pixels.shape[2], across : across + pixels.shape[3]]


def _fitted(pixels: Tensor, labels: Tensor, class_names: tuple[str, ...]) -> Classifier:
    preprocessing = measured_preprocessing((pixels * 255).round().byte())
    network, batches = _network(), len(pixels) // RECIPE.batch_size
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=RECIPE.weight_decay)
    for step in range(RECIPE.epochs * batches):
        if step % batches == 0:
            order = torch.randperm(len(pixels))
        chosen = order[step % batches * RECIPE.batch_size :][: RECIPE.batch_size]
        for group in optimiser.param_groups:
            group["lr"] = RECIPE.learning_rate * one_cycle(step / (RECIPE.epochs * batches), warm_up=RECIPE.warm_up)
        logits = network(preprocessing.apply(_augmented(pixels[chosen])))
        loss = functional.cross_entropy(logits, labels[chosen], label_smoothing=RECIPE.label_smoothing)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()
    network.eval().requires_grad_(False)
    return Classifier(
        name="small network",
        module=network,
        class_names=class_names,
        preprocessing=preprocessing,
        weights_digest=state_digest(network.state_dict()),
        architecture="3 convolutions of stride 2, global average, one linear layer",
        provenance=f"trained by bias_calibration.py on {len(pixels)} composed images",
    )
