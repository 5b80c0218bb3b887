"""The shared filters do what scipy, or a slow literal loop, does."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from attacks.corruptions.filters import clipped_zoom, disk_kernel, filtered, gaussian_blur, motion_blur, plasma


def random_pixels(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sigma", [0.05, 0.4, 1.1, 2.5])
def test_gaussian_blur_is_scipys(sigma: float) -> None:
    pixels = random_pixels(2, 3, 20, 17)
    expected = ndimage.gaussian_filter(pixels.numpy(), (0, 0, sigma, sigma), mode="nearest", truncate=4)
    torch.testing.assert_close(gaussian_blur(pixels, sigma), torch.from_numpy(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("factor", [1.0, 1.03, 1.26, 2.25, 4.0])
def test_clipped_zoom_is_scipys_on_the_middle(factor: float) -> None:
    pixels = random_pixels(1, 1, 32, 32)
    side = math.ceil(32 / factor)
    top = (32 - side) // 2
    zoomed = ndimage.zoom(pixels[0, 0, top : top + side, top : top + side].numpy(), factor, order=1)
    trim = (zoomed.shape[0] - 32) // 2
    expected = torch.from_numpy(zoomed[trim : trim + 32, trim : trim + 32])
    torch.testing.assert_close(clipped_zoom(pixels, factor)[0, 0], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("degrees", "move"), [(0.0, (0, 1)), (90.0, (1, 0)), (-90.0, (-1, 0))])
def test_motion_blur_gathers_half_a_gaussian_along_its_direction(degrees: float, move: tuple[int, int]) -> None:
    image = torch.zeros(1, 21, 21)
    image[0, 10, 10] = 1
    smeared = motion_blur(image, radius=3, sigma=2.0, degrees=degrees)[0]
    weights = np.exp(-0.5 * (np.arange(7) / 2.0) ** 2)
    for step, weight in enumerate(weights / weights.sum()):
        assert smeared[10 - step * move[0], 10 - step * move[1]] == pytest.approx(weight, abs=1e-6)
    assert float(smeared.sum()) == pytest.approx(1, abs=1e-5)


def test_a_disk_is_flat_within_its_radius_and_soft_at_its_rim() -> None:
    hard, soft = disk_kernel(3, 0.1), disk_kernel(3, 0.5)
    inside = sum(x * x + y * y <= 9 for x in range(-3, 4) for y in range(-3, 4))
    assert float(hard.max()) == pytest.approx(1 / inside)
    assert int((hard > 1e-6).sum()) == inside
    assert int((soft > 1e-6).sum()) > inside
    assert float(soft.sum()) == pytest.approx(1)


def test_filtering_is_scipys_correlation_with_a_mirrored_border() -> None:
    pixels, kernel = random_pixels(1, 2, 15, 12), random_pixels(5, 5, seed=1)
    expected = ndimage.correlate(pixels.numpy(), kernel.numpy()[None, None], mode="mirror")
    torch.testing.assert_close(filtered(pixels, kernel), torch.from_numpy(expected), atol=1e-5, rtol=0)


def plasma_literal(side: int, decay: float, draw: torch.Generator) -> np.ndarray:
    """Point after point, as the algorithm is described: squares, then both kinds of diamonds."""
    field = np.zeros((side, side))
    step, wobble = side, 1.0
    while step >= 2:
        half, count = step // 2, side // step
        kinds = [
            ((half, half), [(-half, -half), (-half, half), (half, -half), (half, half)]),
            ((0, half), [(0, -half), (0, half), (-half, 0), (half, 0)]),
            ((half, 0), [(0, -half), (0, half), (-half, 0), (half, 0)]),
        ]
        for start, neighbours in kinds:
            noise = torch.rand(count, count, generator=draw).numpy()
            for i in range(count):
                for j in range(count):
                    y, x = start[0] + i * step, start[1] + j * step
                    mean = np.mean([field[(y + dy) % side, (x + dx) % side] for dy, dx in neighbours])
                    field[y, x] = mean + wobble * (2 * noise[i, j] - 1)
        step, wobble = half, wobble / decay**2
    field -= field.min()
    return field / field.max()


def test_plasma_is_the_diamond_square_algorithm() -> None:
    drawn = plasma((16, 11), decay=1.75, draw=torch.Generator().manual_seed(3))
    expected = plasma_literal(16, 1.75, torch.Generator().manual_seed(3))
    np.testing.assert_allclose(drawn.numpy(), expected[:, :11], atol=1e-5)
