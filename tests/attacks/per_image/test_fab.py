"""FAB-T: the step to a hyperplane against a slow oracle, and the nearest image of a linear network in closed form."""

import numpy as np
import pytest
import torch
from torch import Tensor

from attacks.per_image.fab import FabTargeted
from attacks.per_image.hyperplane import steps_to_hyperplane
from attacks.per_image.trial import Trial
from attacks.threat import Norm, Threat
from wolfhound.classifier import Classifier, frozen
from wolfhound.images import Splits


def sorted_step(at: np.ndarray, normal: np.ndarray, gap: float, norm: str) -> np.ndarray:
    """Move every pixel towards the plane, and stop one after the other as they reach their ends."""
    towards = normal * np.sign(gap)
    room = np.where(towards > 0, 1 - at, at)
    speed = np.where(towards != 0, 1.0 if norm == "linf" else np.abs(towards), 0.0)
    step, free, left = np.zeros_like(at), speed > 0, abs(gap)
    while left > 1e-15 and free.any():
        rate = (np.abs(towards) * speed)[free].sum()
        time = min(left / rate, ((room - step)[free] / speed[free]).min())
        step[free] += time * speed[free]
        left -= time * rate
        free &= room - step > 1e-13
    return np.sign(towards) * step


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95, 2.0])
def test_the_step_to_a_hyperplane_agrees_with_moving_pixel_by_pixel(norm: Norm, share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    at = torch.rand((20, 40), generator=generator, dtype=torch.float64)
    at[:, :5] = 0.0  # pixels without any room on one side
    normal = torch.randn((20, 40), generator=generator, dtype=torch.float64)
    normal[:, 7] = 0.0
    sign = torch.where(torch.arange(20) % 2 == 0, 1.0, -1.0).double()
    room = torch.where(normal * sign[:, None] > 0, 1 - at, at)
    gap = share * sign * (normal.abs() * room).sum(dim=1)
    found = steps_to_hyperplane(at, normal, gap, norm)
    for row in range(20):
        expected = sorted_step(at[row].numpy(), normal[row].numpy(), float(gap[row]), norm)
        np.testing.assert_allclose(found[row].numpy(), expected, atol=1e-9)
    if share < 1:
        torch.testing.assert_close((found * normal).sum(dim=1), gap)
    assert float((at + found).min()) >= 0
    assert float((at + found).max()) <= 1 + 1e-12


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_step_depends_on_no_other_row(norm: Norm) -> None:
    generator = torch.Generator().manual_seed(1)
    at = torch.rand((9, 30), generator=generator)
    normal = torch.randn((9, 30), generator=generator)
    gap = torch.randn(9, generator=generator) * 3
    whole = steps_to_hyperplane(at, normal, gap, norm)
    for row in range(9):
        one = slice(row, row + 1)
        assert torch.equal(steps_to_hyperplane(at[one], normal[one], gap[one], norm), whole[one])


def test_where_nothing_slopes_nothing_moves() -> None:
    at = torch.full((2, 5), 0.5)
    assert not steps_to_hyperplane(at, torch.zeros(2, 5), torch.tensor([1.0, -1.0]), "l2").any()


def distances(classifier: Classifier, pixels: Tensor, labels: Tensor, norm: str) -> list[float]:
    weight = classifier.module[1].weight.detach()  # type: ignore[index, union-attr]
    found = []
    for row, label in zip(classifier.logits(pixels).detach(), labels.tolist(), strict=True):
        normals = {k: weight[k] - weight[label] for k in range(4) if k != label}
        dual = {k: w.abs().sum() if norm == "linf" else w.norm() for k, w in normals.items()}
        found.append(min(float((row[label] - row[k]) / dual[k]) for k in normals))
    return found


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_on_a_linear_network_it_ends_close_to_the_distance_of_the_nearest_boundary(
    norm: Norm, linear_classifier: Classifier
) -> None:
    pixels = torch.randint(100, 156, (20, 3, 8, 8), generator=torch.Generator().manual_seed(3)).double() / 255
    with frozen(linear_classifier.module):
        labels = linear_classifier.logits(pixels).argmax(dim=1)
        trial = Trial(linear_classifier, pixels, labels, None, targeted=False)
        attack, nearest = FabTargeted(iterations=20, norm=norm), torch.full((20,), 1e10, dtype=torch.float64)
        trial.begin()
        for rival in range(4):
            away = torch.nonzero(labels != rival)[:, 0]
            attack._approach(trial, away, torch.full((20,), rival), nearest)
        expected = distances(linear_classifier, pixels, labels, norm)
        for found, distance in zip(nearest.tolist(), expected, strict=True):
            assert distance * (1 - 1e-9) <= found <= distance * 1.01
        proposal = attack.propose(linear_classifier, pixels, labels, None, seeds=torch.arange(20))
        delivered = (proposal.pixels * 255).round() / 255
        assert bool((linear_classifier.logits(delivered).argmax(dim=1) != labels).all())


def test_under_a_threat_it_succeeds_where_the_boundary_lies_well_within(linear_classifier: Classifier) -> None:
    pixels = torch.randint(100, 156, (20, 3, 8, 8), generator=torch.Generator().manual_seed(3)).double() / 255
    with frozen(linear_classifier.module):
        labels = linear_classifier.logits(pixels).argmax(dim=1)
        exact = torch.tensor(distances(linear_classifier, pixels, labels, "l2"))
        epsilon = float(exact.median())
        found = FabTargeted(iterations=20).propose(
            linear_classifier, pixels, labels, Threat("l2", epsilon), seeds=torch.arange(20)
        )
        open_ones = found.steps == 60  # three other classes, 20 iterations each
        assert not bool(open_ones[exact < 0.9 * epsilon].any())
        assert bool(open_ones[exact > epsilon].all())


def test_the_result_lies_no_further_than_other_searches_find(trained: Classifier, textures: Splits) -> None:
    images = textures.report.subset(range(12))
    pixels, labels = images.load().double(), torch.from_numpy(images.labels)
    with frozen(trained.module):
        few, many = (
            FabTargeted(iterations=iterations, targets=3).propose(trained, pixels, labels, None, seeds=labels)
            for iterations in (2, 30)
        )
    size = Threat("l2", 0.0).size
    of_few, of_many = size(few.pixels - pixels), size(many.pixels - pixels)
    found = of_few > 0  # two iterations do not carry every image over
    assert int(found.sum()) >= 8
    assert float(of_many[found].sum()) < float(of_few[found].sum())


@pytest.mark.parametrize(
    "options", [{"iterations": 0}, {"alpha_max": 1.5}, {"eta": 0.9}, {"beta": 1.0}, {"norm": "l1"}]
)
def test_impossible_hyper_parameters_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        FabTargeted(**options)  # type: ignore[arg-type]
