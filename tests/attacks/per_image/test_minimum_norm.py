"""Carlini-Wagner and DeepFool: distances to hyperplanes, literal replicas, and the nearest image of whole levels."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from attacks.per_image.boundary import nearest_delivered
from attacks.per_image.carlini_wagner import CarliniWagner
from attacks.per_image.deepfool import DeepFool
from attacks.per_image.task import ImageTask
from attacks.threat import Threat
from tests.attacks.deepfool_literal import deepfool_one
from tests.attacks.per_image.minimum_norm_literal import carlini_wagner_one, deepfool_linf_one, deepfool_towards_one
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import PlanError
from wolfhound.images import Splits

ATTACKS: dict[str, Any] = {
    "deepfool": DeepFool,
    "carlini_wagner": lambda **options: CarliniWagner(**options, learning_rate=0.02, searches=9, most_steps=150),
}
each_attack = pytest.mark.parametrize("name", sorted(ATTACKS))
LIMIT = 1.04  # where the change is of many levels: the halvings, rounding, and for Carlini-Wagner a search that ends
LIMIT_OF_FEW = 1.25  # where it is of about one level, so that rounding weighs most


def grid(count: int) -> Tensor:
    """Return float64 images `[count,3,8,8]` on the 8-bit grid, none near black or white."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(90, 166, (count, 3, 8, 8), generator=generator).double() / 255


def propose(attack: Any, classifier: Classifier, pixels: Tensor, targets: Tensor, threat: Threat | None = None) -> Any:
    with frozen(classifier.module):
        return attack.propose(classifier, pixels, targets, threat, seeds=torch.arange(len(pixels)))


def only_two_classes(classifier: Classifier) -> None:
    layer: Any = classifier.module[1]  # type: ignore[index]
    with torch.no_grad():
        layer.weight[2:] = 0
        layer.bias[2:] = -1e6


def leads(classifier: Classifier, pixels: Tensor, labels: Tensor, power: float) -> Tensor:
    """Return the distance of each image to each other class in the norm dual to `power`; infinite to its own."""
    weight: Any = classifier.module[1].weight.detach()  # type: ignore[index, union-attr]
    logits = classifier.logits(pixels).detach()
    gaps = logits.gather(1, labels[:, None]) - logits
    lengths = (weight[None] - weight[labels][:, None]).norm(p=power, dim=2)
    return torch.where(lengths > 0, gaps / lengths, torch.inf)


def assert_nearly_least(found: Tensor, least: Tensor) -> None:
    share = found.flatten(1).norm(dim=1) / least
    many = least * 255 > 2 * found[0].numel() ** 0.5
    assert int(many.sum()) > len(found) / 2
    assert float(share.min()) >= 1
    assert float(share[many].max()) < LIMIT
    assert float(share.max()) < LIMIT_OF_FEW


@each_attack
@pytest.mark.parametrize("two", [True, False], ids=["two classes", "four classes"])
def test_the_l2_size_is_the_distance_to_the_nearest_hyperplane(
    name: str, two: bool, linear_classifier: Classifier
) -> None:
    if two:
        only_two_classes(linear_classifier)
    pixels = grid(10)
    labels = linear_classifier.logits(pixels).argmax(dim=1)
    found = propose(ATTACKS[name](), linear_classifier, pixels, labels)
    assert bool((linear_classifier.logits(found.pixels).argmax(dim=1) != labels).all())
    assert_nearly_least(found.pixels - pixels, leads(linear_classifier, pixels, labels, 2).amin(dim=1))


@each_attack
def test_to_reach_a_class_of_two_it_crosses_the_hyperplane_between_them(
    name: str, linear_classifier: Classifier
) -> None:
    only_two_classes(linear_classifier)
    pixels = grid(10)
    labels = linear_classifier.logits(pixels).argmax(dim=1)
    found = propose(ATTACKS[name](targeted=True), linear_classifier, pixels, 1 - labels)
    assert bool((linear_classifier.logits(found.pixels).argmax(dim=1) == 1 - labels).all())
    assert_nearly_least(found.pixels - pixels, leads(linear_classifier, pixels, labels, 2).amin(dim=1))


@each_attack
def test_to_reach_a_class_of_four_it_goes_at_least_as_far_as_its_furthest_rival_needs(
    name: str, linear_classifier: Classifier
) -> None:
    pixels, targets = grid(12), torch.arange(12) % 4
    found = propose(ATTACKS[name](targeted=True), linear_classifier, pixels, targets)
    assert bool((linear_classifier.logits(found.pixels).argmax(dim=1) == targets).all())
    furthest = leads(linear_classifier, pixels, targets, 2).neg().amax(dim=1).clamp_min(0)
    sizes = (found.pixels - pixels).flatten(1).norm(dim=1)
    assert bool((sizes >= furthest).all())
    assert float((sizes / furthest)[furthest > 0].median()) < 1.2


