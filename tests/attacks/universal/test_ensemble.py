"""Several networks at once: the mean of their losses, each with its own labels and input size."""

from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from attacks.threat import Threat
from attacks.universal.ensemble import Member, all_frozen, labelled, mean_gradient
from attacks.universal.views import Viewed
from tests.attacks.crashing import CrashError, assert_same, mixed_state, snapshot
from wolfhound.classifier import Classifier
from wolfhound.images import Splits


def cross_entropy(classifier: Classifier, shown: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(classifier.logits(shown), labels, reduction="none")


@pytest.fixture
def smaller(trained: Classifier) -> Classifier:
    """A network of 8x8 pixels in float32, untrained, that predicts otherwise than `trained`."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return replace(
        trained, name="smaller", module=module, preprocessing=replace(trained.preprocessing, input_size=(8, 8))
    )


def test_the_gradient_is_that_of_the_mean_loss_over_images_and_networks(
    trained: Classifier, smaller: Classifier, textures: Splits
) -> None:
    images, positions = textures.craft, torch.tensor([5, 0, 9, 30, 2])
    delta = 0.05 * torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with all_frozen((trained, smaller)):
        members = labelled((trained, smaller), images, Threat("linf", 1.0), chunk=7)
        found = mean_gradient(cross_entropy, members, images, positions, delta, chunk=2)
        at = delta.clone().requires_grad_()
        losses = []
        for position in positions.tolist():
            pixels = images.load([position]).double()
            for classifier, dtype in ((trained, torch.float64), (smaller, torch.float32)):
                label = classifier.logits(pixels.to(dtype)).argmax(dim=1)
                losses.append(cross_entropy(classifier, (pixels + at).clamp(0, 1).to(dtype), label).double())
        (expected,) = torch.autograd.grad(torch.cat(losses).mean(), at)
    assert (members[0].known != members[1].known).any()
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def test_a_target_or_given_labels_are_the_same_for_every_network(
    trained: Classifier, smaller: Classifier, textures: Splits
) -> None:
    both = (trained, smaller)
    for member in labelled(both, textures.craft, Threat("linf", 0.1, target=3), chunk=50):
        assert member.known.tolist() == [3] * 96
    for member in labelled(both, textures.craft, Threat("linf", 0.1), labels="given", chunk=50):
        assert member.known.tolist() == textures.craft.labels.tolist()


def test_of_images_composed_of_two_each_network_is_asked_what_they_show(
    trained: Classifier, smaller: Classifier, textures: Splits
) -> None:
    positions, both = torch.arange(20), (trained, smaller)
    viewed = Viewed.drawn(textures.craft, positions, "mixes", generator=torch.Generator().manual_seed(0))
    pixels, threat = viewed.load(positions.numpy()), Threat("linf", 0.1)
    for classifier, member in zip(both, labelled(both, textures.craft, threat, chunk=50), strict=True):
        placed = pixels.to(classifier.dtype)
        shown = classifier.logits(placed).argmax(dim=1)
        assert (shown != member.known[:20]).any()
        assert torch.equal(member.knows(viewed, positions, placed), shown)
        assert torch.equal(member.knows(replace(viewed, pieces=None), positions, placed), member.known[:20])
    seen: list[Tensor] = []

    def noted(_: Classifier, shown: Tensor, labels: Tensor) -> Tensor:
        seen.append(labels)
        return shown.flatten(1).sum(dim=1)

    delta = torch.full((3, 16, 16), 0.3, dtype=torch.float64)
    mean_gradient(noted, labelled((trained,), textures.craft, threat, chunk=50), viewed, positions, delta, chunk=7)
    assert torch.equal(torch.cat(seen), trained.logits(pixels.double()).argmax(dim=1))


@pytest.mark.parametrize("labels", ["given", "predicted"])
def test_a_given_label_and_a_target_hold_for_images_composed_of_two(
    labels: Literal["given", "predicted"], trained: Classifier, textures: Splits
) -> None:
    positions, target = torch.arange(20), None if labels == "given" else 3
    viewed = Viewed.drawn(textures.craft, positions, "mixes", generator=torch.Generator().manual_seed(0))
    (member,) = labelled((trained,), textures.craft, Threat("linf", 0.1, target=target), labels=labels, chunk=50)
    wanted = [3] * 20 if target else textures.craft.labels[:20].tolist()
    assert member.knows(viewed, positions, viewed.load(positions.numpy()).double()).tolist() == wanted


def test_each_image_is_read_once_for_all_networks(
    trained: Classifier, smaller: Classifier, textures: Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    images = textures.craft
    original = type(images.pixels).read

    def counting(self, rows):  # type: ignore[no-untyped-def]
        read.extend(rows.tolist())
        return original(self, rows)

    monkeypatch.setattr(type(images.pixels), "read", counting)
    members = [Member(classifier, torch.zeros(96, dtype=torch.int64)) for classifier in (trained, smaller)]
    delta = torch.zeros(3, 16, 16, dtype=torch.float64)
    mean_gradient(cross_entropy, members, images, torch.arange(10), delta, chunk=4)
    assert read == images.rows[:10].tolist()


def test_every_network_is_frozen_and_restored(trained: Classifier, smaller: Classifier) -> None:
    mixed_state(trained)
    before = [snapshot(trained), snapshot(smaller)]

    def crash_within() -> None:
        with all_frozen((trained, smaller)):
            assert not any(part.training for member in (trained, smaller) for part in member.module.modules())
            raise CrashError

    with pytest.raises(CrashError):
        crash_within()
    assert_same(before, [snapshot(trained), snapshot(smaller)])
