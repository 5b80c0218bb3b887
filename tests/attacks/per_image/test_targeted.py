"""Targeted ascent: closed forms on a linear model, early stops, and starts from noise and blank images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from attacks.per_image.driver import attack_images, blank_images, noise_images, random_targets
from attacks.per_image.targeted_ascent import TargetedAscent
from attacks.threat import Threat
from tests.attacks.conftest import as_classifier, stored_set
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import DataError
from wolfhound.images import Splits


def one_step(classifier: Classifier, threat: Threat | None, **options: object) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the grey start and where a single step from it leads, for target 2."""
    start = torch.full((1, 3, 8, 8), 128 / 255, dtype=torch.float64)
    attack = TargetedAscent(most_steps=1, confidence=1e9, **options)  # type: ignore[arg-type]
    with frozen(classifier.module):
        found = attack.propose(classifier, start, torch.tensor([2]), threat, seeds=torch.tensor([0]))
    assert found.steps.tolist() == [1]
    return start, found.pixels


def weights(classifier: Classifier) -> torch.Tensor:
    weight: torch.Tensor = classifier.module[1].weight.detach()  # type: ignore[index, union-attr, assignment]
    return weight


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_step_on_a_linear_model_follows_the_targets_weights(norm: str, linear_classifier: Classifier) -> None:
    threat = Threat(norm, 0.2)  # type: ignore[arg-type]
    start, reached = one_step(linear_classifier, threat, step=0.25)
    weight = weights(linear_classifier)[2].view(3, 8, 8)
    unit = weight.sign() if norm == "linf" else weight / weight.norm()
    torch.testing.assert_close(reached[0], start[0] + 0.25 * 0.2 * unit)


def test_without_a_threat_a_step_has_the_stated_root_mean_square(linear_classifier: Classifier) -> None:
    start, reached = one_step(linear_classifier, None, free_step=2.0)
    torch.testing.assert_close((reached - start).square().mean().sqrt() * 255, torch.tensor(2.0).double())


def test_the_margin_objective_follows_the_lead_over_the_strongest_rival(linear_classifier: Classifier) -> None:
    start, reached = one_step(linear_classifier, Threat("l2", 0.1), objective="margin", step=1.0)
    logits = linear_classifier.logits(start)[0].detach()
    logits[2] = -torch.inf
    slope = weights(linear_classifier)[2] - weights(linear_classifier)[int(logits.argmax())]
    torch.testing.assert_close((reached - start).flatten(), 0.1 * slope / slope.norm())


def test_the_steps_recorded_are_the_least_that_reach_the_target(trained: Classifier, textures: Splits) -> None:
    images, threat = textures.report.subset(range(30)), Threat("linf", 20 / 255)
    targets = random_targets(images.labels, classes=4, generator=torch.Generator().manual_seed(0))

    def ledger(most_steps: int):  # type: ignore[no-untyped-def]
        attack = TargetedAscent(most_steps=most_steps, step=0.05)
        generator = torch.Generator().manual_seed(0)
        return attack_images(attack, trained, images, targets, threat, generator=generator).ledger

    full = ledger(40)
    assert full["success"].all()
    assert full["steps"].nunique() > 2
    middle = int(full["steps"].median())
    short = ledger(middle)
    assert (short["success"] == (full["steps"] <= middle)).all()


def test_an_image_that_already_is_its_target_takes_no_step(trained: Classifier, textures: Splits) -> None:
    images = textures.report.subset(range(10))
    with frozen(trained.module), torch.no_grad():
        clean = trained.logits(images.load().double()).argmax(dim=1).numpy()
    result = attack_images(
        TargetedAscent(), trained, images, clean, Threat("linf", 0.1), generator=torch.Generator().manual_seed(0)
    )
    assert (result.ledger["steps"] == 0).all()
    assert (result.ledger["linf"] == 0).all()
    assert result.ledger["success"].all()


