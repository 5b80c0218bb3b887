"""Whole levels within an L2 threat: as long as the threat allows, and never longer."""

import pytest
import torch
from torch import Tensor, nn

from attacks.per_image.task import ImageTask, lengths
from attacks.threat import Threat
from wolfhound.classifier import Classifier, Preprocessing

CASES = [(16, 0.2), (16, 1.0), (64, 0.3), (64, 4.0)]
KINDS = ["dense", "sparse", "uneven"]


def task_of(side: int, epsilon: float) -> ImageTask:
    """Return a task of six random images; nobody asks the network."""
    levels = torch.randint(0, 256, (6, 3, side, side), generator=torch.Generator().manual_seed(side))
    asked = Classifier("unasked", nn.Identity(), ("a", "b"), Preprocessing(input_size=(side, side)), "")
    targets = torch.zeros(6, dtype=torch.int64)
    return ImageTask.of(asked, levels.float() / 255, targets, Threat("l2", epsilon), targeted=False)


def perturbations(task: ImageTask, kind: str) -> Tensor:
    """Return perturbations of the full length, in levels, before rounding."""
    assert task.threat is not None
    delta = torch.randn(task.original.shape, generator=torch.Generator().manual_seed(7))
    if kind == "sparse":
        delta *= torch.rand(delta.shape, generator=torch.Generator().manual_seed(8)) < 0.05
    elif kind == "uneven":
        delta **= 3
    return task.bound(delta * (255 * task.threat.epsilon / lengths(delta)).float()[:, None, None, None])


def longest(task: ImageTask, delta: Tensor) -> Tensor:
    """Return the length of the longest rounded multiple that is no longer than `delta`, by 30 halvings."""
    low, high = torch.zeros(len(task), dtype=torch.float64), torch.full((len(task),), 4.0, dtype=torch.float64)
    for _ in range(30):
        middle = (low + high) / 2
        fits = lengths(_rounded(task, delta, middle)) <= lengths(delta) * (1 - 1e-6)
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    return lengths(_rounded(task, delta, low))


def _rounded(task: ImageTask, delta: Tensor, multiple: Tensor) -> Tensor:
    scaled = (delta * multiple.float()[:, None, None, None] + task.original).round()
    return scaled.clamp(0, 255) - task.original


@pytest.mark.parametrize(("side", "epsilon"), CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_delivered_uses_nearly_all_of_the_length_and_never_more(side: int, epsilon: float, kind: str) -> None:
    task = task_of(side, epsilon)
    delta = perturbations(task, kind)
    found = task.deliverable(delta)
    assert torch.equal(found, found.round())
    assert bool(((task.original + found >= 0) & (task.original + found <= 255)).all())
    exact = found.double().flatten(1).square().sum(dim=1).sqrt()
    assert bool((exact <= 255 * epsilon).all())
    assert bool((exact >= longest(task, delta) * 0.985).all())


@pytest.mark.parametrize(("side", "epsilon"), CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_found_at_once_is_whole_and_within_the_threat(side: int, epsilon: float, kind: str) -> None:
    task = task_of(side, epsilon)
    delta = perturbations(task, kind)
    near, fits = task.nearly_deliverable(delta)
    assert torch.equal(near, near.round())
    exact = near.double().flatten(1).square().sum(dim=1).sqrt()
    assert bool((exact[fits] <= 255 * epsilon).all())
    assert bool((exact[fits] >= lengths(delta)[fits] * 0.9).all())
    if epsilon >= 1:
        assert int(fits.sum()) >= 4


def test_what_rounds_to_nothing_at_any_multiple_is_delivered_as_nothing() -> None:
    task = task_of(16, 1.0)
    assert not task.deliverable(torch.full_like(task.original, 1e-3)).any()


def test_lengths_are_those_of_double_precision_in_every_memory_layout() -> None:
    delta = 100 * torch.randn(4, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    exact = delta.double().flatten(1).square().sum(dim=1).sqrt()
    assert torch.allclose(lengths(delta), exact, rtol=1e-7, atol=0)
    assert torch.equal(lengths(delta.contiguous(memory_format=torch.channels_last)), lengths(delta))
