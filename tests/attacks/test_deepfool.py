"""Batched DeepFool against its literal replica, and against the closed form on an affine classifier."""

import pytest
import torch

from attacks.deepfool_steps import BEYOND, deepfool
from attacks.threat import Threat
from attacks.universal.deepfool import DeepFoolUniversal
from tests.attacks.deepfool_literal import deepfool_one, universal_one_by_one
from tests.attacks.running import after_passes
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import PlanError
from wolfhound.images import Splits


@pytest.mark.parametrize("candidates", [2, 3, 10])
@pytest.mark.parametrize("max_steps", [1, 2, 10])
def test_the_batch_agrees_with_the_literal_replica(
    candidates: int, max_steps: int, trained: Classifier, textures: Splits
) -> None:
    pixels = textures.craft.load(slice(0, 16)).double()
    with frozen(trained.module):
        labels = trained.logits(pixels).argmax(dim=1)
        found = deepfool(trained, pixels, labels, candidates=candidates, overshoot=0.02, max_steps=max_steps)
        work = 0
        for position, image in enumerate(pixels):
            delta, changed, steps = deepfool_one(
                trained, image, candidates=candidates, overshoot=0.02, max_steps=max_steps
            )
            torch.testing.assert_close(found.delta[position], delta, rtol=1e-7, atol=1e-10)
            assert bool(found.crossed[position]) == changed
            work += steps * (min(candidates, 4) - 1)
    assert found.gradients == work


def test_on_an_affine_classifier_one_step_is_the_distance_to_the_nearest_boundary(
    linear_classifier: Classifier,
) -> None:
    pixels = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    weight = linear_classifier.module[1].weight.detach()  # type: ignore[index, union-attr]
    with frozen(linear_classifier.module):
        logits = linear_classifier.logits(pixels).detach()
        labels = logits.argmax(dim=1)
        found = deepfool(linear_classifier, pixels, labels, candidates=4, overshoot=0.02, max_steps=10)
    assert bool(found.crossed.all())
    for delta, row, label in zip(found.delta, logits, labels, strict=True):
        gaps = {k: (row[label] - row[k]) / (weight[k] - weight[label]).norm() for k in range(4) if k != label}
        nearest = min(gaps, key=lambda k: float(gaps[k]))
        direction = (weight[nearest] - weight[label]) / (weight[nearest] - weight[label]).norm()
        torch.testing.assert_close(delta.flatten(), 1.02 * (gaps[nearest] + BEYOND) * direction)


def test_where_every_gradient_vanishes_nothing_moves_and_nothing_breaks(linear_classifier: Classifier) -> None:
    with torch.no_grad():
        for parameter in linear_classifier.module.parameters():
            parameter.zero_()
    pixels = torch.rand(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with frozen(linear_classifier.module):
        found = deepfool(linear_classifier, pixels, torch.zeros(2).long(), candidates=4, overshoot=0.02, max_steps=3)
    assert not found.delta.any()
    assert not found.crossed.any()


def test_one_image_an_update_and_the_bare_sum_is_the_papers_algorithm(trained: Classifier, textures: Splits) -> None:
    images, threat = textures.craft.subset(range(24)), Threat("linf", 16 / 255)
    attack = DeepFoolUniversal(passes=1, images_per_update=1, reach=0.0, candidates=3)
    with frozen(trained.module):
        (proposal,) = after_passes(attack, [trained], images, threat, seed=4, chunk=8)
        order = torch.randperm(24, generator=torch.Generator().manual_seed(4)).tolist()
        expected = universal_one_by_one(
            trained, images.load().double(), order, epsilon=threat.epsilon, candidates=3, max_steps=10
        )
    assert float(expected.abs().max()) > 0
    torch.testing.assert_close(proposal.delta, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("threat", [Threat("l2", 3.0), Threat("linf", 0.1)], ids=lambda threat: threat.norm)
@pytest.mark.parametrize("reach", [0.0, 0.3])
def test_a_group_adds_the_steps_of_its_images_at_the_length_of_its_reach(
    reach: float, threat: Threat, trained: Classifier, textures: Splits
) -> None:
    images = textures.craft.subset(range(10))
    attack = DeepFoolUniversal(passes=1, images_per_update=10, reach=reach, candidates=4)
    with frozen(trained.module):
        (proposal,) = after_passes(attack, [trained], images, threat, seed=0, chunk=4)
        pixels = images.load().double()
        total = sum(deepfool_one(trained, x, candidates=4, overshoot=0.02, max_steps=10)[0] for x in pixels)
    assert isinstance(total, torch.Tensor)
    radius = 3.0 if threat.norm == "l2" else 0.1 * (3 * 16 * 16) ** 0.5
    expected = threat.project(total if reach == 0 else total / total.norm() * reach * radius)
    torch.testing.assert_close(proposal.delta, expected, rtol=1e-6, atol=1e-9)


def test_steps_that_did_not_reach_their_boundary_do_not_count(trained: Classifier, textures: Splits) -> None:
    images, threat = textures.craft.subset(range(30)), Threat("l2", 50.0)
    attack = DeepFoolUniversal(passes=1, images_per_update=30, reach=0.0, steps_per_image=1)
    with frozen(trained.module):
        (proposal,) = after_passes(attack, [trained], images, threat, seed=0, chunk=30)
        found = [deepfool_one(trained, x, candidates=4, overshoot=0.02, max_steps=1) for x in images.load().double()]
    reached = [delta for delta, changed, _ in found if changed]
    assert 0 < len(reached) < 30
    torch.testing.assert_close(proposal.delta, torch.stack(reached).sum(dim=0), rtol=1e-6, atol=1e-9)


def test_a_group_that_is_half_fooled_moves_half_as_far(trained: Classifier, textures: Splits) -> None:
    images, threat = textures.craft.subset(range(20)), Threat("l2", 50.0)
    attack = DeepFoolUniversal(passes=2, images_per_update=20, reach=0.02)
    with frozen(trained.module):
        first, second = after_passes(attack, [trained], images, threat, chunk=20)
        pixels = images.load().double()
        clean = trained.logits(pixels).argmax(dim=1)
        kept = trained.logits((pixels + first.delta).clamp(0, 1)).argmax(dim=1) == clean
    assert 0 < int(kept.sum()) < 20
    moved = (second.delta - first.delta).norm()
    torch.testing.assert_close(moved, 0.02 * 50.0 * kept.double().mean(), rtol=1e-6, atol=1e-9)


def test_it_stops_after_the_pass_that_met_enough_images_already_fooled(trained: Classifier, textures: Splits) -> None:
    threat = Threat("linf", 24 / 255)

    def passes(enough: float) -> int:
        attack = DeepFoolUniversal(passes=6, enough=enough)
        return len(after_passes(attack, [trained], textures.craft, threat, chunk=96))

    assert passes(0.3) < passes(1.0)


def test_a_target_is_refused(trained: Classifier, textures: Splits) -> None:
    with pytest.raises(PlanError, match="untargeted"):
        next(
            DeepFoolUniversal().proposals(
                [trained],
                textures.craft,
                Threat("linf", 0.1, target=1),
                generator=torch.Generator(),
                chunk=8,
                advance=lambda _: None,
            )
        )


@pytest.mark.parametrize("options", [{"passes": 0}, {"reach": -1.0}, {"candidates": 1}, {"overshoot": -0.1}])
def test_impossible_hyper_parameters_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        DeepFoolUniversal(**options)  # type: ignore[arg-type]
