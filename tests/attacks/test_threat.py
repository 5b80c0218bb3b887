"""A threat's bounds, its text, and projection against closed forms."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attacks.threat import LARGEST_L2, Threat


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("linf", 8.0), r"expected epsilon in \(0, 1\].*got 8.0 \(did you mean 8/255\?\)"),
        (("l2", 2000.0), r"expected an L2 epsilon in \(0, 388.*\(did you mean 2000/255\?\)"),
        (("linf", -0.1), "got -0.1$"),
        (("linf", math.nan), "got nan$"),
        (("linf", 1000.0), "got 1000.0$"),
        (("linf", True), "as a number, got True"),
        (("l1", 0.1), "expected a norm out of linf, l2, patch, got 'l1'"),
        (("patch", 5.0), r"expected a patch's share of the area in \(0, 1\], or 0 as a control, got 5.0$"),
        (("patch", 0.1, None, "white-box", "left"), "expected a place out of centre, top left"),
        (("linf", 0.1, -1), "target class index"),
        (("linf", 0.1, None, "guess"), "expected knowledge out of"),
    ],
)
def test_an_impossible_threat_is_refused_with_a_hint(arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Threat(*arguments)


@pytest.mark.parametrize(
    ("threat", "text"),
    [
        (Threat("linf", 10 / 255), "linf 10/255, untargeted, white-box"),
        (Threat("linf", 0.03), "linf 0.03, untargeted, white-box"),
        (Threat("l2", 2000 / 255, target=7), "l2 2000/255, target class 7, white-box"),
        (Threat("linf", 0.0, knowledge="transfer"), "linf 0, untargeted, transfer"),
        (
            Threat("patch", 10 / 255, place="top left"),
            "patch 0.03921568627 of the area (top left), untargeted, white-box",
        ),
    ],
)
def test_the_text_names_norm_size_goal_and_knowledge(threat: Threat, text: str) -> None:
    assert threat.text == text


def test_the_largest_bounds_are_allowed() -> None:
    assert Threat("linf", 1).epsilon == 1
    assert Threat("l2", LARGEST_L2).epsilon == LARGEST_L2


@given(
    seed=st.integers(0, 1000),
    epsilon=st.just(0.0) | st.floats(1e-6, 1),
    norm=st.sampled_from(["linf", "l2"]),
    scale=st.just(0.0) | st.floats(1e-6, 3),
)
def test_projection_is_within_epsilon_and_leaves_alone_what_already_is(
    seed: int, epsilon: float, norm: Any, scale: float
) -> None:
    threat = Threat(norm, epsilon)
    delta = scale * torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    projected = threat.project(delta)
    assert bool((threat.size(projected) <= epsilon * (1 + 1e-12)).all())
    torch.testing.assert_close(threat.project(projected), projected, rtol=1e-12, atol=0)
    for one, bounded in zip(delta, projected, strict=True):
        assert torch.equal(threat.project(one), bounded)
        if float(threat.size(one)) <= epsilon:
            assert torch.equal(bounded, one)


def test_an_l2_projection_keeps_the_direction_and_takes_the_radius() -> None:
    delta = torch.zeros(3, 1, 2, dtype=torch.float64)
    delta[0, 0], delta[2, 0, 1] = torch.tensor([2.0, 4.0]), 4.0
    torch.testing.assert_close(Threat("l2", 3.0).project(delta), delta / 2)
    assert float(Threat("l2", 1.0).size(delta)) == 6.0


def test_an_l2_projection_of_a_large_image_in_single_precision_is_within_epsilon() -> None:
    generator = torch.Generator().manual_seed(0)
    delta = torch.randn(8, 3, 224, 224, generator=generator) * torch.rand(8, 1, 1, 1, generator=generator)
    delta[:, :, 50:] *= 0.01
    assert float(Threat("l2", 1.0).size(Threat("l2", 1.0).project(delta)).max()) <= 1 + 1e-6


def test_the_steepest_direction_has_unit_size_and_a_zero_gradient_none() -> None:
    gradient = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gradient[1] = 0
    for norm in ("linf", "l2"):
        direction = Threat(norm, 1.0).steepest(gradient)  # type: ignore[arg-type]
        torch.testing.assert_close(Threat(norm, 1.0).size(direction), torch.tensor([1.0, 0.0]).double())  # type: ignore[arg-type]
        assert float((direction[0] * gradient[0]).sum()) > 0


@given(
    share=st.just(0.0) | st.floats(1e-4, 1),
    place=st.sampled_from(["centre", "top left", "top right", "bottom left", "bottom right"]),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
)
def test_a_patch_is_the_largest_square_of_its_share_within_the_image(
    share: float, place: Any, height: int, width: int
) -> None:
    threat = Threat("patch", share, place=place)
    top, left, side = threat.box((height, width))
    assert side**2 <= share * height * width * (1 + 1e-9) + 1e-9
    assert side == min(height, width) or (side + 1) ** 2 > share * height * width
    assert 0 <= top <= height - side
    assert 0 <= left <= width - side
    assert ("top" in place) <= (top == 0)
    assert ("bottom" in place) <= (top + side == height)
    assert ("left" in place) <= (left == 0)
    assert ("right" in place) <= (left + side == width)
    if place == "centre":
        assert abs(2 * top + side - height) <= 1
        assert abs(2 * left + side - width) <= 1


def test_a_patch_may_be_anything_within_its_square_and_nothing_outside() -> None:
    threat = Threat("patch", 0.25, place="top right")
    delta = 3 * torch.randn(2, 3, 8, 10, generator=torch.Generator().manual_seed(0))
    projected = threat.project(delta)
    top, left, side = threat.box((8, 10))
    assert (top, left, side) == (0, 6, 4)
    assert torch.equal(projected[..., :4, 6:], delta[..., :4, 6:].clamp(-1, 1))
    projected[..., :4, 6:] = 0
    assert not projected.any()
    assert not threat.steepest(delta)[..., 4:, :].any()
    assert torch.equal(threat.steepest(delta)[..., :4, 6:], delta[..., :4, 6:].sign())
    assert threat.size(threat.project(delta)).tolist() == [16 / 80] * 2
    assert threat.l2_radius(300) == pytest.approx(75**0.5)
