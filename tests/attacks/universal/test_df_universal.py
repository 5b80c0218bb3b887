"""DF-UAP against torch's Adam on the margin as the paper writes it."""

from typing import Literal

import pytest
import torch

from attacks.threat import Threat
from attacks.universal.df import DfUniversal
from attacks.universal.losses import lead_of_others, lead_of_target
from tests.attacks.universal.universal_literal import by_torch_adam, last_proposal, predicted
from wolfhound.classifier import Classifier
from wolfhound.images import ImageSet, Splits


@pytest.mark.parametrize("decay", ["none", "cosine"])
def test_it_is_the_paper_s_rule_image_by_image(
    decay: Literal["none", "cosine"], linear_classifier: Classifier, make_images
) -> None:  # type: ignore[no-untyped-def]
    images: ImageSet = make_images([0, 1, 2, 3] * 3)
    labels = predicted(linear_classifier, images)

    def loss(shown: torch.Tensor, position: int) -> torch.Tensor:
        logits = linear_classifier.logits(shown)[0]
        label = labels[position]
        others = torch.cat([logits[:label], logits[label + 1 :]])
        return torch.clamp(logits[label] - others.max(), min=-2.0)

    expected = by_torch_adam(loss, images, epsilon=0.1, passes=3, size=5, step=0.3, decays=decay == "cosine")
    attack = DfUniversal(passes=3, images_per_update=5, step=0.3, decay=decay, confidence=2.0, augment="none")
    found = last_proposal(attack, linear_classifier, images, Threat("linf", 0.1))
    assert bool((expected.abs() < 0.1).any())
    torch.testing.assert_close(found.delta, expected, rtol=0, atol=1e-9)


def test_an_image_led_by_more_than_the_confidence_no_longer_counts(linear_classifier: Classifier) -> None:
    pixels = torch.rand(20, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits = linear_classifier.logits(pixels).detach()
    order = logits.argsort(dim=1, descending=True)
    leads = logits.gather(1, order[:, :1])[:, 0] - logits.gather(1, order[:, 1:2])[:, 0]
    most = float(leads.median())
    at = pixels.requires_grad_()
    second = lead_of_others(linear_classifier, at, order[:, 1], most=most)
    torch.testing.assert_close(second.detach(), leads.clamp(max=most))
    torch.testing.assert_close(
        lead_of_target(linear_classifier, at, order[:, 0], most=most).detach(), leads.clamp(max=most)
    )
    (gradient,) = torch.autograd.grad(second.sum(), at)
    assert torch.equal(gradient.flatten(1).any(dim=1), leads <= most)


def test_with_a_target_most_images_reach_it(trained: Classifier, textures: Splits) -> None:
    threat = Threat("linf", 20 / 255, target=2)
    delta = last_proposal(DfUniversal(passes=8), trained, textures.craft, threat, chunk=32).delta
    assert share_of(trained, textures, delta, 2) > 0.8
    assert share_of(trained, textures, torch.zeros_like(delta), 2) < 0.4


def share_of(classifier: Classifier, splits: Splits, delta: torch.Tensor, target: int) -> float:
    """Return the share of held-out images predicted as `target` under `delta`."""
    with torch.no_grad():
        shown = (splits.report.load().double() + delta).clamp(0, 1)
        return float((classifier.logits(shown).argmax(dim=1) == target).double().mean())
