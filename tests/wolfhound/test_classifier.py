"""A classifier's preprocessing, and what it takes for logits."""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from wolfhound.classifier import Classifier, Preprocessing, state_digest
from wolfhound.errors import ModelError


def random_pixels(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)


class Echo(nn.Module):
    """A network without parameters that returns the mean of each channel; it keeps what it was given."""

    def forward(self, pixels: Tensor) -> Tensor:
        self.seen = pixels
        return pixels.mean(dim=(2, 3))


def classifier_of(module: nn.Module, classes: int, preprocessing: Preprocessing) -> Classifier:
    names = tuple(str(i) for i in range(classes))
    return Classifier("c", module, names, preprocessing, weights_digest="")


# --- preprocessing


def test_every_channel_is_normalised_by_its_own_mean_and_deviation() -> None:
    preprocessing = Preprocessing((0.1, 0.2, 0.3), (0.5, 0.25, 2.0), (2, 2))
    pixels = random_pixels(2, 3, 2, 2)
    prepared = preprocessing.apply(pixels)
    for image in range(2):
        for channel, (mean, std) in enumerate(zip((0.1, 0.2, 0.3), (0.5, 0.25, 2.0), strict=True)):
            for row in range(2):
                for column in range(2):
                    expected = (float(pixels[image, channel, row, column]) - mean) / std
                    assert float(prepared[image, channel, row, column]) == pytest.approx(expected, abs=1e-12)


def test_pixels_of_the_right_size_are_not_resampled() -> None:
    pixels = random_pixels(1, 3, 5, 7)
    assert torch.equal(Preprocessing(input_size=(5, 7)).apply(pixels), pixels)


def triangle_resampled(line: list[float], size: int) -> list[float]:
    """Antialiased linear resampling, literally: a triangle as wide as one output pixel, normalised at the borders."""
    scale = len(line) / size
    reach = max(scale, 1.0)
    resampled = []
    for i in range(size):
        centre = (i + 0.5) * scale
        weights = [max(0.0, 1 - abs((j + 0.5 - centre) / reach)) for j in range(len(line))]
        resampled.append(sum(w * value for w, value in zip(weights, line, strict=True)) / sum(weights))
    return resampled


@pytest.mark.parametrize(("height", "width"), [(4, 4), (6, 3), (16, 20), (8, 5)])
def test_resampling_is_the_antialiased_triangle_filter_in_both_directions(height: int, width: int) -> None:
    pixels = random_pixels(1, 3, 8, 10)
    got = Preprocessing(input_size=(height, width)).apply(pixels)
    for channel in range(3):
        rows = [triangle_resampled(row, width) for row in pixels[0, channel].tolist()]
        columns = [triangle_resampled(list(column), height) for column in zip(*rows, strict=True)]
        literal = torch.tensor(columns, dtype=torch.float64).T
        torch.testing.assert_close(got[0, channel], literal, atol=1e-9, rtol=0)


def test_resampling_agrees_with_pillow_to_the_rounding_of_8_bits() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    theirs = np.asarray(Image.fromarray(picture).resize((16, 12), Image.Resampling.BILINEAR), dtype=np.float64)
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].double() / 255
    ours = Preprocessing(input_size=(12, 16)).apply(pixels)[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(ours - theirs).max() <= 1.0


def test_an_input_size_is_height_then_width() -> None:
    assert Preprocessing(input_size=(4, 9)).apply(random_pixels(1, 3, 8, 8)).shape == (1, 3, 4, 9)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 12), st.integers(1, 12))
def test_resampling_never_leaves_the_range_of_the_pixels(height: int, width: int, to_h: int, to_w: int) -> None:
    prepared = Preprocessing(input_size=(to_h, to_w)).apply(random_pixels(1, 3, height, width))
    assert prepared.min() >= -1e-12
    assert prepared.max() <= 1 + 1e-12


def test_preprocessing_is_differentiable_and_keeps_the_type_of_the_pixels() -> None:
    pixels = random_pixels(2, 3, 6, 6).requires_grad_()
    preprocessing = Preprocessing((0.4, 0.4, 0.4), (0.2, 0.2, 0.2), (3, 3))
    assert torch.autograd.gradcheck(preprocessing.apply, (pixels,))
    assert preprocessing.apply(pixels.detach().float()).dtype == torch.float32


def test_preprocessing_leaves_the_callers_pixels_as_they_were() -> None:
    pixels = random_pixels(1, 3, 4, 4)
    before = pixels.clone()
    Preprocessing((0.5, 0.5, 0.5), (0.1, 0.1, 0.1), (4, 4)).apply(pixels).mul_(0)
    assert torch.equal(pixels, before)


