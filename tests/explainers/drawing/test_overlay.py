"""Overlays: exact mixtures, honest enlargements, colours that carry the order of the values."""

import numpy as np
import pytest
import torch

from explainers.drawing.overlay import SAFE_COLOURS, colour_table, heat_picture, overlay, picture


@pytest.mark.parametrize("name", SAFE_COLOURS)
def test_every_colour_map_rises_in_lightness(name):
    """Relative luminance (ITU-R BT.709) never falls by more than a rounding, so the order survives without colour."""
    luminance = colour_table(name) @ np.array([0.2126, 0.7152, 0.0722])
    assert np.diff(luminance).min() > -2e-3
    assert luminance[-1] > luminance[0] + 0.5


def test_a_rainbow_is_refused():
    with pytest.raises(ValueError, match="viridis"):
        colour_table("jet")


def test_a_picture_is_enlarged_by_repeating_its_pixels():
    pixels = torch.tensor([[0.0, 1.0], [0.2, 0.4]]).expand(3, 2, 2)
    shown = picture(pixels, size=(4, 4))
    assert shown.dtype == np.uint8
    assert shown[:, :, 0].tolist() == [[0, 0, 255, 255]] * 2 + [[51, 51, 102, 102]] * 2


def test_an_overlay_is_the_stated_mixture():
    pixels, heat = torch.full((3, 2, 2), 0.6), torch.tensor([[0.0, 1.0], [0.5, 0.25]])
    shown = overlay(pixels, heat, strength=0.25, colours="viridis")
    table = colour_table("viridis")
    for (row, column), value in np.ndenumerate(heat.numpy()):
        expected = 0.75 * 0.6 + 0.25 * table[round(255 * float(value))]
        np.testing.assert_allclose(shown[row, column], expected * 255, atol=0.51)


def test_strength_0_is_the_picture_and_1_the_map():
    generator = torch.Generator().manual_seed(0)
    pixels, heat = torch.rand(3, 4, 4, generator=generator), torch.rand(4, 4, generator=generator)
    assert np.array_equal(overlay(pixels, heat, strength=0, size=(8, 8)), picture(pixels, size=(8, 8)))
    assert np.array_equal(overlay(pixels, heat, strength=1, size=(8, 8)), heat_picture(heat, size=(8, 8)))


@pytest.mark.parametrize(
    ("pixels", "heat", "reason"),
    [
        (torch.zeros(1, 3, 2, 2), torch.zeros(2, 2), "one image"),
        (torch.zeros(3, 2, 2), torch.zeros(1, 2, 2), "one map"),
        (torch.full((3, 2, 2), 255.0), torch.zeros(2, 2), "pixels within"),
        (torch.zeros(3, 2, 2), torch.full((2, 2), -0.5), "the map within"),
        (torch.zeros(3, 2, 2), torch.full((2, 2), float("nan")), "the map within"),
    ],
)
def test_what_is_no_image_or_map_is_refused(pixels, heat, reason):
    with pytest.raises(ValueError, match=reason):
        overlay(pixels, heat)
