"""Composites and mask edges."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from explainers.composition import compose, dilated, eroded, grown


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_composite_is_the_stated_mixture_and_stays_between_its_parts(mask, front, back):
    parts = (torch.full((1, 3, 1, 1), front), torch.full((1, 1, 1, 1), mask), torch.full((1, 3, 1, 1), back))
    found = float(compose(*parts)[0, 0, 0, 0])
    assert found == pytest.approx(mask * front + (1 - mask) * back, abs=1e-6)
    assert min(front, back) - 1e-6 <= found <= max(front, back) + 1e-6


def test_full_and_empty_masks_give_the_parts_to_the_bit():
    generator = torch.Generator().manual_seed(0)
    front, back = (torch.rand(2, 3, 4, 4, generator=generator) for _ in range(2))
    assert torch.equal(compose(front, torch.ones(2, 1, 4, 4), back), front)
    assert torch.equal(compose(front, torch.zeros(2, 1, 4, 4), back), back)


def test_masks_grow_and_shrink_by_one_pixel():
    mask = torch.zeros(1, 1, 7, 7)
    mask[..., 2:5, 2:5] = 1
    grown, shrunk = torch.zeros(1, 1, 7, 7), torch.zeros(1, 1, 7, 7)
    grown[..., 1:6, 1:6] = 1
    shrunk[..., 3, 3] = 1
    assert torch.equal(dilated(mask), grown)
    assert torch.equal(eroded(mask), shrunk)


def test_the_border_of_the_image_does_not_shrink_a_mask():
    assert torch.equal(eroded(torch.ones(1, 1, 3, 3)), torch.ones(1, 1, 3, 3))


def test_masks_of_another_size_are_refused():
    with pytest.raises(ValueError, match="expected backgrounds like the images"):
        compose(torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 2, 2), torch.zeros(1, 3, 4, 4))


def test_growing_and_shrinking_move_the_outline_by_that_many_pixels():
    mask = torch.zeros(1, 1, 21, 21)
    mask[..., 6:15, 6:15] = 1
    assert [int(grown(mask, by).sum()) for by in (-4, -2, 0, 3)] == [1, 25, 81, 225]
