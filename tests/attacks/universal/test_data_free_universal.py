"""Data-free UAP: its energy against the network's layers by hand, and that it never reads a photograph."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from attacks.threat import Threat
from attacks.universal.data_free import DataFreeUniversal, convolutions, energy, recorded
from attacks.universal.drawn_images import Drawn, jigsaw, noise
from tests.attacks.crashing import assert_same, snapshot
from tests.attacks.universal.universal_literal import last_proposal
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import PlanError
from wolfhound.images import PixelFile, Splits


def test_the_energy_is_the_sum_over_convolutions_of_the_log_of_half_the_positive_squares(
    trained: Classifier, textures: Splits
) -> None:
    pixels = textures.craft.load(slice(0, 3)).double()
    with frozen(trained.module), torch.no_grad():
        found = energy(trained, pixels, torch.zeros(3))
        for image, value in zip(pixels, found, strict=True):
            signal, expected = trained.preprocessing.apply(image[None]), 0.0
            for layer in list(trained.module.children())[:6]:
                signal = layer(signal)
                if isinstance(layer, torch.nn.Conv2d):
                    positive = [float(number) for number in signal.flatten() if number > 0]
                    expected += math.log(sum(number**2 for number in positive) / 2)
            assert float(value) == pytest.approx(expected, rel=1e-9)


def test_it_raises_the_energy_of_photographs_that_it_never_read(trained: Classifier, textures: Splits) -> None:
    unreadable = replace(textures.craft, pixels=PixelFile(Path("/nonexistent"), textures.craft.pixels.shape))
    attack = DataFreeUniversal(passes=2, updates_per_pass=20)
    delta = last_proposal(attack, trained, unreadable, Threat("linf", 16 / 255)).delta
    pixels = textures.report.load().double()
    signs = torch.randint(0, 2, delta.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with frozen(trained.module), torch.no_grad():
        clean, noisy, perturbed = (
            float(energy(trained, (pixels + v).clamp(0, 1), torch.zeros(0)).mean())
            for v in (torch.zeros_like(delta), 16 / 255 * signs, delta)
        )
    assert perturbed > max(clean, noisy) + 0.2


def test_the_number_of_crafting_images_does_not_matter(trained: Classifier, textures: Splits) -> None:
    attack = DataFreeUniversal(passes=1, updates_per_pass=3)
    few, many = (
        last_proposal(attack, trained, textures.craft.subset(range(count)), Threat("linf", 0.1)) for count in (2, 90)
    )
    assert torch.equal(few.delta, many.delta)
    assert attack.steps(2) == attack.steps(90) == attack.gradients(2) == few.gradients == 24


def test_hooks_are_gone_after_an_error(trained: Classifier) -> None:
    before = snapshot(trained)
    with pytest.raises(RuntimeError), recorded(convolutions(trained.module)):
        trained.module(torch.zeros(1, 2, 3))
    assert_same(before, snapshot(trained))


def test_a_network_without_convolutions_is_refused(linear_classifier: Classifier, make_images) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(PlanError, match=r"a network with convolutions .* none in linear"):
        last_proposal(DataFreeUniversal(), linear_classifier, make_images([0, 1, 2, 3]), Threat("linf", 0.1))


def test_a_target_is_refused(trained: Classifier, textures: Splits) -> None:
    with pytest.raises(PlanError, match="data_free_uap: expected an untargeted threat"):
        last_proposal(DataFreeUniversal(), trained, textures.craft, Threat("linf", 0.1, target=1))


def test_noise_is_centred_on_grey_and_of_many_strengths() -> None:
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([noise((32, 40), generator=generator) for _ in range(50)])
    assert drawn.shape == (50, 3, 32, 40)
    assert float(drawn.min()) == 0
    assert float(drawn.max()) == 1
    assert float(drawn.mean()) == pytest.approx(0.5, abs=0.01)
    strengths = drawn.flatten(1).std(dim=1)
    assert float(strengths.min()) < 0.1 < 0.3 < float(strengths.max())


def test_a_jigsaw_is_a_grid_of_tiles_of_one_colour_each() -> None:
    generator = torch.Generator().manual_seed(0)
    counts = set()
    for _ in range(30):
        image = jigsaw((48, 64), generator=generator)
        assert image.shape == (3, 48, 64)
        rows = 1 + int((image[:, 1:] != image[:, :-1]).any(dim=2).any(dim=0).sum())
        columns = 1 + int((image[:, :, 1:] != image[:, :, :-1]).any(dim=1).any(dim=0).sum())
        assert len(torch.unique(image.flatten(1), dim=1).T) <= rows * columns
        counts.add(rows)
    assert 0 < max(counts) <= 7
    assert len(counts) > 3


def test_each_position_has_an_image_of_its_own() -> None:
    drawn = Drawn.of(torch.tensor([5, 2, 9]), "jigsaw", (16, 16), generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn.load([2, 5]), drawn.pixels[[1, 0]])
    assert not torch.equal(drawn.pixels[0], drawn.pixels[1])
