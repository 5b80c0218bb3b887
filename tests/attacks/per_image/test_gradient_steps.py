"""FGSM, PGD and MI-FGSM: closed forms on a linear model, literal replicas of their rules, rounding, restarts."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from attacks.per_image.driver import attack_images
from attacks.per_image.gradient_steps import FastGradient, MomentumGradient, ProjectedGradient
from attacks.per_image.task import OBJECTIVES, ImageTask
from attacks.threat import Norm, Threat
from tests.attacks.conftest import as_classifier
from wolfhound.classifier import Classifier, Preprocessing, frozen
from wolfhound.errors import PlanError
from wolfhound.images import Splits

both_norms = pytest.mark.parametrize("threat", [Threat("linf", 8 / 255), Threat("l2", 0.7)], ids=lambda t: t.norm)
both_goals = pytest.mark.parametrize("targeted", [False, True], ids=["leave", "reach"])
NEVER = math.inf


def grid(count: int, *, seed: int = 0, low: int = 60, high: int = 200) -> Tensor:
    """Return float64 images `[count,3,8,8]` on the 8-bit grid."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, high, (count, 3, 8, 8), generator=generator).double() / 255


def cross_entropy_gradient(classifier: Classifier, pixels: Tensor, category: int) -> Tensor:
    """Return the gradient of the cross-entropy for one image `[3,H,W]`."""
    at = pixels.clone().requires_grad_()
    loss = functional.cross_entropy(classifier.logits(at[None]), torch.tensor([category]))
    (gradient,) = torch.autograd.grad(loss, at)
    return gradient


def some(textures: Splits, targeted: bool) -> tuple[Tensor, Tensor]:
    """Return six textures, and for each its label or the next class.

    (Of a class that is already sure, the plain cross-entropy's gradient is made of round-off.)
    """
    labels = torch.from_numpy(textures.craft.labels[:6])
    pixels = textures.craft.load(slice(0, 6)).double().mul(255).round() / 255
    return pixels, (labels + 1) % 4 if targeted else labels


def steepest(gradient: Tensor, norm: Norm) -> Tensor:
    return gradient.sign() if norm == "linf" else gradient / gradient.norm()


def project(moved: Tensor, start: Tensor, threat: Threat) -> Tensor:
    delta = moved - start
    if threat.norm == "linf":
        delta = delta.clamp(-threat.epsilon, threat.epsilon)
    elif delta.norm() > threat.epsilon:
        delta = delta * threat.epsilon / delta.norm()
    return (start + delta).clamp(0, 1)


def propose(attack: Any, classifier: Classifier, pixels: Tensor, targets: Tensor, threat: Threat | None) -> Any:
    with frozen(classifier.module):
        return attack.propose(classifier, pixels, targets, threat, seeds=torch.arange(len(pixels)))


@both_goals
def test_fgsm_moves_along_the_sign_of_the_cross_entropys_gradient_by_epsilon(
    targeted: bool, linear_classifier: Classifier
) -> None:
    pixels, targets = grid(12), torch.arange(12) % 4
    predicted = linear_classifier.logits(pixels).argmax(dim=1)
    moving = (predicted == targets) != targeted
    assert 0 < int(moving.sum()) < 12
    found = propose(FastGradient(targeted=targeted), linear_classifier, pixels, targets, Threat("linf", 8 / 255))
    for image, target, after, moves in zip(pixels, targets.tolist(), found.pixels, moving, strict=True):
        sign = cross_entropy_gradient(linear_classifier, image, target).sign() * (-1 if targeted else 1)
        torch.testing.assert_close(after, image + (8 / 255 * sign if moves else 0))
    assert found.queries.tolist() == [1] * 12
    assert found.steps.tolist() == moving.long().tolist()


