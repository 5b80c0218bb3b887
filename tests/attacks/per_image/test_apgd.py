"""Auto-PGD against the paper's rule written out, and against closed forms on linear networks."""

import math

import pytest
import torch
from torch.nn import functional

from attacks.per_image.apgd import ApgdCrossEntropy, ApgdTargeted, checkpoints, likeliest_others, targeted_dlr
from attacks.per_image.trial import deliverable, generators, random_starts
from attacks.threat import Threat
from tests.attacks.per_image.apgd_literal import apgd_one, paper_checkpoints
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import ModelError
from wolfhound.images import Splits


@pytest.mark.parametrize("threat", [Threat("linf", 3 / 255), Threat("l2", 0.15)], ids=lambda threat: threat.norm)
def test_a_run_that_finds_nothing_ends_where_the_papers_algorithm_does(
    threat: Threat, trained: Classifier, textures: Splits
) -> None:
    images = textures.report.subset(range(24))
    pixels, labels, seeds = images.load().double(), torch.from_numpy(images.labels), torch.arange(24)
    attack = ApgdCrossEntropy()
    with frozen(trained.module):
        found = attack.propose(trained, pixels, labels, threat, seeds=seeds)
        stood = torch.nonzero((trained.logits(pixels).argmax(dim=1) == labels) & (found.steps == 100))[:, 0].tolist()
        starts = random_starts(pixels, deliverable(threat), generators(seeds))
        halved = 0
        for row in stood:
            best, etas = apgd_one(
                trained,
                pixels[row],
                starts[row],
                lambda logits, row=row: functional.cross_entropy(logits[None], labels[row][None]),  # type: ignore[misc]
                norm=threat.norm,
                epsilon=threat.epsilon,
                iterations=100,
                rho=0.75,
            )
            halved += etas[-1] < etas[0]
            torch.testing.assert_close(found.pixels[row], best, rtol=0, atol=1e-9)
    assert len(stood) >= 5
    assert halved >= 5


@pytest.mark.parametrize("iterations", [100, 200, 1000])
def test_the_checkpoints_are_the_papers(iterations: int) -> None:
    assert checkpoints(iterations) == paper_checkpoints(iterations)


def test_few_iterations_still_have_checkpoints_one_after_the_other() -> None:
    for iterations in range(1, 60):
        checks = checkpoints(iterations)
        assert checks == sorted(set(checks))
        assert 1 <= checks[0] <= checks[-1] <= iterations


def test_the_targeted_loss_is_the_papers_ratio_of_sorted_logits() -> None:
    logits = torch.randn(50, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels, rivals = torch.arange(50) % 7, (torch.arange(50) + 3) % 7
    for row, value in enumerate(targeted_dlr(logits, labels, rivals).tolist()):
        ordered = sorted(logits[row].tolist(), reverse=True)
        gain = float(logits[row, rivals[row]]) - float(logits[row, labels[row]])
        assert math.isclose(value, gain / (ordered[0] - 0.5 * (ordered[2] + ordered[3])), rel_tol=1e-9)


def test_the_targeted_loss_does_not_mind_shifts_and_scales_of_the_logits() -> None:
    logits = torch.randn(20, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    labels, rivals = torch.zeros(20).long(), torch.ones(20).long()
    torch.testing.assert_close(
        targeted_dlr(100 * logits + 7, labels, rivals), targeted_dlr(logits, labels, rivals), rtol=1e-6, atol=1e-9
    )


def test_below_four_classes_the_lead_takes_the_place_of_the_ratio() -> None:
    logits = torch.tensor([[2.0, 0.5, 1.0]])
    assert targeted_dlr(logits, torch.tensor([0]), torch.tensor([1])).tolist() == [-1.5]


def test_the_targets_are_the_other_classes_by_falling_logit_and_never_more_than_there_are() -> None:
    logits = torch.tensor([[3.0, 1.0, 2.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
    assert likeliest_others(logits, torch.tensor([0, 1]), 2).tolist() == [[2, 1], [3, 2]]
    assert likeliest_others(logits, torch.tensor([0, 1]), 9).tolist() == [[2, 1, 3], [3, 2, 0]]


def fewest_levels(classifier: Classifier, pixels: torch.Tensor, labels: torch.Tensor) -> list[int]:
    """The least linf perturbation of a linear network in levels of 1/255: the gap over the L1 norm of the normal."""
    weight = classifier.module[1].weight.detach()  # type: ignore[index, union-attr]
    logits = classifier.logits(pixels).detach()
    fewest = []
    for row, label in zip(logits, labels.tolist(), strict=True):
        gaps = [float((row[label] - row[k]) / (weight[k] - weight[label]).abs().sum()) for k in range(4) if k != label]
        fewest.append(math.floor(255 * min(gaps)) + 1)
    return fewest


@pytest.mark.parametrize("attack", [ApgdCrossEntropy(), ApgdTargeted()], ids=lambda attack: attack.name)
def test_on_a_linear_network_it_succeeds_from_the_closed_forms_epsilon_on(
    attack: ApgdCrossEntropy | ApgdTargeted, linear_classifier: Classifier
) -> None:
    levels = torch.randint(100, 156, (30, 3, 8, 8), generator=torch.Generator().manual_seed(3))
    pixels = levels.double() / 255
    with frozen(linear_classifier.module):
        labels = linear_classifier.logits(pixels).argmax(dim=1)
        fewest = fewest_levels(linear_classifier, pixels, labels)
        for size in range(1, max(fewest) + 1):
            threat = Threat("linf", size / 255)
            found = attack.propose(linear_classifier, pixels, labels, threat, seeds=torch.arange(30))
            left = linear_classifier.logits((found.pixels * 255).round() / 255).argmax(dim=1) != labels
            assert left.tolist() == [least <= size for least in fewest]
    assert len(set(fewest)) > 3


def test_a_targeted_run_reaches_its_class_where_an_untargeted_one_only_leaves(
    trained: Classifier, textures: Splits
) -> None:
    images = textures.report.subset(range(20))
    pixels = images.load().double()
    targets = (torch.from_numpy(images.labels) + 2) % 4
    with frozen(trained.module):
        found = ApgdCrossEntropy(targeted=True).propose(
            trained, pixels, targets, Threat("linf", 24 / 255), seeds=torch.arange(20)
        )
        reached = trained.logits((found.pixels * 255).round() / 255).argmax(dim=1) == targets
    assert float(reached.double().mean()) > 0.9


def test_an_epsilon_is_used_in_whole_levels_as_no_more_can_be_delivered(trained: Classifier, textures: Splits) -> None:
    pixels = textures.report.load(range(8)).double()
    labels = torch.from_numpy(textures.report.labels[:8])
    with frozen(trained.module):
        odd, whole = (
            ApgdTargeted(iterations=12).propose(trained, pixels, labels, Threat("linf", epsilon), seeds=torch.arange(8))
            for epsilon in (2.9 / 255, 2 / 255)
        )
    assert torch.equal(odd.pixels, whole.pixels)


def test_a_network_of_one_class_is_refused(trained: Classifier, textures: Splits) -> None:
    alone = Classifier("alone", trained.module, ("only",), trained.preprocessing, "")
    with pytest.raises(ModelError, match="at least two classes"):
        ApgdTargeted().propose(
            alone, textures.report.load([0]).double(), torch.tensor([0]), Threat("linf", 0.1), seeds=torch.tensor([0])
        )


@pytest.mark.parametrize("options", [{"iterations": 0}, {"restarts": 0}, {"rho": 0.0}])
def test_impossible_hyper_parameters_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        ApgdCrossEntropy(**options)  # type: ignore[arg-type]
