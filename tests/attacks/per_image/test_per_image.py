"""The driver of per-image attacks: it judges what a stub proposes, whatever the stub would say of itself."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from attacks.base import ImageProposal
from attacks.per_image.driver import attack_images
from attacks.threat import Threat
from wolfhound.classifier import Classifier
from wolfhound.errors import EvidenceError
from wolfhound.images import ImageSet, Splits


@dataclass(frozen=True)
class Shifting:
    """Adds a constant to every pixel and keeps the seeds and targets that it was given."""

    shift: float
    seen: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    name: ClassVar[str] = "shifting"
    source: ClassVar[str] = "this test"
    targeted: ClassVar[bool] = True

    def propose(
        self, classifier: Classifier, pixels: Tensor, targets: Tensor, threat: Threat | None, *, seeds: Tensor
    ) -> ImageProposal:
        assert not classifier.module.training
        assert threat is not None
        self.seen.append((seeds, targets))
        return ImageProposal(pixels + self.shift, torch.full((len(pixels),), 3), torch.full((len(pixels),), 5))


class Leaving(Shifting):
    """The same as an untargeted attack."""

    targeted: ClassVar[bool] = False


@pytest.fixture
def images(textures: Splits) -> ImageSet:
    return textures.report.subset(range(30))


def run(attack: Shifting, classifier: Classifier, images: ImageSet, epsilon: float, **options: object):  # type: ignore[no-untyped-def]
    return attack_images(
        attack,
        classifier,
        images,
        images.labels,
        Threat("linf", epsilon),
        generator=torch.Generator().manual_seed(0),
        **options,  # type: ignore[arg-type]
    )


def test_an_untargeted_attack_succeeds_where_the_class_was_left_and_a_targeted_one_where_it_was_reached(
    trained: Classifier, images: ImageSet
) -> None:
    left = run(Leaving(0.4), trained, images, 0.4).ledger
    assert (left["success"] == (left["adversarial"] != images.labels)).all()
    assert 0 < left["success"].sum() < len(images)
    reached = run(Shifting(0.4), trained, images, 0.4).ledger
    assert (reached["success"] == ~left["success"]).all()


def test_what_is_too_large_is_bounded_before_it_is_judged(trained: Classifier, images: ImageSet) -> None:
    result = run(Shifting(0.4), trained, images, 5 / 255, keep=range(30))
    originals = (images.load() * 255).round()
    assert torch.equal(result.adversarial.float(), (originals + 5).clamp(max=255))
    np.testing.assert_allclose(result.ledger["linf"], 5 / 255)
    assert (result.ledger["steps"] == 3).all()
    assert (result.ledger["queries"] == 5).all()


def test_every_image_has_one_seed_of_its_own_however_images_are_batched(trained: Classifier, images: ImageSet) -> None:
    whole, small = Shifting(0.0), Shifting(0.0)
    run(whole, trained, images, 0.1, batch_size=30)
    run(small, trained, images, 0.1, batch_size=7)
    assert len(small.seen) == 5
    seeds = torch.cat([seeds for seeds, _ in small.seen])
    assert torch.equal(seeds, whole.seen[0][0])
    assert len(set(seeds.tolist())) == 30
    assert torch.equal(torch.cat([targets for _, targets in small.seen]), torch.from_numpy(images.labels))


def test_pixels_that_are_not_finite_are_refused(trained: Classifier, images: ImageSet) -> None:
    with pytest.raises(EvidenceError, match="finite"):
        run(Shifting(float("nan")), trained, images, 0.1)


def test_the_images_asked_for_are_kept_in_their_order(trained: Classifier, images: ImageSet) -> None:
    everything = run(Shifting(0.0), trained, images, 0.1, keep=range(30))
    some = run(Shifting(0.0), trained, images, 0.1, keep=(20, 3), batch_size=8)
    assert some.kept == (20, 3)
    assert torch.equal(some.adversarial, everything.adversarial[[20, 3]])
    assert run(Shifting(0.0), trained, images, 0.1).adversarial.shape == (0, 3, 16, 16)
