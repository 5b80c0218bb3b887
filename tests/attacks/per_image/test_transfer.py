"""Transfer: crafted on the surrogate, judged on the target, which is never asked."""

from dataclasses import replace

import pytest
import torch

from attacks.per_image.apgd import ApgdCrossEntropy
from attacks.per_image.driver import attack_images
from attacks.per_image.transfer import Surrogate, Transfer
from attacks.threat import Threat
from tests.attacks.conftest import as_classifier, network
from tests.attacks.crashing import CrashingAfter, assert_same, mixed_state, snapshot
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import PlanError
from wolfhound.images import ImageSet, Splits

THREAT = Threat("linf", 12 / 255)


@pytest.fixture
def images(textures: Splits) -> ImageSet:
    return textures.report.subset(range(30))


@pytest.fixture
def stranger(trained: Classifier) -> Classifier:
    """A network of the same classes whose weights are the trained ones, disturbed."""
    module = network().double()
    module.load_state_dict(trained.module.state_dict())
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.03 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return as_classifier(module.eval(), name="stranger")


def test_what_transfers_is_what_the_surrogate_was_attacked_with(
    trained: Classifier, stranger: Classifier, images: ImageSet
) -> None:
    inner = ApgdCrossEntropy(iterations=10)
    attack = Transfer(inner, Surrogate(stranger))
    silent = replace(trained, module=CrashingAfter(trained.module, 0))
    pixels, labels, seeds = images.load().double(), torch.from_numpy(images.labels), torch.arange(30)
    found = attack.propose(silent, pixels, labels, THREAT, seeds=seeds)
    with frozen(stranger.module):
        direct = inner.propose(stranger, pixels, labels, THREAT, seeds=seeds)
    assert torch.equal(found.pixels, direct.pixels)
    assert torch.equal(found.steps, direct.steps)
    assert not found.queries.any()
    assert attack.access == "transfer"
    assert not attack.targeted
    assert Transfer(ApgdCrossEntropy(targeted=True), Surrogate(stranger)).targeted


def test_success_is_judged_on_the_target(trained: Classifier, stranger: Classifier, images: ImageSet) -> None:
    def ledger(attack: ApgdCrossEntropy | Transfer):  # type: ignore[no-untyped-def]
        generator = torch.Generator().manual_seed(0)
        return attack_images(attack, trained, images, images.labels, THREAT, generator=generator, keep=range(30))

    inner = ApgdCrossEntropy(iterations=10)
    moved = ledger(Transfer(inner, Surrogate(stranger)))
    with frozen(trained.module), torch.no_grad():
        predicted = trained.logits(moved.adversarial.double() / 255).argmax(dim=1).numpy()
    assert (moved.ledger["adversarial"] == predicted).all()
    assert 0 < moved.ledger["success"].sum() < ledger(inner).ledger["success"].sum()
    assert ledger(Transfer(inner, Surrogate(trained))).ledger["success"].equals(ledger(inner).ledger["success"])


def test_the_surrogate_is_left_as_it_was_and_printed_by_its_digest(
    trained: Classifier, stranger: Classifier, images: ImageSet
) -> None:
    mixed_state(stranger)
    before = snapshot(stranger)
    attack = Transfer(ApgdCrossEntropy(iterations=2), Surrogate(stranger))
    result = attack_images(attack, trained, images, images.labels, THREAT, generator=torch.Generator().manual_seed(0))
    assert_same(before, snapshot(stranger))
    assert repr(result.options["surrogate"]) == f"Surrogate('stranger', {stranger.weights_digest[:16]})"
    assert result.options["inner"]["iterations"] == 2


def test_a_surrogate_of_other_classes_is_refused(
    trained: Classifier, linear_classifier: Classifier, images: ImageSet
) -> None:
    attack = Transfer(ApgdCrossEntropy(), Surrogate(linear_classifier))
    pixels, labels = images.load().double(), torch.from_numpy(images.labels)
    with pytest.raises(PlanError, match="expected a surrogate with the classes of textures"):
        attack.propose(trained, pixels, labels, THREAT, seeds=torch.arange(30))
