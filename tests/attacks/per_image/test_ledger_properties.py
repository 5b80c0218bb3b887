"""Ledgers of per-image attacks against whole-number arithmetic, image by image, for attacks that propose anything."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import hypothesis
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from attacks.base import ImageProposal
from attacks.per_image.curves import curve_by_bisection
from attacks.per_image.driver import attack_images, attack_seeded
from attacks.per_image.standard import Ensemble, run_ensemble
from attacks.threat import Knowledge, Norm, Threat
from tests.attacks.conftest import stored_set
from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.images import ImageSet

SIDE = 3


@dataclass(frozen=True)
class Wild:
    """Proposes noise of its own seed around each image, of any size and outside [0, 1] too."""

    scale: float
    name: str = "wild"
    targeted: bool = False

    title: ClassVar[str] = "Wild"
    source: ClassVar[str] = "this test"
    access: ClassVar[Knowledge] = "white-box"

    def propose(
        self,
        classifier: Classifier,  # noqa: ARG002
        pixels: Tensor,
        targets: Tensor,  # noqa: ARG002
        threat: Threat | None,  # noqa: ARG002
        *,
        seeds: Tensor,
    ) -> ImageProposal:
        moved = torch.stack([self.noise(int(seed), pixels.shape[1:]) for seed in seeds])
        return ImageProposal(pixels + moved, 1 + seeds % 5, 2 + seeds % 7)

    def noise(self, seed: int, shape: torch.Size) -> Tensor:
        generator = torch.Generator().manual_seed(seed % 2**63)
        return self.scale * torch.randn(shape, generator=generator, dtype=torch.float64)


def linear(classes: int) -> Classifier:
    generator = torch.Generator().manual_seed(classes)
    layer = nn.Linear(3 * SIDE * SIDE, classes).double()
    with torch.no_grad():
        weight = torch.randn(layer.weight.shape, generator=generator, dtype=torch.float64)
        layer.weight.copy_(weight - weight.mean(dim=1, keepdim=True))
        layer.bias.zero_()
    names = tuple(f"texture {i}" for i in range(4))[:classes]
    return Classifier("l", nn.Sequential(nn.Flatten(), layer).eval(), names, Preprocessing(input_size=(SIDE, SIDE)), "")


def images_of(count: int, classes: int, seed: int, folder: Path) -> ImageSet:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count, 3, SIDE, SIDE), dtype=np.uint8)
    pixels[rng.random(pixels.shape) < 0.3] = 0  # so that clipping has something to do
    made = stored_set(f"made {seed} {count}", pixels, rng.integers(0, classes, count), folder=folder)
    return ImageSet(made.name, made.pixels, made.rows, made.labels, made.class_names[:classes], made.hashes)


def predicted(classifier: Classifier, shown: np.ndarray) -> int:
    """The class of one image in [0, 1] by a dot product written out."""
    layer = classifier.module[1]  # type: ignore[index]
    scores = layer.weight.detach().numpy() @ shown.ravel()  # type: ignore[union-attr]
    return int(np.argmax(scores))


def unrounded(original: np.ndarray, noise: np.ndarray, threat: Threat | None) -> np.ndarray:
    """What is shown of one image in floating point, in levels."""
    if threat is not None and threat.norm == "linf":
        noise = np.clip(noise, -255 * threat.epsilon, 255 * threat.epsilon)
    elif threat is not None:
        length = math.sqrt(sum(float(value) ** 2 for value in noise.ravel()))
        noise = noise * min(1.0, 255 * threat.epsilon / length)
    return np.clip(original + noise, 0, 255)


@hypothesis.given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 9),
    batch=st.integers(1, 9),
    classes=st.integers(2, 4),
    scale=st.sampled_from([0.002, 0.01, 0.1, 2.0]),
    norm=st.sampled_from(["linf", "l2", None]),
    levels=st.sampled_from([0.0, 0.4, 1.0, 2.7, 8.0, 60.0]),
    targeted=st.booleans(),
)
@hypothesis.settings(max_examples=40)
def test_every_cell_of_the_ledger_follows_from_the_proposal_alone(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    count: int,
    batch: int,
    classes: int,
    scale: float,
    norm: Norm | None,
    levels: float,
    targeted: bool,
) -> None:
    classifier, images = linear(classes), images_of(count, classes, seed, tmp_path_factory.mktemp("wild"))
    attack, threat = Wild(scale, targeted=targeted), None if norm is None else Threat(norm, levels / 255)
    seeds = torch.from_numpy(np.random.default_rng(seed).integers(0, 2**62, count))
    targets = (images.labels + 1) % classes if targeted else images.labels
    result = attack_seeded(
        attack, classifier, images, targets, threat, seeds=seeds, keep=range(count), batch_size=batch
    )
    originals = images.pixels.read(images.rows).astype(np.int64)
    for i, row in enumerate(result.ledger.itertuples()):
        shown = result.adversarial[i].numpy().astype(np.int64)
        exact = unrounded(originals[i], 255 * attack.noise(int(seeds[i]), shown.shape).numpy(), threat)  # type: ignore[arg-type]
        change = (shown - originals[i]).ravel().tolist()
        assert row.clean == predicted(classifier, originals[i] / 255)
        assert row.adversarial == predicted(classifier, shown / 255)
        assert row.adversarial_float == predicted(classifier, exact / 255)
        assert row.success == ((row.adversarial == targets[i]) == targeted)
        assert row.success_float == ((row.adversarial_float == targets[i]) == targeted)
        assert math.isclose(row.linf, max(map(abs, change)) / 255, abs_tol=1e-12)
        assert math.isclose(row.l2, math.sqrt(sum(value**2 for value in change)) / 255, abs_tol=1e-12)
        assert (row.steps, row.queries) == (1 + int(seeds[i]) % 5, 2 + int(seeds[i]) % 7)
        if threat is not None:
            assert (row.linf if norm == "linf" else row.l2) <= threat.epsilon * (1 + 2e-6)
        if norm != "l2":  # there rounding may have to shrink it first
            nearest = np.rint(exact) if norm is None else originals[i] + _nearest(exact - originals[i], levels)
            assert np.abs(shown - np.clip(nearest, 0, 255)).max() <= (np.abs(exact % 1 - 0.5) < 1e-3).max()


def _nearest(change: np.ndarray, levels: float) -> np.ndarray:
    most = math.floor(levels)
    return np.clip(np.rint(change), -most, most)


@dataclass(frozen=True)
class Needing:
    """Fools an image from its own number of levels on, that of its first pixel's red, by a change of one pixel."""

    name: ClassVar[str] = "needing"
    title: ClassVar[str] = "Needing"
    source: ClassVar[str] = "this test"
    access: ClassVar[Knowledge] = "white-box"
    targeted: ClassVar[bool] = False
    slack: int = 0

    def propose(
        self,
        classifier: Classifier,  # noqa: ARG002
        pixels: Tensor,
        targets: Tensor,  # noqa: ARG002
        threat: Threat | None,
        *,
        seeds: Tensor,  # noqa: ARG002
    ) -> ImageProposal:
        assert threat is not None
        need = (pixels[:, 0, 0, 0] * 255).round()
        used = torch.where(need <= round(255 * threat.epsilon), need, 0.0)
        moved = pixels.clone()
        moved[:, 1, 0, 0] += used / 255
        ones = torch.ones(len(pixels), dtype=torch.int64)
        return ImageProposal(moved, ones, ones)


