"""SGD-UAP against closed forms on a linear model, and its gradient against a loop over images."""

import pytest
import torch
from torch.nn import functional

from attacks.base import Proposal
from attacks.threat import Threat
from attacks.universal.ensemble import labelled, mean_gradient
from attacks.universal.sgd import SgdUniversal
from tests.attacks.running import after_passes
from tests.attacks.universal.universal_literal import by_torch_adam, predicted
from wolfhound.classifier import Classifier, frozen
from wolfhound.images import ImageSet, Splits


def proposals(attack: SgdUniversal, classifier: Classifier, images: ImageSet, threat: Threat) -> list[Proposal]:
    return after_passes(attack, [classifier], images, threat, chunk=5)


def loss_gradient(attack: SgdUniversal, classifier: Classifier, images: ImageSet, delta: torch.Tensor) -> torch.Tensor:
    """Return the gradient of the mean loss over all of `images` with their given labels."""
    threat, positions = Threat("linf", 1.0), torch.arange(len(images))
    members = labelled([classifier], images, threat, labels="given", chunk=5)
    with frozen(classifier.module):
        return mean_gradient(attack.losses, members, images, positions, delta, chunk=5)


@pytest.fixture
def middling(make_images):  # type: ignore[no-untyped-def]
    """Twelve images of 8x8 far from black and white, so that no pixel is clipped."""
    images = make_images([0, 1, 2, 3] * 3)
    pixels = 100 + images.pixels.read(images.rows) // 8
    pixels.tofile(images.pixels.path)
    return images


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_one_step_on_a_linear_model_is_the_closed_form(
    norm: str, middling: ImageSet, linear_classifier: Classifier
) -> None:
    threat = Threat(norm, 0.05)  # type: ignore[arg-type]
    attack = SgdUniversal(passes=1, images_per_update=12, step=0.5, clip=1e9)
    (proposal,) = proposals(attack, linear_classifier, middling, threat)
    weight = linear_classifier.module[1].weight.detach()  # type: ignore[index, union-attr]
    logits = linear_classifier.logits(middling.load().double()).detach()
    residual = logits.softmax(dim=1) - functional.one_hot(logits.argmax(dim=1), 4)
    gradient = (residual @ weight).sum(dim=0).view(3, 8, 8)
    unit = gradient.sign() if norm == "linf" else gradient / gradient.norm()
    torch.testing.assert_close(proposal.delta, 0.5 * 0.05 * unit)


def test_images_above_the_clip_no_longer_count(middling: ImageSet, linear_classifier: Classifier) -> None:
    pixels, labels = middling.load().double(), torch.from_numpy(middling.labels)
    losses = functional.cross_entropy(linear_classifier.logits(pixels), labels, reduction="none").detach()
    clip = float(losses.median())
    assert 0 < int((losses > clip).sum()) < 12
    attack, delta = SgdUniversal(clip=clip), torch.zeros(3, 8, 8, dtype=torch.float64)
    whole = loss_gradient(attack, linear_classifier, middling, delta)
    counting = middling.subset(torch.nonzero(losses <= clip)[:, 0].tolist())
    expected = loss_gradient(attack, linear_classifier, counting, delta) * len(counting) / 12
    torch.testing.assert_close(whole, expected, rtol=1e-9, atol=1e-12)
    alone = loss_gradient(
        attack, linear_classifier, middling.subset(torch.nonzero(losses > clip)[:, 0].tolist()), delta
    )
    assert not alone.any()


def test_the_batch_gradient_is_the_mean_over_images_of_the_clipped_image(trained: Classifier, textures: Splits) -> None:
    pixels, labels = textures.craft.load(slice(0, 6)).double(), torch.from_numpy(textures.craft.labels[:6])
    delta = 0.4 * torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = torch.zeros_like(delta)
    with frozen(trained.module):
        for image, label in zip(pixels, labels, strict=True):
            shown = (image + delta).clamp(0, 1).requires_grad_()
            loss = functional.cross_entropy(trained.logits(shown[None]), label[None])
            (gradient,) = torch.autograd.grad(loss, shown)
            inside = (image + delta >= 0) & (image + delta <= 1)
            expected += gradient * inside
    found = loss_gradient(SgdUniversal(clip=1e9), trained, textures.craft.subset(range(6)), delta)
    assert not bool((expected == 0).all())
    torch.testing.assert_close(found, expected / 6, rtol=1e-9, atol=1e-12)


def test_by_adam_it_is_torchs_on_the_clipped_cross_entropy_image_by_image(
    linear_classifier: Classifier, middling: ImageSet
) -> None:
    labels = predicted(linear_classifier, middling)

    def loss(shown: torch.Tensor, position: int) -> torch.Tensor:
        wrong = functional.cross_entropy(linear_classifier.logits(shown), torch.tensor([labels[position]]))
        return -wrong.clamp(max=1.0)

    expected = by_torch_adam(loss, middling, epsilon=0.1, passes=3, size=5, step=0.3, decays=True)
    attack = SgdUniversal(passes=3, images_per_update=5, step=0.3, clip=1.0, optimiser="adam")
    found = proposals(attack, linear_classifier, middling, Threat("linf", 0.1))[-1]
    assert bool((expected.abs() < 0.1).any())
    torch.testing.assert_close(found.delta, expected, rtol=0, atol=1e-9)


def test_pseudo_labels_are_the_predictions_and_given_labels_the_sets(
    middling: ImageSet, linear_classifier: Classifier
) -> None:
    predicted = linear_classifier.logits(middling.load().double()).argmax(dim=1).numpy()
    assert (predicted != middling.labels).any()
    relabelled = ImageSet(
        middling.name, middling.pixels, middling.rows, predicted, middling.class_names, middling.hashes
    )
    threat, options = Threat("linf", 0.05), {"passes": 2, "images_per_update": 4}
    by_prediction = proposals(SgdUniversal(**options), linear_classifier, middling, threat)[-1].delta  # type: ignore[arg-type]
    by_label = SgdUniversal(**options, labels="given")  # type: ignore[arg-type]
    assert torch.equal(by_prediction, proposals(by_label, linear_classifier, relabelled, threat)[-1].delta)
    assert not torch.equal(by_prediction, proposals(by_label, linear_classifier, middling, threat)[-1].delta)


def test_with_a_target_most_images_reach_it(trained: Classifier, textures: Splits) -> None:
    threat = Threat("linf", 20 / 255, target=2)
    delta = proposals(SgdUniversal(passes=5, images_per_update=24), trained, textures.craft, threat)[-1].delta
    with frozen(trained.module), torch.no_grad():
        clean = trained.logits(textures.report.load().double()).argmax(dim=1)
        shown = trained.logits((textures.report.load().double() + delta).clamp(0, 1)).argmax(dim=1)
    assert float((clean == 2).double().mean()) < 0.4
    assert float((shown == 2).double().mean()) > 0.8


def test_every_image_is_used_once_a_pass(trained: Classifier, textures: Splits) -> None:
    found = proposals(SgdUniversal(passes=3, images_per_update=40), trained, textures.craft, Threat("linf", 0.1))
    assert [(row.passes, row.gradients) for row in found] == [(1, 96), (2, 192), (3, 288)]