@pytest.mark.parametrize(
    "fields",
    [
        {"std": (1.0, 0.0, 1.0)},
        {"std": (1.0, -1.0, 1.0)},
        {"std": (1.0, math.nan, 1.0)},
        {"std": (1.0, math.inf, 1.0)},
        {"std": (1.0,)},
        {"mean": (0.5,)},
        {"mean": (0.5, math.nan, 0.5)},
        {"input_size": (0, 4)},
        {"input_size": (4,)},
    ],
)
def test_preprocessing_that_would_make_nonsense_of_the_logits_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ModelError, match="expected"):
        Preprocessing(**fields)  # type: ignore[arg-type]


# --- logits


def test_logits_are_the_module_applied_to_the_prepared_pixels() -> None:
    echo = Echo()
    preprocessing = Preprocessing((0.1, 0.2, 0.3), (0.5, 0.5, 0.5), (4, 4))
    pixels = random_pixels(2, 3, 8, 8)
    logits = classifier_of(echo, 3, preprocessing).logits(pixels)
    assert torch.equal(echo.seen, preprocessing.apply(pixels))
    assert torch.equal(logits, preprocessing.apply(pixels).mean(dim=(2, 3)))


def test_gradients_of_the_logits_are_the_exact_ones_of_a_linear_network(linear_classifier: Classifier) -> None:
    pixels = random_pixels(2, 3, 8, 8).requires_grad_()
    linear_classifier.logits(pixels)[:, 2].sum().backward()
    assert pixels.grad is not None
    weight = linear_classifier.module[1].weight[2].detach().reshape(3, 8, 8)  # type: ignore[index,union-attr]
    for image in range(2):
        torch.testing.assert_close(pixels.grad[image], weight)


@pytest.mark.parametrize(
    "wrong", [torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1, 3, 8, 8, dtype=torch.int64)]
)
def test_whole_numbered_pixels_are_refused(linear_classifier: Classifier, wrong: Tensor) -> None:
    with pytest.raises(TypeError, match="divide uint8 pixels by 255"):
        linear_classifier.logits(wrong)


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 8, 8, 3), (1, 1, 8, 8)])
def test_pixels_of_another_layout_are_refused(linear_classifier: Classifier, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\[B, 3, H, W\]"):
        linear_classifier.logits(torch.zeros(shape))


class Returns(nn.Module):
    """A network that returns whatever `make` makes of its input."""

    def __init__(self, make: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.make = make

    def forward(self, pixels: Tensor) -> object:
        return self.make(pixels)


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (lambda p: p.new_zeros(len(p), 5), r"\[2, 5\]"),
        (lambda p: p.new_zeros(len(p)), r"\[2\]"),
        (lambda p: p.new_zeros(1, 4), r"\[1, 4\]"),
        (lambda p: p.new_zeros(len(p), 4, 1, 1), r"\[2, 4, 1, 1\]"),
        (lambda p: (p.new_zeros(len(p), 4), None), "tuple"),
        (lambda p: {"logits": p.new_zeros(len(p), 4)}, "dict"),
    ],
)
def test_anything_but_one_score_a_class_name_is_refused(make: Callable[[Tensor], object], found: str) -> None:
    classifier = classifier_of(Returns(make), 4, Preprocessing(input_size=(8, 8)))
    with pytest.raises(ModelError, match=rf"expected logits of shape \[2, 4\], one a class name, got {found}"):
        classifier.logits(torch.zeros(2, 3, 8, 8))


def test_a_network_without_parameters_is_a_float32_network_on_the_cpu() -> None:
    classifier = classifier_of(Echo(), 3, Preprocessing())
    assert (classifier.device, classifier.dtype, classifier.parameter_count) == (torch.device("cpu"), torch.float32, 0)


def test_device_type_and_size_are_those_of_the_parameters(linear_classifier: Classifier) -> None:
    assert linear_classifier.dtype == torch.float64
    assert linear_classifier.parameter_count == 4 * 3 * 8 * 8 + 4
    moved = replace(linear_classifier, module=nn.Linear(2, 2, device="meta"))
    assert moved.device == torch.device("meta")


def test_a_moved_classifier_is_the_same_in_all_else(linear_classifier: Classifier) -> None:
    moved = linear_classifier.to("cpu")
    for name in ("name", "class_names", "preprocessing", "weights_digest", "architecture", "provenance"):
        assert getattr(moved, name) == getattr(linear_classifier, name)


def test_the_identity_holds_what_answers_follow_from_and_no_name() -> None:
    module = nn.Conv2d(3, 2, 1)
    given = Classifier("a", module, ("x", "y"), Preprocessing(), state_digest(module.state_dict()), architecture="conv")
    assert replace(given, name="b", provenance="elsewhere").identity == given.identity
    others = [
        replace(given, preprocessing=Preprocessing(mean=(0.5, 0.5, 0.5))),
        replace(given, preprocessing=Preprocessing(input_size=(8, 8))),
        replace(given, class_names=("y", "x")),
        replace(given, weights_digest="0" * 64),
        replace(given, architecture="another"),
        replace(given, gradient_dtype=torch.bfloat16),
    ]
    assert len({given.identity, *(other.identity for other in others)}) == 7
