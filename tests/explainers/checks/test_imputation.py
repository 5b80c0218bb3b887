"""Noisy linear imputation against a direct solution of its equations, written out one by one."""

import numpy as np
import pytest
import torch

from explainers.checks.baselines import gaussian_blur
from explainers.checks.imputation import impute
from wolfhound.errors import DataError


def literal(image, removed):
    """Solve x_i = sum_j w_ij x_j / sum_j w_ij for every removed pixel, one channel at a time."""
    height, width = removed.shape
    places = [(row, column) for row in range(height) for column in range(width) if removed[row, column]]
    number = {place: index for index, place in enumerate(places)}
    filled = image.copy()
    for channel in range(3):
        matrix, right = np.zeros((len(places), len(places))), np.zeros(len(places))
        for index, (row, column) in enumerate(places):
            for down in (-1, 0, 1):
                for across in (-1, 0, 1):
                    other = (row + down, column + across)
                    if other == (row, column) or not (0 <= other[0] < height and 0 <= other[1] < width):
                        continue
                    weight = 1 / 12 if down and across else 1 / 6
                    matrix[index, index] += weight
                    if other in number:
                        matrix[index, number[other]] -= weight
                    else:
                        right[index] += weight * image[channel][other]
        for place, value in zip(places, np.linalg.solve(matrix, right), strict=True):
            filled[channel][place] = value
    return filled


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_imputed_values_solve_the_equations(share):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 14, 11, generator=generator, dtype=torch.float64)
    # One hole is scattered, the other one in a single piece that touches the border.
    scattered = torch.rand(14, 11, generator=generator) < share
    piece = torch.zeros(14, 11, dtype=torch.bool)
    piece.view(-1)[: round(share * 14 * 11)] = True
    found = impute(images, torch.stack([scattered, piece]))
    for image, removed in enumerate((scattered, piece)):
        np.testing.assert_allclose(found[image].numpy(), literal(images[image].numpy(), removed.numpy()), atol=3e-4)


def test_what_was_not_removed_stays_to_the_bit_and_noise_falls_on_the_rest_alone():
    generator = torch.Generator().manual_seed(1)
    images, noise = (torch.rand(1, 3, 9, 9, generator=generator) for _ in range(2))
    removed = torch.rand(1, 9, 9, generator=generator) < 0.4
    plain, noisy = impute(images, removed), impute(images, removed, noise=noise)
    kept = ~removed[0]
    assert torch.equal(plain[0][:, kept], images[0][:, kept])
    assert torch.equal(noisy[0][:, kept], images[0][:, kept])
    torch.testing.assert_close((noisy - plain)[0][:, removed[0]], noise[0][:, removed[0]], rtol=0, atol=1e-5)


def test_a_constant_image_is_imputed_to_itself():
    images = torch.full((1, 3, 16, 16), 0.4)
    removed = torch.ones(1, 16, 16, dtype=torch.bool)
    removed[0, 3, 5] = False
    torch.testing.assert_close(impute(images, removed), images, rtol=0, atol=1e-5)


def test_a_large_hole_in_a_larger_image_converges_to_the_same_values_at_any_batch_size():
    images = gaussian_blur(torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(2)), deviation=2)
    removed = torch.ones(3, 64, 64, dtype=torch.bool)
    removed[:, :6], removed[:, :, :3] = False, False
    whole = impute(images, removed)
    for image in range(3):
        alone = impute(images[image : image + 1], removed[image : image + 1])
        torch.testing.assert_close(alone[0], whole[image], rtol=0, atol=1e-3)


def test_an_image_of_which_nothing_is_left_is_refused():
    with pytest.raises(DataError, match="at least one pixel"):
        impute(torch.zeros(1, 3, 4, 4), torch.ones(1, 4, 4, dtype=torch.bool))