def test_in_linf_deepfool_needs_the_least_whole_levels_that_cross(linear_classifier: Classifier) -> None:
    pixels = grid(10)
    labels = linear_classifier.logits(pixels).argmax(dim=1)
    least = leads(linear_classifier, pixels, labels, 1).amin(dim=1)
    for attack, threat in ((DeepFool(norm="linf"), None), (DeepFool(norm="l2"), Threat("linf", 0.5))):
        found = propose(attack, linear_classifier, pixels, labels, threat)
        levels = (found.pixels - pixels).abs().flatten(1).amax(dim=1) * 255
        assert bool((linear_classifier.logits(found.pixels).argmax(dim=1) != labels).all())
        assert bool((levels.round() >= (255 * least).floor()).all())
        assert bool((levels.round() <= (255 * least).ceil() + 1).all())


@pytest.mark.parametrize("confidence", [0.0, 1.5])
@pytest.mark.parametrize("targeted", [False, True], ids=["leave", "reach"])
def test_carlini_wagner_agrees_with_the_literal_replica(
    targeted: bool, confidence: float, trained: Classifier, textures: Splits
) -> None:
    labels = torch.from_numpy(textures.craft.labels[:5])
    pixels = textures.craft.load(slice(0, 5)).double().mul(255).round() / 255
    targets = (labels + 1) % 4 if targeted else labels
    attack = CarliniWagner(
        confidence=confidence,
        searches=3,
        most_steps=40,
        learning_rate=0.01,
        first_constant=0.5,
        halvings=0,
        targeted=targeted,
    )
    found = propose(attack, trained, pixels, targets)
    for row, (image, target) in enumerate(zip(pixels, targets.tolist(), strict=True)):
        best, steps = carlini_wagner_one(
            trained,
            image,
            target,
            targeted=targeted,
            confidence=confidence,
            searches=3,
            most_steps=40,
            rate=0.01,
            constant=0.5,
        )
        assert best is not None
        assert int(found.steps[row]) == steps
        levels = (255 * (found.pixels[row] - image)).round()
        doublings = [scale for scale in (1, 2, 4, 8, 16) if torch.equal((255 * scale * best).round(), levels)]
        assert doublings, "expected the replica's perturbation, rounded, or doubled until it succeeds"


@pytest.mark.parametrize("candidates", [2, 3, 10])
def test_deepfool_agrees_with_the_literal_replicas(candidates: int, trained: Classifier, textures: Splits) -> None:
    pixels = textures.craft.load(slice(0, 8)).double().mul(255).round() / 255
    labels = trained.logits(pixels).argmax(dim=1)
    options: dict[str, Any] = {"candidates": candidates, "halvings": 0}
    in_l2 = propose(DeepFool(**options), trained, pixels, labels)
    in_linf = propose(DeepFool(norm="linf", **options), trained, pixels, labels)
    for row, image in enumerate(pixels):
        delta, _, steps = deepfool_one(trained, image, candidates=candidates, overshoot=0.02, max_steps=50)
        assert int(in_l2.steps[row]) == steps
        assert_rounded(in_l2.pixels[row] - image, delta)
        delta, steps = deepfool_linf_one(trained, image, candidates=candidates, overshoot=0.02, most_steps=50)
        assert int(in_linf.steps[row]) == steps
        assert_rounded(in_linf.pixels[row] - image, delta)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_targeted_deepfool_agrees_with_the_literal_replica(norm: Any, trained: Classifier, textures: Splits) -> None:
    pixels = textures.craft.load(slice(0, 12)).double().mul(255).round() / 255
    labels = trained.logits(pixels).argmax(dim=1)
    targets = (labels + 1 + torch.arange(12) % 3) % 4
    found = propose(DeepFool(norm=norm, halvings=0, targeted=True), trained, pixels, targets)
    taken = []
    for row, (image, target) in enumerate(zip(pixels, targets.tolist(), strict=True)):
        delta, steps = deepfool_towards_one(trained, image, target, norm=norm, overshoot=0.02, most_steps=50)
        assert int(found.steps[row]) == steps
        assert_rounded(found.pixels[row] - image, delta)
        taken.append(steps)
    assert bool((trained.logits(found.pixels).argmax(dim=1) == targets).all())
    assert max(taken) > 1


def test_in_linf_targeted_deepfool_needs_the_least_whole_levels_that_reach_a_class_of_two(
    linear_classifier: Classifier,
) -> None:
    only_two_classes(linear_classifier)
    pixels = grid(10)
    labels = linear_classifier.logits(pixels).argmax(dim=1)
    least = leads(linear_classifier, pixels, labels, 1).amin(dim=1)
    found = propose(DeepFool(norm="linf", targeted=True), linear_classifier, pixels, 1 - labels)
    levels = (found.pixels - pixels).abs().flatten(1).amax(dim=1) * 255
    assert bool((linear_classifier.logits(found.pixels).argmax(dim=1) == 1 - labels).all())
    assert bool((levels.round() >= (255 * least).floor()).all())
    assert bool((levels.round() <= (255 * least).ceil() + 1).all())