@pytest.mark.parametrize("start", ["noise", "blank"])
def test_it_starts_from_noise_and_from_blank_images(start: str, trained: Classifier, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    pixels = noise_images(8, (16, 16), generator=generator) if start == "noise" else blank_images(8, (16, 16))
    images = stored_set(start, pixels.numpy(), np.zeros(8, dtype=np.int64), folder=tmp_path)
    targets = np.arange(8, dtype=np.int64) % 4
    result = attack_images(TargetedAscent(), trained, images, targets, None, generator=generator)
    assert result.ledger["success"].all()


def test_without_a_threat_the_perturbation_is_drawn_back_to_a_smaller_one(
    trained: Classifier, textures: Splits
) -> None:
    images = textures.report.subset(range(20))
    targets = random_targets(images.labels, classes=4, generator=torch.Generator().manual_seed(0))

    def run(shrinkings: int):  # type: ignore[no-untyped-def]
        attack = TargetedAscent(shrinkings=shrinkings, free_step=4.0)
        return attack_images(attack, trained, images, targets, None, generator=torch.Generator().manual_seed(0)).ledger

    plain, drawn = run(0), run(8)
    assert plain["success"].all()
    assert drawn["success"].all()
    assert (drawn["l2"] <= plain["l2"] + 1e-9).all()
    assert drawn["l2"].sum() < 0.8 * plain["l2"].sum()


def test_confidence_is_the_lead_of_the_delivered_images(trained: Classifier, textures: Splits) -> None:
    images = textures.report.subset(range(20))
    targets = random_targets(images.labels, classes=4, generator=torch.Generator().manual_seed(0))
    attack = TargetedAscent(confidence=1.0, objective="margin")
    result = attack_images(
        attack,
        trained,
        images,
        targets,
        Threat("linf", 40 / 255),
        generator=torch.Generator().manual_seed(0),
        keep=range(20),
    )
    with frozen(trained.module), torch.no_grad():
        logits = trained.logits(result.adversarial.double() / 255)
    wanted = torch.from_numpy(targets)[:, None]
    lead = logits.gather(1, wanted)[:, 0] - logits.scatter(1, wanted, -torch.inf).amax(dim=1)
    stopped_early = torch.from_numpy((result.ledger["steps"] < attack.most_steps).to_numpy(copy=True))
    assert int(stopped_early.sum()) > 10
    assert float(lead[stopped_early].min()) > 1.0


class SilentAtGrey(nn.Module):
    """Has no gradient at all below a brightness that only a random kick can reach."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        excess = torch.relu(inputs.flatten(1) - 0.05).sum(dim=1)
        return torch.stack([torch.ones_like(excess), 100 * excess, -excess, -excess], dim=1)


def test_where_the_gradient_vanishes_a_random_direction_from_the_images_seed_helps_on() -> None:
    silent = as_classifier(SilentAtGrey())
    silent = replace(silent, preprocessing=replace(silent.preprocessing, mean=(0.5, 0.5, 0.5), std=(1.0, 1.0, 1.0)))
    start, targets = torch.full((2, 3, 16, 16), 128 / 255), torch.tensor([1, 1])
    attack, seeds = TargetedAscent(most_steps=20, free_step=3.0, shrinkings=0), torch.tensor([5, 6])
    found = attack.propose(silent, start, targets, None, seeds=seeds)
    again = attack.propose(silent, start[1:], targets[1:], None, seeds=seeds[1:])
    assert bool((silent.logits(found.pixels).argmax(dim=1) == 1).all())
    assert torch.equal(found.pixels[1:], again.pixels)
    assert not torch.equal(found.pixels[0], found.pixels[1])


def test_random_targets_are_every_class_but_the_own_about_equally_often() -> None:
    own = np.repeat(np.arange(5, dtype=np.int64), 400)
    targets = random_targets(own, classes=5, generator=torch.Generator().manual_seed(0))
    assert (targets != own).all()
    counts = np.bincount(targets[own == 3], minlength=5)
    assert counts[3] == 0
    assert counts[[0, 1, 2, 4]].min() > 60
    with pytest.raises(DataError, match="at least two classes"):
        random_targets(own * 0, classes=1, generator=torch.Generator())


@pytest.mark.parametrize("options", [{"objective": "loss"}, {"step": 0.0}, {"most_steps": 0}, {"confidence": -1.0}])
def test_impossible_hyper_parameters_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        TargetedAscent(**options)  # type: ignore[arg-type]
