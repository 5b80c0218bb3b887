"""The checks at the edges: what they let through unchanged, and what they refuse and how they say so."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from wolfhound.checks import check_labels, check_pixel_layout, check_pixels

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def grey(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.full(shape or (2, 3, 4, 5), 0.5, dtype=dtype)


@pytest.mark.parametrize("dtype", FLOATS)
def test_pixels_from_0_to_1_pass_in_every_floating_type(dtype: torch.dtype) -> None:
    pixels = grey(dtype=dtype)
    pixels[0, 0, 0, 0], pixels[1, 2, 3, 4] = 0, 1
    check_pixels(pixels)


def test_pixels_are_checked_without_touching_them_or_their_graph() -> None:
    pixels = grey().requires_grad_()
    before = pixels.detach().clone()
    check_pixels(pixels)
    assert torch.equal(pixels.detach(), before)
    assert pixels.grad is None


def test_pixels_laid_out_otherwise_in_memory_pass() -> None:
    check_pixels(grey().contiguous(memory_format=torch.channels_last))
    check_pixels(grey(1, 3, 1, 1).expand(4, 3, 6, 6))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1e-6, 1 + 1e-6, 255.0])
@pytest.mark.parametrize("place", [(0, 0, 0, 0), (1, 2, 3, 4)])
def test_one_value_outside_0_1_anywhere_is_refused(value: float, place: tuple[int, ...]) -> None:
    pixels = grey()
    pixels[place] = value
    with pytest.raises(ValueError, match=r"expected photos within \[0, 1\], got values from"):
        check_pixels(pixels, name="photos")


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=12, max_size=12))
def test_pixels_pass_exactly_where_every_value_lies_in_0_1(values: list[float]) -> None:
    pixels = torch.tensor(values).reshape(1, 3, 2, 2)
    if all(0 <= value <= 1 for value in values):
        check_pixels(pixels)
    else:
        with pytest.raises(ValueError, match="within"):
            check_pixels(pixels)


def test_forgotten_division_is_named_where_values_reach_255_and_only_there() -> None:
    with pytest.raises(ValueError, match="divide by 255"):
        check_pixels(grey() * 255)
    with pytest.raises(ValueError) as raised:
        check_pixels(grey() * 2.1)
    assert "255" not in str(raised.value)


@pytest.mark.parametrize("check", [check_pixels, check_pixel_layout])
@pytest.mark.parametrize(
    "wrong", [grey().mul(255).to(torch.uint8), grey().bool(), grey().to(torch.complex64), [[0.5]], None]
)
def test_what_is_no_floating_tensor_is_a_type_error(check: object, wrong: object) -> None:
    with pytest.raises(TypeError, match="floating tensor"):
        check(wrong)  # type: ignore[operator]


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 1, 4, 5), (2, 4, 5, 3), (2, 3, 4), (2, 3, 4, 5, 6), (2, 4, 4, 5)])
@pytest.mark.parametrize("check", [check_pixels, check_pixel_layout])
def test_another_shape_is_refused_and_shown(check: object, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"of shape \[B, 3, H, W\], got") as raised:
        check(grey(*shape))  # type: ignore[operator]
    assert str(list(shape)) in str(raised.value)


@pytest.mark.parametrize("shape", [(0, 3, 4, 4), (1, 3, 0, 4)])
def test_no_pixel_at_all_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least one image"):
        check_pixels(torch.zeros(shape))


def test_the_layout_check_looks_at_no_value() -> None:
    check_pixel_layout(torch.full((1, 3, 2, 2), math.nan))
    check_pixel_layout(torch.empty((1, 3, 2, 2), device="meta"))


def test_labels_of_the_classes_pass_and_none_do_too() -> None:
    check_labels(torch.tensor([0, 4, 2]), count=3, classes=5)
    check_labels(torch.tensor([], dtype=torch.int64), count=0, classes=5)


@pytest.mark.parametrize("labels", [[0, 5], [-1, 0]])
def test_a_label_outside_the_classes_is_refused(labels: list[int]) -> None:
    with pytest.raises(ValueError, match=r"expected labels in \[0, 5\)"):
        check_labels(torch.tensor(labels), count=2, classes=5)


@pytest.mark.parametrize(
    "labels", [torch.tensor([0]), torch.tensor([[0, 1]]), torch.tensor([0, 1, 2]), torch.tensor(1)]
)
def test_another_number_of_labels_than_images_is_refused(labels: Tensor) -> None:
    with pytest.raises(ValueError, match="expected 2 labels, one an image"):
        check_labels(labels, count=2, classes=5)


@pytest.mark.parametrize("dtype", [torch.int32, torch.float32, torch.bool, torch.uint8])
def test_labels_of_another_type_are_a_type_error(dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match="int64"):
        check_labels(torch.zeros(2, dtype=dtype), count=2, classes=5)