def assert_rounded(found: Tensor, delta: Tensor) -> None:
    levels = (255 * found).round()
    assert any(torch.equal((255 * scale * delta).round(), levels) for scale in (1, 2, 4, 8, 16))


def test_the_least_multiple_that_is_rounded_and_still_succeeds_is_found(linear_classifier: Classifier) -> None:
    only_two_classes(linear_classifier)
    pixels = grid(6)
    labels = linear_classifier.logits(pixels).argmax(dim=1)
    weight: Any = linear_classifier.module[1].weight.detach()  # type: ignore[index, union-attr]
    slope = (weight[1] - weight[0]).view(3, 8, 8)
    task = ImageTask.of(linear_classifier, pixels, labels, None, targeted=False)
    delta = (1 - 2 * labels)[:, None, None, None] * slope * 4
    with frozen(linear_classifier.module):
        levels, held = nearest_delivered(task, delta, confidence=0.0, doublings=6, halvings=9)
    assert bool(held.all())
    for row in range(6):
        scales = torch.arange(1, 4001) / 500
        shown = pixels[row] + (scales[:, None, None, None] * delta[row]).round() / 255
        holding = linear_classifier.logits(shown).argmax(dim=1) != labels[row]
        least = float(scales[holding][0])
        assert bool(holding[scales > least + 0.1].all())
        expected = (least * delta[row]).round().norm()
        assert float(levels[row].norm()) <= 1.02 * float(expected)


def test_what_rounding_undoes_is_doubled_until_it_holds_or_given_up(linear_classifier: Classifier) -> None:
    only_two_classes(linear_classifier)
    pixels = grid(4)
    labels = linear_classifier.logits(pixels).argmax(dim=1)
    weight: Any = linear_classifier.module[1].weight.detach()  # type: ignore[index, union-attr]
    sign = (weight[1] - weight[0]).view(3, 8, 8).sign()
    task = ImageTask.of(linear_classifier, pixels, labels, None, targeted=False)
    needed = (255 * leads(linear_classifier, pixels, labels, 1).amin(dim=1)).ceil()
    tiny = (1 - 2 * labels)[:, None, None, None] * sign * 0.4
    with frozen(linear_classifier.module):
        given_up, lost = nearest_delivered(task, tiny, confidence=0.0, doublings=0, halvings=3)
        levels, held = nearest_delivered(task, tiny, confidence=0.0, doublings=9, halvings=9)
    assert not bool(lost.any())
    assert not bool(given_up.any())
    assert bool(held.all())
    assert levels.abs().flatten(1).amax(dim=1).tolist() == needed.tolist()


@each_attack
@pytest.mark.parametrize("targeted", [False, True], ids=["leave", "reach"])
def test_an_image_that_has_its_goal_stays_as_it_is(
    name: str, targeted: bool, trained: Classifier, textures: Splits
) -> None:
    pixels = textures.craft.load(slice(0, 4)).double().mul(255).round() / 255
    predicted = trained.logits(pixels).argmax(dim=1)
    targets = predicted if targeted else (predicted + 1) % 4
    found = propose(ATTACKS[name](targeted=targeted), trained, pixels, targets)
    assert torch.equal(found.pixels, pixels)
    assert found.queries.tolist() == [1] * 4
    assert found.steps.tolist() == [0] * 4


def test_carlini_wagners_confidence_is_the_lead_of_the_rounded_image(trained: Classifier, textures: Splits) -> None:
    labels = torch.from_numpy(textures.craft.labels[:8])
    pixels = textures.craft.load(slice(0, 8)).double()
    with frozen(trained.module):
        found = propose(CarliniWagner(confidence=2.0, searches=3, learning_rate=0.01), trained, pixels, labels)
        logits = trained.logits(found.pixels).detach()
    lead = logits.scatter(1, labels[:, None], -math.inf).amax(dim=1) - logits.gather(1, labels[:, None])[:, 0]
    assert float(lead.min()) > 2.0
    assert float(lead.median()) < 2.5


def test_carlini_wagner_refuses_a_norm_that_it_does_not_keep_small(linear_classifier: Classifier) -> None:
    with pytest.raises(PlanError, match="expected an l2 threat or none"):
        propose(CarliniWagner(), linear_classifier, grid(1), torch.tensor([0]), Threat("linf", 0.1))


@pytest.mark.parametrize(
    ("attack", "options"),
    [
        (DeepFool, {"norm": "l1"}),
        (DeepFool, {"candidates": 1}),
        (DeepFool, {"overshoot": -0.1}),
        (DeepFool, {"most_steps": 0}),
        (CarliniWagner, {"searches": 0}),
        (CarliniWagner, {"confidence": math.inf}),
        (CarliniWagner, {"halvings": -1}),
    ],
)
def test_impossible_hyper_parameters_are_refused(attack: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        attack(**options)
