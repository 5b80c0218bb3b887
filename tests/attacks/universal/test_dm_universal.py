"""DM-UAP against the maximin of the paper, on copies of the network, and what it leaves of the network."""

import math

import pytest
import torch
from torch.nn import functional

from attacks.threat import Threat
from attacks.universal import ensemble
from attacks.universal.dm import DmUniversal, borrowed_weights
from tests.attacks.crashing import assert_same, mixed_state, snapshot
from tests.attacks.universal.test_df_universal import share_of
from tests.attacks.universal.universal_literal import clipped_loss, hardest_pair, last_proposal, minibatches, predicted
from wolfhound.classifier import Classifier, frozen
from wolfhound.images import Splits

EPSILON = 0.1


def literal(classifier: Classifier, splits: Splits, attack: DmUniversal) -> torch.Tensor:
    """Return v after every pass of `attack` as the paper writes it, with torch's Adam (linf)."""
    images, generator = splits.craft.subset(range(7)), torch.Generator().manual_seed(0)
    labels = predicted(classifier, images)
    delta = torch.zeros(3, *images.size, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([delta], lr=attack.step * EPSILON)
    per_pass = math.ceil(len(images) / attack.images_per_update)
    for done, group in enumerate(minibatches(len(images), attack.passes, attack.images_per_update, generator)):
        ramp = (done // per_pass + 1) / attack.passes
        other, moved = hardest_pair(
            classifier,
            images,
            group,
            labels,
            weight_radius=ramp * attack.weight_radius,
            weight_steps=attack.weight_steps,
            image_radius=ramp * attack.image_radius,
            image_steps=attack.image_steps,
            smoothing=attack.smoothing,
        )
        optimiser.zero_grad()
        for i, image in zip(group, moved, strict=True):
            (-clipped_loss(other, (image + delta).clamp(0, 1), labels[i], attack.clip) / len(group)).backward()
        optimiser.step()
        with torch.no_grad():
            delta.clamp_(-EPSILON, EPSILON)
    return delta.detach()


def test_it_is_the_paper_s_maximin_image_by_image(trained: Classifier, textures: Splits) -> None:
    attack = DmUniversal(
        passes=2,
        images_per_update=4,
        augment="none",
        step=0.3,
        weight_radius=0.05,
        weight_steps=2,
        image_radius=0.05,
        image_steps=9,
    )
    with frozen(trained.module):
        expected = literal(trained, textures, attack)
    found = last_proposal(attack, trained, textures.craft.subset(range(7)), Threat("linf", EPSILON), chunk=3)
    assert bool((expected.abs() < EPSILON).any())
    torch.testing.assert_close(found.delta, expected, rtol=0, atol=1e-7)
    assert found.gradients == 2 * 7 * (2 + 9 + 1)


def test_without_radii_it_ascends_at_the_given_weights_and_images(trained: Classifier, textures: Splits) -> None:
    ten = textures.craft.subset(range(10))
    still = DmUniversal(passes=1, augment="none", weight_radius=0.0, image_radius=0.0)
    moving = DmUniversal(passes=1, augment="none")
    one, other = (last_proposal(attack, trained, ten, Threat("linf", EPSILON)).delta for attack in (still, moving))
    assert not torch.equal(one, other)
    labels, images = torch.tensor(predicted(trained, ten)), ten.load().double()
    with frozen(trained.module):
        at = torch.zeros_like(one, requires_grad=True)
        functional.cross_entropy(trained.logits((images + at).clamp(0, 1)), labels).backward()
    assert at.grad is not None
    torch.testing.assert_close(one, still.step * EPSILON * at.grad / (at.grad.abs() + 1e-8), rtol=0, atol=1e-9)


def test_mixed_images_are_labelled_before_the_weights_move(
    trained: Classifier, textures: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, asked = next(trained.module.parameters()), []
    predicts = ensemble.predicted

    def noted(classifier: Classifier, pixels: torch.Tensor) -> torch.Tensor:
        asked.append(weights.detach().clone())
        return predicts(classifier, pixels)

    monkeypatch.setattr(ensemble, "predicted", noted)
    before = weights.detach().clone()
    attack = DmUniversal(passes=1, images_per_update=5, augment="mixes", weight_radius=0.5)
    last_proposal(attack, trained, textures.craft.subset(range(10)), Threat("linf", EPSILON), chunk=3)
    assert len(asked) == 4
    assert all(torch.equal(one, before) for one in asked)


def spoil_and_fail(classifier: Classifier) -> None:
    """Change every weight in place, then divide by zero."""
    with borrowed_weights(classifier.module) as weights:
        assert all(weight.requires_grad for weight in weights)
        with torch.no_grad():
            for weight in weights:
                weight.mul_(1 / 3).add_(0.1)
        raise ZeroDivisionError


def test_borrowed_weights_come_back_bit_for_bit_after_an_error(trained: Classifier) -> None:
    mixed_state(trained)
    before = snapshot(trained)
    with pytest.raises(ZeroDivisionError):
        spoil_and_fail(trained)
    assert_same(before, snapshot(trained))


def test_with_a_target_most_images_reach_it(trained: Classifier, textures: Splits) -> None:
    threat = Threat("linf", 20 / 255, target=2)
    delta = last_proposal(DmUniversal(passes=4, augment="none"), trained, textures.craft, threat, chunk=32).delta
    assert share_of(trained, textures, delta, 2) > 0.8


@pytest.mark.parametrize("options", [{"weight_radius": -0.1}, {"image_radius": -1.0}, {"smoothing": 1.0}])
def test_impossible_radii_and_smoothing_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected radii of at least 0"):
        DmUniversal(**options)  # type: ignore[arg-type]
