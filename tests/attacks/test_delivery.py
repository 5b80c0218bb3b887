"""What is delivered is an 8-bit image within the threat, whatever was proposed."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attacks.delivery import add_levels, as_pixels, deliver, eight_bit, quantise, quantised_levels, resample
from attacks.threat import Threat
from wolfhound.errors import DataError, EvidenceError


def random_delta(seed: int, scale: float, *shape: int) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(
    seed=st.integers(0, 10_000), epsilon=st.floats(0, 0.5), scale=st.floats(0, 1), norm=st.sampled_from(["linf", "l2"])
)
def test_rounded_perturbations_are_integers_within_epsilon(seed: int, epsilon: float, scale: float, norm: Any) -> None:
    levels = quantised_levels(random_delta(seed, scale, 3, 6, 5), Threat(norm, epsilon)).double()
    size = levels.abs().max() if norm == "linf" else levels.square().sum().sqrt()
    assert float(size) <= 255 * epsilon * (1 + 2e-6) + 1e-6


@pytest.mark.parametrize("steps", [1, 4, 8, 10, 16, 255])
def test_a_sign_perturbation_of_whole_levels_survives_rounding(steps: int) -> None:
    signs = random_delta(0, 1.0, 3, 4, 4).sign()
    threat = Threat("linf", steps / 255)
    assert torch.equal(quantised_levels(signs * threat.epsilon, threat), (signs * steps).to(torch.int16))


def test_linf_rounding_goes_to_the_nearest_level_that_epsilon_allows() -> None:
    delta = torch.tensor([2.4, 2.6, -3.49, -9.0]).view(1, 1, 4).expand(3, 1, 4) / 255
    assert quantised_levels(delta, Threat("linf", 3.9 / 255))[0, 0].tolist() == [2, 3, -3, -3]


def test_l2_rounding_uses_nearly_the_whole_radius() -> None:
    threat = Threat("l2", 2.0)
    size = float(threat.size(quantise(random_delta(0, 1.0, 3, 32, 32), threat)))
    assert 0.99 * 2.0 < size <= 2.0


def test_l2_rounding_is_done_image_by_image() -> None:
    threat = Threat("l2", 0.4)
    batch = random_delta(1, 0.02, 5, 3, 8, 8)
    together = quantised_levels(batch, threat)
    for one, rounded in zip(batch, together, strict=True):
        assert torch.equal(quantised_levels(one, threat), rounded)


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_a_perturbation_that_is_not_finite_is_refused(poison: float) -> None:
    delta = torch.zeros(3, 2, 2)
    delta[0, 0, 0] = poison
    pixels = torch.zeros(1, 3, 2, 2)
    for threat in (Threat("l2", 1.0), None):
        with pytest.raises(EvidenceError, match="finite"):
            deliver(pixels, delta, threat)
    if poison != poison:
        with pytest.raises(EvidenceError, match="finite"):
            deliver(pixels, delta, Threat("linf", 0.1))


@given(seed=st.integers(0, 1000), epsilon=st.floats(0, 0.3), norm=st.sampled_from(["linf", "l2", None]))
def test_delivered_images_lie_in_eight_bits_and_within_the_threat(seed: int, epsilon: float, norm: Any) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (2, 3, 5, 4), generator=generator, dtype=torch.uint8)
    threat = None if norm is None else Threat(norm, epsilon)
    delivered = deliver(as_pixels(images), random_delta(seed, 0.5, 2, 3, 5, 4), threat)
    assert delivered.dtype == torch.uint8
    if threat is not None:
        difference = (delivered.double() - images.double()) / 255
        assert bool((threat.size(difference) <= epsilon * (1 + 2e-6) + 1e-8).all())


def test_images_off_the_eight_bit_grid_are_refused() -> None:
    with pytest.raises(DataError, match="8-bit grid"):
        eight_bit(torch.full((1, 3, 2, 2), 0.5))


def test_reading_an_eight_bit_image_back_is_exact() -> None:
    images = torch.arange(256, dtype=torch.uint8).repeat(3).view(1, 3, 16, 16)
    assert torch.equal(eight_bit(as_pixels(images)), images)


def test_adding_levels_clips_and_does_not_wrap() -> None:
    images = torch.tensor([0, 5, 250, 255], dtype=torch.uint8)
    levels = torch.tensor([-3, -10, 10, 1], dtype=torch.int16)
    assert add_levels(images, levels).tolist() == [0, 0, 255, 255]
    assert images.tolist() == [0, 5, 250, 255]


@given(seed=st.integers(0, 200), height=st.integers(1, 20), width=st.integers(1, 20))
def test_resampling_never_enlarges_the_linf_size(seed: int, height: int, width: int) -> None:
    delta = random_delta(seed, 0.1, 3, 7, 9)
    resized = resample(delta, (height, width))
    assert resized.shape == (3, height, width)
    assert float(resized.abs().max()) <= float(delta.abs().max()) * (1 + 1e-5)


def test_resampling_keeps_a_constant_and_leaves_the_same_size_untouched() -> None:
    constant = torch.full((3, 8, 8), 0.03)
    np.testing.assert_allclose(resample(constant, (5, 13)).numpy(), 0.03, rtol=1e-5)
    assert resample(constant, (8, 8)) is constant
