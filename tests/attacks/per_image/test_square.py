"""The Square attack: its patches against slow replicas, its schedule against the paper's table."""

import numpy as np
import pytest
import torch

from attacks.per_image.square import Square, patch_share
from attacks.per_image.square_patches import NUMBERS, changed, first_change, hill_and_valley
from attacks.per_image.trial import generators
from attacks.threat import Threat
from wolfhound.classifier import Classifier, frozen
from wolfhound.images import Splits


def test_the_patch_halves_after_the_iterations_of_the_papers_table() -> None:
    table = {1: 1, 10: 1, 11: 2, 51: 4, 201: 8, 501: 16, 1001: 32, 2001: 64, 4001: 128, 6001: 256, 8001: 512}
    for iteration, divisor in table.items():
        assert patch_share(0.8, iteration) == 0.8 / divisor


def literal_hill(rows: int, columns: int) -> np.ndarray:
    """Nested squares around the centre, the k-th adding 1 / k^2, one pixel at a time."""
    hill = np.zeros((rows, columns))
    centre, middle = rows // 2, columns // 2
    for k in range(max(centre, middle) + 1):
        for i in range(centre - k, centre + k + 1):
            for j in range(middle - k, middle + k + 1):
                if 0 <= i < rows and 0 <= j < columns:
                    hill[i, j] += 1 / (k + 1) ** 2
    return hill / np.linalg.norm(hill)


@pytest.mark.parametrize("side", [3, 5, 8, 13])
def test_the_pattern_is_a_hill_over_a_valley_of_unit_length(side: int) -> None:
    expected = np.concatenate([literal_hill(side // 2, side), -literal_hill(side - side // 2, side)])
    np.testing.assert_allclose(hill_and_valley(side), expected / np.linalg.norm(expected), atol=1e-6)


def drawn(count: int) -> torch.Tensor:
    return torch.rand((count, NUMBERS), generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def test_a_linf_change_fills_one_square_with_a_corner_of_the_ball() -> None:
    clean = torch.full((12, 3, 10, 14), 0.5, dtype=torch.float64)
    numbers = drawn(12)
    tried = changed(clean, clean, Threat("linf", 0.1), 4.2, numbers)
    for image, row in zip(tried - clean, numbers.tolist(), strict=True):
        top, left = int(row[0] * 7), int(row[1] * 11)
        expected = torch.zeros(3, 10, 14, dtype=torch.float64)
        for channel in range(3):
            expected[channel, top : top + 4, left : left + 4] = -0.1 if row[5 + channel] < 0.5 else 0.1
        torch.testing.assert_close(image, expected)


def literal_l2(delta: np.ndarray, epsilon: float, side: int, row: list[float]) -> np.ndarray:
    """Algorithm 3, one channel at a time, before the image is clipped."""
    height, width = delta.shape[1:]
    top, left, top2, left2 = (
        int(u * (n - side + 1)) for u, n in zip(row, (height, width, height, width), strict=False)
    )
    first = (slice(top, top + side), slice(left, left + side))
    second = (slice(top2, top2 + side), slice(left2, left2 + side))
    both = np.zeros((height, width), dtype=bool)
    both[first] = both[second] = True
    pattern = hill_and_valley(side).double().numpy()
    pattern = pattern.T if row[4] > 0.5 else pattern
    moved = delta.copy()
    for channel in range(3):
        old = delta[channel][first]
        new = old / (np.linalg.norm(old) + 1e-12) + (-1 if row[5 + channel] < 0.5 else 1) * pattern
        budget = max(epsilon**2 - (delta**2).sum(), 0) / 3 + (delta[channel][both] ** 2).sum()
        moved[channel][second] = 0
        moved[channel][first] = new / np.linalg.norm(new) * np.sqrt(budget)
    return moved * epsilon / np.linalg.norm(moved)


@pytest.mark.parametrize("side", [3, 5, 9])
def test_an_l2_change_agrees_with_the_papers_algorithm_channel_by_channel(side: int) -> None:
    generator = torch.Generator().manual_seed(2)
    clean = torch.full((10, 3, 12, 12), 0.5, dtype=torch.float64)
    delta = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    best = clean + 0.4 * delta / delta.flatten(1).norm(dim=1)[:, None, None, None]
    numbers = drawn(10)
    tried = changed(best, clean, Threat("l2", 0.5), float(side), numbers)
    for position, row in enumerate(numbers.tolist()):
        expected = literal_l2((best - clean)[position].numpy(), 0.5, side, row)
        np.testing.assert_allclose((tried - clean)[position], expected, atol=1e-7)


@pytest.mark.parametrize("size", [(16, 16), (17, 24), (4, 4), (3, 9)])
@pytest.mark.parametrize("threat", [Threat("linf", 0.1), Threat("l2", 0.3)], ids=lambda threat: threat.norm)
def test_starts_and_changes_have_the_full_size_of_the_threat_on_images_of_any_shape(
    threat: Threat, size: tuple[int, int]
) -> None:
    clean = torch.full((6, 3, *size), 0.5)
    start = first_change(clean, threat, generators(torch.arange(6)))
    torch.testing.assert_close(threat.size(start - clean), torch.full((6,), threat.epsilon).double(), rtol=1e-4, atol=0)
    tried = changed(start, clean, threat, 2.0, drawn(6).float())
    torch.testing.assert_close(threat.size(tried - clean), torch.full((6,), threat.epsilon).double(), rtol=1e-4, atol=0)


def test_the_start_under_linf_is_vertical_stripes() -> None:
    clean = torch.full((4, 3, 6, 8), 0.5)
    delta = first_change(clean, Threat("linf", 0.1), generators(torch.arange(4))) - clean
    assert torch.equal(delta, delta[:, :, :1].expand_as(delta))
    assert len(torch.unique((delta > 0).float().mean(dim=(1, 2, 3)))) > 1


def test_more_queries_never_find_less_and_no_more_are_asked_than_allowed(trained: Classifier, textures: Splits) -> None:
    images = textures.report.subset(range(30))
    pixels, labels = images.load().double(), torch.from_numpy(images.labels)

    def steps(most: int) -> tuple[torch.Tensor, torch.Tensor]:
        with frozen(trained.module):
            found = Square(most_queries=most).propose(
                trained, pixels, labels, Threat("linf", 6 / 255), seeds=torch.arange(30)
            )
            left = trained.logits((found.pixels * 255).round() / 255).argmax(dim=1) != labels
        assert int(found.queries.max()) <= most + 2
        return left, found.queries

    few, _ = steps(20)
    many, queries = steps(200)
    assert bool((many | ~few).all())
    assert int(many.sum()) > int(few.sum())
    assert bool((queries[~many] == 201).all())


@pytest.mark.parametrize("options", [{"most_queries": 0}, {"share": 0.0}, {"share": 1.5}])
def test_impossible_hyper_parameters_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Square(**options)  # type: ignore[arg-type]
