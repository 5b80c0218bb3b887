"""SSIM is the paper's, LPIPS fails clearly where it cannot be had, and sizes go to the rows that they belong to."""

import math
import sys

import numpy as np
import pytest
import torch
from torch import nn

from attacks.per_image.driver import attack_images
from attacks.per_image.targeted_ascent import TargetedAscent
from attacks.perceptual import load_lpips, lpips_distances, ssim, with_sizes
from attacks.threat import Threat
from wolfhound.classifier import Classifier
from wolfhound.errors import DataError, ModelError
from wolfhound.images import Splits


def pair(size: tuple[int, int], *, strength: float = 0.1, count: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(count, 3, *size, generator=generator)
    return first, (first + strength * torch.randn(first.shape, generator=generator)).clamp(0, 1)


def ssim_literal(x: np.ndarray, y: np.ndarray) -> float:
    """Window after window of one channel, as section III of the paper has it."""
    window = np.array([[math.exp(-((i - 5) ** 2 + (j - 5) ** 2) / (2 * 1.5**2)) for j in range(11)] for i in range(11)])
    window /= window.sum()
    values = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = (image[top : top + 11, left : left + 11] for image in (x, y))
            mean_a, mean_b = (window * a).sum(), (window * b).sum()
            variance_a, variance_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
            covariance = (window * (a - mean_a) * (b - mean_b)).sum()
            c1, c2 = 0.01**2, 0.03**2
            above = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
            values.append(above / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2)))
    return float(np.mean(values))


def test_ssim_is_the_papers_channel_by_channel() -> None:
    first, second = pair((16, 13))
    for similarity, x, y in zip(ssim(first, second), first.double().numpy(), second.double().numpy(), strict=True):
        expected = np.mean([ssim_literal(x[channel], y[channel]) for channel in range(3)])
        assert float(similarity) == pytest.approx(expected, abs=1e-9)


@pytest.mark.peers
def test_ssim_is_scikit_images() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    for size, strength in [((32, 32), 0.05), ((40, 23), 0.3), ((11, 11), 0.1)]:
        first, second = pair(size, strength=strength)
        for similarity, x, y in zip(ssim(first, second), first.double().numpy(), second.double().numpy(), strict=True):
            expected = metrics.structural_similarity(
                x, y, data_range=1, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
            )
            assert float(similarity) == pytest.approx(expected, abs=1e-6)


def test_equal_images_are_wholly_similar_and_more_noise_is_less_similar() -> None:
    first, weak = pair((24, 24), strength=0.02)
    _, strong = pair((24, 24), strength=0.2)
    torch.testing.assert_close(ssim(first, first), torch.ones(2, dtype=torch.float64))
    assert bool((ssim(first, weak) > ssim(first, strong)).all())
    torch.testing.assert_close(ssim(first, strong), ssim(strong, first))


def test_images_that_ssim_cannot_compare_are_refused() -> None:
    first, second = pair((24, 24))
    with pytest.raises(DataError, match="one shape"):
        ssim(first, second[..., :20])
    with pytest.raises(DataError, match="at least 11 pixels"):
        ssim(first[..., :10], second[..., :10])
    with pytest.raises(ValueError, match="did you forget to divide by 255"):
        ssim(first * 255, second)


def test_lpips_without_its_package_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(ModelError, match="pip install"):
        load_lpips()


def test_lpips_whose_weights_cannot_be_fetched_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unreachable:
        @staticmethod
        def LPIPS(**_: object) -> nn.Module:  # noqa: N802
            raise OSError("Name or service not known")

    monkeypatch.setitem(sys.modules, "lpips", Unreachable)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="cannot be fetched: Name or service not known"):
        load_lpips()


class MeanDifference(nn.Module):
    """Stands in for LPIPS: the mean absolute difference on its scale of [-1, 1]."""

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
        return (first - second).abs().mean(dim=(1, 2, 3), keepdim=True)


def test_lpips_gets_pixels_between_minus_one_and_one() -> None:
    first, second = torch.full((1, 3, 16, 16), 0.25), torch.full((1, 3, 16, 16), 0.5)
    assert lpips_distances(first, second, MeanDifference()).tolist() == [0.5]


def test_sizes_go_to_the_successes_that_were_kept(trained: Classifier, textures: Splits) -> None:
    images = textures.report.subset(range(12))
    targets = (images.labels + 1) % 4
    keep = [9, 0, 1, 2, 3, 4]
    result = attack_images(
        TargetedAscent(most_steps=8),
        trained,
        images,
        targets,
        Threat("linf", 6 / 255),
        generator=torch.Generator().manual_seed(0),
        keep=keep,
    )
    sized = with_sizes(result.ledger, images, result.adversarial, positions=keep, metric=MeanDifference(), batch_size=2)
    hits = [i for i in keep if result.ledger["success"].iloc[i]]
    assert hits
    for i in range(12):
        row = sized.iloc[i]
        assert math.isnan(row["ssim"]) == (i not in hits) == math.isnan(row["lpips"])
        if i in hits:
            before = images.load([i])
            after = result.adversarial[keep.index(i)][None].float() / 255
            assert row["ssim"] == pytest.approx(float(ssim(before, after)))
            assert row["lpips"] == pytest.approx(float(2 * (after - before).abs().mean()), rel=1e-5)
    for name in ("linf", "l2"):
        np.testing.assert_allclose(sized[name], result.ledger[name], rtol=1e-5, err_msg="measured again, the same")
    assert "ssim" not in result.ledger


def test_a_ledger_of_other_images_is_refused(trained: Classifier, textures: Splits) -> None:
    images = textures.report.subset(range(3))
    result = attack_images(
        TargetedAscent(most_steps=1), trained, images, images.labels, None, generator=torch.Generator(), keep=[0]
    )
    with pytest.raises(DataError, match="these very images"):
        with_sizes(result.ledger, textures.report.subset(range(1, 4)), result.adversarial, positions=[0])
    with pytest.raises(DataError, match="one a position"):
        with_sizes(result.ledger, images, result.adversarial, positions=[0, 1])
