"""Maps that know nothing: the same for the same seed, and what they are said to be."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from explainers.checks.baselines import BASELINES, CENTRE_WIDTH, centre_prior, gaussian_blur, random_maps

ALL = pytest.mark.parametrize("name", BASELINES)


@ALL
def test_a_map_depends_on_seed_and_position_alone(name):
    make = BASELINES[name]
    many, few = make(5, size=(12, 9), seed=3), make(2, size=(12, 9), seed=3)
    assert many.shape == (5, 12, 9)
    torch.testing.assert_close(many[:2], few, rtol=0, atol=1e-12)


def test_images_and_seeds_have_noise_of_their_own():
    maps, other = random_maps(3, size=(8, 8), seed=1), random_maps(3, size=(8, 8), seed=2)
    assert not torch.equal(maps[0], maps[1])
    assert not torch.equal(maps, other)
    assert 0 <= float(maps.min()) <= float(maps.max()) < 1


def test_the_centre_prior_is_its_formula():
    found = centre_prior(1, size=(6, 10))[0]
    for row in range(6):
        for column in range(10):
            height, width = (row - 2.5) / (CENTRE_WIDTH * 6), (column - 4.5) / (CENTRE_WIDTH * 10)
            assert float(found[row, column]) == pytest.approx(np.exp(-0.5 * (height**2 + width**2)))


def test_blurred_noise_is_as_lively_at_the_border_as_in_the_middle():
    maps = BASELINES["blurred random"](800, size=(28, 28), seed=0)
    deviations = maps.std(dim=0)
    border, middle = deviations[0].mean(), deviations[12:16, 12:16].mean()
    assert float(border / middle) == pytest.approx(1, abs=0.06)
    corners = maps.flatten(1).argmax(dim=1)
    rows, columns = corners // 28, corners % 28
    outer = (torch.minimum(rows, 27 - rows) < 3) | (torch.minimum(columns, 27 - columns) < 3)
    # The outer 3 pixels are 38 % of the image; highest places are a little more often there, as ridges end there.
    assert float(outer.double().mean()) < 0.6


def test_the_blur_is_scipys_with_mirrored_borders():
    images = torch.rand(2, 3, 20, 17, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = gaussian_blur(images, deviation=1.5)
    for image in range(2):
        for channel in range(3):
            # scipy's "mirror" does not repeat the border pixel; radius round(3 * 1.5) = 4.
            expected = ndimage.gaussian_filter(images[image, channel].numpy(), 1.5, mode="mirror", radius=4)
            np.testing.assert_allclose(found[image, channel].numpy(), expected, atol=1e-12)


def test_a_blur_wider_than_the_image_still_keeps_its_mean_colour():
    flat = torch.full((1, 3, 4, 4), 0.3)
    torch.testing.assert_close(gaussian_blur(flat, deviation=5), flat)


def test_a_blur_of_no_width_is_refused():
    with pytest.raises(ValueError, match="deviation above 0"):
        gaussian_blur(torch.zeros(1, 3, 4, 4), deviation=0)