class Compared(nn.Module):
    """Class 1 where the first pixel's green has reached its red (at least one level), else class 0."""

    def forward(self, pixels: Tensor) -> Tensor:
        ahead = (pixels[:, 1, 0, 0] - pixels[:, 0, 0, 0]) * 255 + 0.5
        return torch.stack([torch.zeros_like(ahead), ahead], dim=1)


@hypothesis.given(
    needs=st.lists(st.integers(1, 255), min_size=1, max_size=12),
    wrong=st.sets(st.integers(0, 11)),
    largest=st.integers(1, 255),
)
@hypothesis.settings(max_examples=15)
def test_the_search_over_epsilon_finds_what_each_image_needs_and_nothing_above_the_largest(
    tmp_path_factory: pytest.TempPathFactory,
    needs: list[int],
    wrong: set[int],
    largest: int,
) -> None:
    pixels = np.zeros((len(needs), 3, SIDE, SIDE), dtype=np.uint8)
    pixels[:, 0, 0, 0] = needs
    labels = np.array([int(i in wrong) for i in range(len(needs))])
    made = stored_set("needs", pixels, labels, folder=tmp_path_factory.mktemp("needs"))
    images = ImageSet(made.name, made.pixels, made.rows, labels, ("no", "yes"), made.hashes)
    network = Classifier("c", Compared(), ("no", "yes"), Preprocessing(input_size=(SIDE, SIDE)), "")
    curve = curve_by_bisection(
        Needing(), network, images, labels, "linf", generator=torch.Generator(), largest=largest / 255
    )
    expected = [0.0 if i in wrong else need if need <= largest else math.inf for i, need in enumerate(needs)]
    np.testing.assert_allclose(255 * curve.sizes, expected, atol=1e-9)
    for level in (1, largest // 2, largest, 255):
        assert curve.accuracy(level / 255).successes == sum(size > level for size in expected)


@hypothesis.given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 10),
    batch=st.integers(1, 10),
    scales=st.lists(st.sampled_from([0.001, 0.02, 0.2, 1.0]), min_size=1, max_size=4, unique=True),
)
@hypothesis.settings(max_examples=15)
def test_the_worst_an_image_is_the_first_attack_that_breaks_it_as_if_each_image_were_alone(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    count: int,
    batch: int,
    scales: list[float],
) -> None:
    classifier, threat = linear(3), Threat("linf", 9 / 255)
    images = images_of(count, 3, seed, tmp_path_factory.mktemp("worst"))
    ensemble = Ensemble("e", "E", tuple(Wild(scale, name=f"wild {scale}") for scale in scales))
    whole = run_ensemble(ensemble, classifier, images, threat, seed=seed, batch_size=batch)
    alone = [run_ensemble(ensemble, classifier, images.subset([i]), threat, seed=seed).worst for i in range(count)]
    pd.testing.assert_frame_equal(whole.worst, pd.concat(alone, ignore_index=True))
    tried = {(row.image, row.attack): row for row in whole.tried.itertuples()}
    for row in whole.worst.itertuples():
        outcomes = [tried.get((row.image, attack.name)) for attack in ensemble.attacks]
        succeeded = [found.success for found in outcomes if found is not None]
        in_float = [found.success or found.success_float for found in outcomes if found is not None]
        right = row.clean == row.label
        assert len(succeeded) == (succeeded.index(True) + 1 if True in succeeded else len(scales) if right else 0)
        assert row.robust == (right and not any(succeeded))
        assert row.robust_float == (right and not any(in_float))
        assert row.attack == (ensemble.attacks[len(succeeded) - 1].name if any(succeeded) else "")


@hypothesis.given(seed=st.integers(0, 2**31))
@hypothesis.settings(max_examples=5)
def test_seeds_drawn_for_a_run_are_its_own_for_each_image(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    seen: list[int] = []

    class Noting(Wild):
        def noise(self, seed: int, shape: torch.Size) -> Tensor:
            seen.append(seed)
            return super().noise(seed, shape)

    images = images_of(30, 3, seed % 1000, tmp_path_factory.mktemp("seeds"))
    generator = torch.Generator().manual_seed(seed)
    attack_images(Noting(0.1), linear(3), images, images.labels, None, generator=generator, batch_size=7)
    assert len(set(seen)) == 30
    assert all(value >= 0 for value in seen)
