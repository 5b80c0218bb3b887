"""Cosine-UAP against torch's Adam on the cosine as the paper writes it."""

import pytest
import torch

from attacks.threat import Threat
from attacks.universal.cosine import CosineUniversal
from tests.attacks.universal.universal_literal import by_torch_adam, last_proposal
from wolfhound.classifier import Classifier
from wolfhound.errors import PlanError
from wolfhound.images import ImageSet, Splits


def test_it_is_the_paper_s_rule_image_by_image(linear_classifier: Classifier, make_images) -> None:  # type: ignore[no-untyped-def]
    images: ImageSet = make_images([0, 1, 2, 3] * 3)

    def loss(shown: torch.Tensor, position: int) -> torch.Tensor:
        perturbed = linear_classifier.logits(shown)[0]
        clean = linear_classifier.logits(images.load([position]).double())[0].detach()
        return (perturbed * clean).sum() / (perturbed.norm() * clean.norm())

    expected = by_torch_adam(loss, images, epsilon=0.1, passes=2, size=5, step=0.2, decays=False, noise=0.1)
    attack = CosineUniversal(passes=2, images_per_update=5, step=0.2, decay="none", augment="none")
    found = last_proposal(attack, linear_classifier, images, Threat("linf", 0.1))
    assert bool((expected.abs() < 0.1).any())
    torch.testing.assert_close(found.delta, expected, rtol=0, atol=1e-9)


def test_the_labels_of_the_images_do_not_matter(trained: Classifier, textures: Splits) -> None:
    craft = textures.craft
    other = ImageSet(craft.name, craft.pixels, craft.rows, 3 - craft.labels, craft.class_names, craft.hashes)
    one, two = (
        last_proposal(CosineUniversal(passes=1), trained, images, Threat("linf", 0.1)).delta
        for images in (craft, other)
    )
    assert torch.equal(one, two)


def test_a_target_is_refused(trained: Classifier, textures: Splits) -> None:
    with pytest.raises(PlanError, match="cosine_uap: expected an untargeted threat"):
        last_proposal(CosineUniversal(), trained, textures.craft, Threat("linf", 0.1, target=1))
