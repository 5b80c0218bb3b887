"""Noise controls use the whole threat and nothing but their seed."""

import pytest
import torch

from attacks.controls import noise_controls, sign_noise
from attacks.threat import Threat


def test_linf_noise_is_plus_or_minus_epsilon_about_equally_often() -> None:
    noise = sign_noise(Threat("linf", 10 / 255), (32, 32), generator=torch.Generator().manual_seed(0))
    assert set((noise * 255).round().unique().tolist()) == {-10.0, 10.0}
    assert abs(float(noise.sign().mean())) < 0.06


@pytest.mark.parametrize("epsilon", [0.5, 2.0, 2000 / 255])
def test_l2_noise_fills_the_radius_up_to_rounding(epsilon: float) -> None:
    threat = Threat("l2", epsilon)
    noise = sign_noise(threat, (32, 32), generator=torch.Generator().manual_seed(0))
    assert 0.75 * epsilon < float(threat.size(noise)) <= epsilon * (1 + 1e-6)


def test_controls_are_named_by_their_seed_and_repeat() -> None:
    threat = Threat("linf", 8 / 255)
    first, again = (noise_controls(threat, (8, 8), seeds=(3, 4)) for _ in range(2))
    assert list(first) == ["noise 3", "noise 4"]
    assert torch.equal(first["noise 3"], again["noise 3"])
    assert not torch.equal(first["noise 3"], first["noise 4"])
