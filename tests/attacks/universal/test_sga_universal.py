"""SGA-UAP against algorithm 1 of the paper, one image at a time."""

import torch

from attacks.threat import Threat
from attacks.universal.sga import SgaUniversal
from tests.attacks.universal.test_df_universal import share_of
from tests.attacks.universal.universal_literal import last_proposal, sga
from wolfhound.classifier import Classifier
from wolfhound.images import ImageSet, Splits


def test_it_is_the_paper_s_algorithm_image_by_image(linear_classifier: Classifier, make_images) -> None:  # type: ignore[no-untyped-def]
    images: ImageSet = make_images([0, 1, 2, 3] * 5)
    settings = {"rounds": 3, "step": 0.15, "clip": 4.0, "passes": 2}
    expected = sga(linear_classifier, images, epsilon=0.1, outer=8, inner=3, **settings)  # type: ignore[arg-type]
    attack = SgaUniversal(images_per_update=8, inner_images=3, augment="none", **settings)  # type: ignore[arg-type]
    found = last_proposal(attack, linear_classifier, images, Threat("linf", 0.1), chunk=2)
    assert bool((expected.abs() < 0.1).any())
    torch.testing.assert_close(found.delta, expected, rtol=0, atol=1e-12)
    assert found.gradients == 2 * (2 * 3 * 8 + 3 * 4) == attack.gradients(20)


def test_a_last_outer_update_smaller_than_an_inner_step_uses_all_its_images(
    linear_classifier: Classifier, make_images
) -> None:  # type: ignore[no-untyped-def]
    images: ImageSet = make_images([0, 1, 2, 3, 0])
    attack = SgaUniversal(passes=1, images_per_update=4, inner_images=4, rounds=2)
    assert last_proposal(attack, linear_classifier, images, Threat("linf", 0.1)).gradients == 8 + 2
    assert attack.gradients(5) == 10


def test_with_a_target_most_images_reach_it(trained: Classifier, textures: Splits) -> None:
    threat = Threat("linf", 20 / 255, target=2)
    attack = SgaUniversal(passes=4, images_per_update=32, step=0.2, augment="none")
    delta = last_proposal(attack, trained, textures.craft, threat, chunk=32).delta
    assert share_of(trained, textures, delta, 2) > 0.8
