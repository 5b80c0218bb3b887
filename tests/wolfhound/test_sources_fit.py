"""Fitting gives the pixels of torchvision's reference transforms on PIL images."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.wolfhound.pictures import noise
from wolfhound.errors import DataError
from wolfhound.sources import Fit
from wolfhound.torchvision_import import torchvision


def reference(steps: list[Any], image: Image.Image) -> np.ndarray[Any, Any]:
    return np.asarray(torchvision().transforms.Compose(steps)(image))


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(5, 90),
    width=st.integers(5, 90),
    shorter=st.integers(28, 37),
    interpolation=st.sampled_from(["bilinear", "bicubic", "nearest", "lanczos"]),
)
def test_crop_repeats_resize_and_center_crop(height: int, width: int, shorter: int, interpolation: Any) -> None:
    image = Image.fromarray(noise(height, width, seed=height * 100 + width))
    transforms = torchvision().transforms
    mode = transforms.InterpolationMode(interpolation)
    wanted = reference([transforms.Resize(shorter, mode), transforms.CenterCrop((27, 28))], image)
    found = Fit("crop", shorter_side=shorter, interpolation=interpolation).apply(image, (27, 28))
    assert np.array_equal(np.asarray(found), wanted)


@pytest.mark.parametrize(("height", "width"), [(375, 500), (500, 333), (224, 224), (257, 640)])
def test_crop_without_a_number_is_the_imagenet_evaluation(height: int, width: int) -> None:
    image = Image.fromarray(noise(height, width, seed=1))
    transforms = torchvision().transforms
    wanted = reference([transforms.Resize(256), transforms.CenterCrop(224)], image)
    assert np.array_equal(np.asarray(Fit("crop").apply(image, (224, 224))), wanted)


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70))
def test_squash_repeats_resize_to_both_sides(height: int, width: int) -> None:
    image = Image.fromarray(noise(height, width, seed=height * 100 + width))
    wanted = reference([torchvision().transforms.Resize((20, 31))], image)
    assert np.array_equal(np.asarray(Fit("squash").apply(image, (20, 31))), wanted)


@pytest.mark.parametrize(
    ("fit", "size", "message"),
    [
        (Fit("crop", shorter_side=200), (224, 224), "shorter_side of at least 224"),
        (Fit("squash", shorter_side=256), (224, 224), "belongs to crop"),
        (Fit(), (0, 5), "at least 1x1"),
        (Fit(method="stretch"), (5, 5), "expected squash or crop"),  # type: ignore[arg-type]
    ],
)
def test_impossible_geometry_is_refused(fit: Fit, size: tuple[int, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        fit.check(size)