def test_on_two_classes_fgsm_succeeds_exactly_from_the_least_possible_epsilon_on(
    linear_classifier: Classifier,
) -> None:
    layer = linear_classifier.module[1]  # type: ignore[index]
    with torch.no_grad():
        layer.weight[2:] = 0  # type: ignore[union-attr]
        layer.bias[2:] = -1e6  # type: ignore[union-attr, operator]
    pixels = grid(8)
    logits = linear_classifier.logits(pixels).detach()
    labels = logits.argmax(dim=1)
    slope = layer.weight[1] - layer.weight[0]  # type: ignore[union-attr, index]
    least = (logits[:, 1] - logits[:, 0]).abs() / slope.detach().abs().sum()
    for image, label, epsilon in zip(pixels, labels, least.tolist(), strict=True):
        above, below = math.ceil(255 * epsilon), math.floor(255 * epsilon)
        assert above > below
        for levels, succeeds in ((above, True), (below, False)):
            found = propose(FastGradient(), linear_classifier, image[None], label[None], Threat("linf", levels / 255))
            assert bool(linear_classifier.logits(found.pixels).argmax(dim=1) != label) == succeeds


@both_norms
@both_goals
@pytest.mark.parametrize("random_start", [False, True])
def test_pgd_agrees_with_the_literal_rule(
    targeted: bool, threat: Threat, random_start: bool, trained: Classifier, textures: Splits
) -> None:
    pixels, targets = some(textures, targeted)
    options: dict[str, Any] = {"confidence": NEVER, "random_start": random_start, "targeted": targeted}
    found = propose(ProjectedGradient(most_steps=5, **options), trained, pixels, targets, threat)
    if random_start:  # a step too small to see: where it started
        starts = propose(ProjectedGradient(most_steps=1, step=1e-12, **options), trained, pixels, targets, threat)
    for row, (image, target) in enumerate(zip(pixels, targets.tolist(), strict=True)):
        current = starts.pixels[row] if random_start else image
        for _ in range(5):
            gradient = cross_entropy_gradient(trained, current, target) * (-1 if targeted else 1)
            current = project(current + 0.25 * threat.epsilon * steepest(gradient, threat.norm), image, threat)
        torch.testing.assert_close(found.pixels[row], current, rtol=0, atol=1e-7)


@both_norms
@both_goals
@pytest.mark.parametrize("decay", [1.0, 0.4])
def test_mi_fgsm_agrees_with_the_literal_rule(
    targeted: bool, threat: Threat, decay: float, trained: Classifier, textures: Splits
) -> None:
    pixels, targets = some(textures, targeted)
    attack = MomentumGradient(most_steps=6, decay=decay, confidence=NEVER, targeted=targeted)
    found = propose(attack, trained, pixels, targets, threat)
    for row, (image, target) in enumerate(zip(pixels, targets.tolist(), strict=True)):
        current, momentum = image, torch.zeros_like(image)
        for _ in range(6):
            gradient = cross_entropy_gradient(trained, current, target) * (-1 if targeted else 1)
            momentum = decay * momentum + gradient / gradient.abs().sum()
            current = project(current + threat.epsilon / 6 * steepest(momentum, threat.norm), image, threat)
        torch.testing.assert_close(found.pixels[row], current, rtol=0, atol=1e-7)


