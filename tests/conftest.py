"""What tests of several packages share: a small linear classifier, and image sets made from arrays."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
from torch import nn

from wolfhound.classifier import Classifier, Preprocessing, state_digest
from wolfhound.images import ImageSet, PixelFile

# A machine under load is slow, not wrong; the tests assert no timings. (In CI, hypothesis repeats the same examples.)
hypothesis.settings.register_profile("patient", parent=hypothesis.settings.default, deadline=None)
hypothesis.settings.load_profile("patient")

ImageSetFactory = Callable[..., ImageSet]


@pytest.fixture
def make_images(tmp_path: Path) -> ImageSetFactory:
    """Return a factory `make_images(labels, classes=..., size=..., seed=...)` of image sets on disk.

    Pixels are random but for `same`, pairs of positions (copy, original) of equal content; masks are random boxes.
    """

    def make(
        labels: Sequence[int],
        *,
        classes: int | None = None,
        size: tuple[int, int] = (8, 8),
        seed: int = 0,
        same: Sequence[tuple[int, int]] = (),
        masks: bool = False,
        groups: Sequence[str] | None = None,
        name: str = "made",
    ) -> ImageSet:
        rng = np.random.default_rng(seed)
        pixels = rng.integers(0, 256, (len(labels), 3, *size), dtype=np.uint8)
        for copy, original in same:
            pixels[copy] = pixels[original]
        folder = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        drawn = np.where(rng.random((len(labels), *size)) < 0.5, 255, 0).astype(np.uint8)
        return ImageSet(
            name=name,
            pixels=_stored(pixels, folder / "pixels.raw"),
            rows=np.arange(len(labels), dtype=np.int64),
            labels=np.asarray(labels, dtype=np.int64),
            class_names=tuple(f"class {i}" for i in range(classes or max(labels, default=0) + 1)),
            hashes=tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in pixels),
            masks=_stored(drawn, folder / "masks.raw") if masks else None,
            groups=None if groups is None else tuple(groups),
            origins=tuple(f"{i:04}.png" for i in range(len(labels))),
        )

    return make


def _stored(array: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", path: Path) -> PixelFile:
    array.tofile(path)
    return PixelFile(path, array.shape)


@pytest.fixture
def linear_classifier() -> Classifier:
    """A float64 linear classifier of 4 classes on 8x8 pixels without normalisation; its gradients are known exactly."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4)).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return Classifier(
        name="linear",
        module=module.eval(),
        class_names=("a", "b", "c", "d"),
        preprocessing=Preprocessing(input_size=(8, 8)),
        weights_digest=state_digest(module.state_dict()),
        architecture="one linear layer",
        provenance="seeded random numbers",
    )
