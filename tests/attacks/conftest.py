"""A small convolutional network, trained here in seconds on drawn textures: a real, if tiny, attack surface."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from wolfhound.classifier import Classifier, Preprocessing, state_digest
from wolfhound.images import ImageSet, PixelFile, Splits, split

CLASSES = 4
SIZE = (16, 16)
SMALLER = (12, 12)


def draw_textures(count: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 images `[count,3,16,16]`: a faint pattern of the class over a random colour, with noise."""
    generator = torch.Generator().manual_seed(99)
    patterns = torch.randn(CLASSES, 3, 4, 4, generator=generator)
    patterns = functional.interpolate(patterns, size=SIZE, mode="bilinear")
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    colour = 0.5 + 0.1 * torch.randn(count, 3, 1, 1, generator=generator)
    strength = 0.015 + 0.04 * torch.rand(count, 1, 1, 1, generator=generator)
    noise = 0.06 * torch.randn(count, 3, *SIZE, generator=generator)
    pixels = (colour + strength * patterns[labels] + noise).clamp(0, 1)
    return (pixels * 255).round().to(torch.uint8).numpy(), labels.numpy()


def stored_set(name: str, pixels: np.ndarray, labels: np.ndarray, *, folder: Path) -> ImageSet:
    """Return an image set over `pixels`, written below `folder`."""
    path = folder / f"{name}.raw"
    pixels.tofile(path)
    return ImageSet(
        name=name,
        pixels=PixelFile(path, pixels.shape),
        rows=np.arange(len(pixels), dtype=np.int64),
        labels=labels.astype(np.int64),
        class_names=tuple(f"texture {i}" for i in range(CLASSES)),
        hashes=tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in pixels),
    )


@pytest.fixture(scope="session")
def textures(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    """Disjoint craft (96), select (48) and report (200) sets of drawn textures."""
    pixels, labels = draw_textures(344, seed=1)
    images = stored_set("textures", pixels, labels, folder=tmp_path_factory.mktemp("textures"))
    return split(images, craft=96, select=48, report=200, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="session")
def trained_state() -> dict[str, torch.Tensor]:
    """The weights of `network()` after training on textures that no test uses."""
    return _trained_weights(SIZE, seed=0)


@pytest.fixture(scope="session")
def second_state() -> dict[str, torch.Tensor]:
    """The weights of `network()` after training from other initial weights, on the same textures at 12x12."""
    return _trained_weights(SMALLER, seed=1)


def _trained_weights(size: tuple[int, int], *, seed: int) -> dict[str, torch.Tensor]:
    pixels, labels = draw_textures(800, seed=2)
    inputs, wanted = torch.from_numpy(pixels).float().div_(255), torch.from_numpy(labels)
    resized = Preprocessing(input_size=size).apply(inputs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # for the initial weights and for dropout
        module = network(size)
        _train(module, resized, wanted)
    return {name: tensor.detach() for name, tensor in module.state_dict().items()}


def _train(module: nn.Module, inputs: torch.Tensor, wanted: torch.Tensor) -> None:
    optimiser = torch.optim.Adam(module.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(0)
    for _ in range(6):
        for rows in torch.randperm(len(inputs), generator=generator).split(50):
            optimiser.zero_grad()
            functional.cross_entropy(module((inputs[rows] - 0.5) / 0.25), wanted[rows]).backward()
            optimiser.step()


def network(size: tuple[int, int] = SIZE) -> nn.Sequential:
    """Two convolutions with batch normalisation, dropout and a linear layer, for 16x16 pixels or another size."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(16 * (size[0] // 4) * (size[1] // 4), CLASSES),
    )


def as_classifier(module: nn.Module, *, name: str = "textures", size: tuple[int, int] = SIZE) -> Classifier:
    """Return `module` as a classifier of textures, which resizes them to `size` itself."""
    return Classifier(
        name=name,
        module=module,
        class_names=tuple(f"texture {i}" for i in range(CLASSES)),
        preprocessing=Preprocessing((0.5, 0.5, 0.5), (0.25, 0.25, 0.25), size),
        weights_digest=state_digest(module.state_dict()),
    )


@pytest.fixture
def trained(trained_state: dict[str, torch.Tensor]) -> Classifier:
    """A fresh copy of the trained network, in float64 so that round-off cannot flip the sign of a gradient."""
    module = network()
    module.load_state_dict(trained_state)
    return as_classifier(module.double().eval())


@pytest.fixture
def second(second_state: dict[str, torch.Tensor]) -> Classifier:
    """A fresh copy of another trained network, of another input size, in float64."""
    module = network(SMALLER)
    module.load_state_dict(second_state)
    return as_classifier(module.double().eval(), name="second", size=SMALLER)
