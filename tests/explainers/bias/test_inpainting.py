"""Painting over: what is known stays, what is filled comes from around it."""

import pytest
import torch

from explainers.bias.inpainting import mirrored_from_strip, painted_over


def test_what_is_not_masked_stays_to_the_bit():
    images = torch.rand(3, 3, 13, 10, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(3, 1, 13, 10)
    masks[:, :, 4:9, 2:7] = 1
    filled = painted_over(images, masks)
    assert torch.equal(filled * (1 - masks), images * (1 - masks))


@pytest.mark.parametrize("size", [(8, 8), (13, 10), (1, 7)])
def test_an_even_background_is_continued_exactly(size):
    images = torch.tensor([0.2, 0.5, 0.9]).view(1, 3, 1, 1).expand(1, 3, *size).clone()
    masks = torch.zeros(1, 1, *size)
    masks[..., 1:5] = 1
    disturbed = torch.where(masks.bool(), torch.tensor(0.7), images)
    assert torch.allclose(painted_over(disturbed, masks), images, atol=1e-6)


def test_the_object_leaves_no_trace_of_its_colour():
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    masks = torch.zeros(1, 1, 16, 16)
    masks[:, :, 5:11, 5:11] = 1
    repainted = torch.where(masks.bool(), 1 - images, images)
    assert torch.equal(painted_over(images, masks), painted_over(repainted, masks))


def test_a_filling_lies_within_the_range_of_what_is_known():
    images = torch.rand(4, 3, 17, 17, generator=torch.Generator().manual_seed(2)) * 0.4 + 0.3
    masks = (torch.rand(4, 1, 17, 17, generator=torch.Generator().manual_seed(3)) > 0.4).float()
    filled = painted_over(images, masks)
    assert 0.3 - 1e-6 <= float(filled.min()) <= float(filled.max()) <= 0.7 + 1e-6


def test_an_image_that_is_masked_as_a_whole_becomes_grey():
    assert torch.equal(painted_over(torch.rand(1, 3, 5, 5), torch.ones(1, 1, 5, 5)), torch.full((1, 3, 5, 5), 0.5))


def test_a_plate_of_a_strip_is_the_strip_and_its_mirror_images():
    image = torch.arange(64.0).view(1, 1, 8, 8).expand(1, 3, 8, 8)
    plates, enough = mirrored_from_strip(image, torch.tensor([[3, 0, 8, 8]]))
    assert enough.tolist() == [True]
    rows = [0, 1, 2, 2, 1, 0, 0, 1]
    assert torch.equal(plates[0], image[0][:, rows])


def test_a_strip_that_is_too_narrow_is_said_to_be():
    _, enough = mirrored_from_strip(torch.rand(2, 3, 16, 16), torch.tensor([[0, 0, 16, 15], [0, 0, 16, 14]]))
    assert enough.tolist() == [False, True]