def test_the_objectives_are_what_they_say_and_the_cross_entropys_keeps_its_direction(trained: Classifier) -> None:
    pixels = torch.randint(0, 256, (5, 3, 16, 16), generator=torch.Generator().manual_seed(0)).double() / 255
    targets = torch.tensor([0, 1, 2, 3, 0])
    leave = ImageTask.of(trained, pixels, targets, None, targeted=False)
    reach = ImageTask.of(trained, pixels, targets, None, targeted=True)
    logits = torch.randn(5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    for kind in ("logit", "margin", "cross-entropy"):
        value = reach.objective(logits, kind)  # type: ignore[arg-type]
        torch.testing.assert_close(leave.objective(logits, kind), -value)  # type: ignore[arg-type]
        for row, target in enumerate(targets.tolist()):
            others = [float(logits.detach()[row, k]) for k in range(4) if k != target]
            taken = {"logit": 0.0, "margin": max(others), "cross-entropy": math.log(sum(map(math.exp, others)))}[kind]
            assert float(value.detach()[row]) == pytest.approx(float(logits.detach()[row, target]) - taken)
    (ours,) = torch.autograd.grad(leave.objective(logits, "cross-entropy").sum(), logits)
    (plain,) = torch.autograd.grad(functional.cross_entropy(logits, targets, reduction="sum"), logits)
    torch.testing.assert_close(functional.normalize(ours), functional.normalize(plain))


def test_where_the_network_is_so_sure_that_cross_entropy_is_silent_the_attack_still_moves(
    linear_classifier: Classifier,
) -> None:
    layer = linear_classifier.module[1]  # type: ignore[index]
    with torch.no_grad():
        layer.weight *= 1e5  # type: ignore[operator, union-attr]
    pixels = grid(8)
    labels = linear_classifier.logits(pixels).argmax(dim=1)
    assert not any(
        cross_entropy_gradient(linear_classifier, x, int(y)).any() for x, y in zip(pixels, labels, strict=True)
    )
    found = propose(ProjectedGradient(), linear_classifier, pixels, labels, Threat("linf", 0.3))
    assert bool((linear_classifier.logits(found.pixels).argmax(dim=1) != labels).all())


@both_norms
def test_a_random_start_lies_in_the_ball_and_comes_from_the_images_seed(
    threat: Threat, linear_classifier: Classifier
) -> None:
    pixels = grid(3)
    attack = ProjectedGradient(most_steps=1, step=1e-12, confidence=NEVER)
    with frozen(linear_classifier.module):
        first, second = (
            attack.propose(linear_classifier, pixels, torch.zeros(3).long(), threat, seeds=torch.tensor(seeds)).pixels
            for seeds in ([1, 2, 1], [9, 2, 2**63 - 1])
        )
    sizes = threat.size(first - pixels)
    assert float(sizes.max()) <= threat.epsilon * (1 + 1e-9)
    assert float(sizes.min()) > 0.9 * threat.epsilon
    assert torch.equal(first[1], second[1])
    torch.testing.assert_close(first[0] - pixels[0], first[2] - pixels[2])
    assert not torch.equal(first[0], second[0])


def test_a_success_that_rounding_takes_away_is_noticed_and_the_attack_goes_on(
    trained: Classifier, textures: Splits
) -> None:
    images = textures.report.subset(range(40))
    threat = Threat("l2", 0.35)

    def ledger(**options: Any) -> Any:
        attack = ProjectedGradient(random_start=False, step=0.05, **options)
        return attack_images(
            attack, trained, images, images.labels, threat, generator=torch.Generator().manual_seed(0)
        ).ledger

    full = ledger(most_steps=40)
    stopped = full[full["steps"] < 40]
    assert len(stopped) > 20
    assert stopped["success"].all()
    asked_again = stopped["queries"] - stopped["steps"] - 1
    assert (asked_again[stopped["steps"] > 0] >= 1).all()
    assert (asked_again > 1).any(), "no success was lost in rounding, so this test tried nothing"


def test_restarts_go_on_with_those_that_failed_alone(trained: Classifier, textures: Splits) -> None:
    images, threat = textures.report.subset(range(60)), Threat("linf", 2 / 255)

    def ledger(restarts: int) -> Any:
        attack = ProjectedGradient(most_steps=3, restarts=restarts)
        return attack_images(
            attack, trained, images, images.labels, threat, generator=torch.Generator().manual_seed(0)
        ).ledger

    once, often = ledger(1), ledger(6)
    assert 0 < once["success"].sum() < len(images)
    assert (often["success"] >= once["success"]).all()
    early = once["success"] & (once["steps"] < 3)
    assert (often["steps"][early] == once["steps"][early]).all()
    assert (often["steps"][~often["success"]] == 18).all()
    assert (once["steps"][~once["success"]] == 3).all()


def test_confidence_is_the_lead_of_the_delivered_images(trained: Classifier, textures: Splits) -> None:
    images = textures.report.subset(range(20))
    attack = ProjectedGradient(confidence=2.0, objective="margin")
    result = attack_images(
        attack,
        trained,
        images,
        images.labels,
        Threat("linf", 40 / 255),
        generator=torch.Generator().manual_seed(0),
        keep=range(20),
    )
    with frozen(trained.module), torch.no_grad():
        logits = trained.logits(result.adversarial.double() / 255)
    own = torch.from_numpy(images.labels)[:, None]
    lead = logits.scatter(1, own, -torch.inf).amax(dim=1) - logits.gather(1, own)[:, 0]
    early = np.flatnonzero(result.ledger["steps"] < attack.most_steps)
    assert len(early) > 10
    assert float(lead[early].min()) > 2.0


@pytest.mark.parametrize("attack", [FastGradient(), ProjectedGradient(), MomentumGradient()])
def test_without_a_threat_there_is_no_step_to_take(attack: Any) -> None:
    classifier = as_classifier(torch.nn.Identity())
    with pytest.raises(PlanError, match="expected a threat"):
        attack.propose(classifier, torch.zeros(1, 3, 16, 16), torch.zeros(1).long(), None, seeds=torch.zeros(1))


@pytest.mark.parametrize(
    ("attack", "options"),
    [
        (FastGradient, {"objective": "dlr"}),
        (ProjectedGradient, {"step": 0.0}),
        (ProjectedGradient, {"restarts": 2, "random_start": False}),
        (ProjectedGradient, {"confidence": -1.0}),
        (ProjectedGradient, {"confidence": math.nan}),
        (MomentumGradient, {"decay": -0.1}),
        (MomentumGradient, {"most_steps": 0}),
    ],
)
def test_impossible_hyper_parameters_are_refused(attack: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        attack(**options)


@pytest.mark.parametrize("targeted", [False, True], ids=["leave", "reach"])
@pytest.mark.parametrize("kind", OBJECTIVES)
def test_the_slope_that_is_written_out_is_the_derivative_of_the_objective(kind: Any, targeted: bool) -> None:
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits[0] = 1.0  # ties of all
    logits[1, 2:] = 3.0  # and of some
    classes = torch.tensor([0, 1, 2, 3, 4, 0])
    classifier = Classifier("none", torch.nn.Identity(), tuple("abcde"), Preprocessing(input_size=(2, 2)), "")
    task = ImageTask.of(classifier, torch.zeros(6, 3, 2, 2).double(), classes, None, targeted=targeted)
    lead, slope = task._lead_and_slope(logits, kind)
    at = logits.clone().requires_grad_()
    (expected,) = torch.autograd.grad(task.objective(at, kind).sum(), at)
    torch.testing.assert_close(slope, expected, rtol=1e-12, atol=1e-15)
    assert torch.equal(lead, task.lead(logits))


def test_who_waits_for_an_answer_on_whole_levels_moves_as_it_would_alone(trained: Classifier, textures: Splits) -> None:
    images, threat = textures.report.subset(range(30)), Threat("l2", 1.5)
    pixels, labels = images.load().double(), torch.from_numpy(images.labels.copy())
    attack, seeds = MomentumGradient(most_steps=6, decay=0.5), torch.arange(30)
    with frozen(trained.module):
        together = attack.propose(trained, pixels, labels, threat, seeds=seeds)
        for row in range(30):
            one = slice(row, row + 1)
            alone = attack.propose(trained, pixels[one], labels[one], threat, seeds=seeds[one])
            torch.testing.assert_close(alone.pixels, together.pixels[one], rtol=0, atol=1e-9)
            assert int(alone.queries) == int(together.queries[row])
    waited = together.queries - together.steps
    assert (waited > 1).any()  # once, those that reach their goal are asked without a step
    assert int(together.steps.max()) <= 6
