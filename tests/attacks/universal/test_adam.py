"""Adam as a pure function of its state, against torch's own."""

import pytest
import torch

from attacks.threat import Threat
from attacks.universal.adam import direction, moments, pixel_scale, share_of_step


def test_the_direction_is_that_of_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    sizes = 10.0 ** torch.arange(-6, 0).view(-1, 1, 1, 1)
    gradients = sizes * torch.randn(6, 3, 4, 4, generator=generator, dtype=torch.float64)
    theirs = torch.zeros(3, 4, 4, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([theirs], lr=0.3)
    ours, state = torch.zeros(3, 4, 4, dtype=torch.float64), moments(theirs.detach())
    for gradient in gradients:
        theirs.grad = -gradient
        optimiser.step()
        rise, state = direction(state, gradient)
        ours = ours + 0.3 * rise
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-12, atol=1e-12)


def test_the_state_given_is_left_as_it_is() -> None:
    before = moments(torch.zeros(3, 2, 2))
    direction(before, torch.ones(3, 2, 2))
    assert not any(tensor.any() for tensor in before.values())


@pytest.mark.parametrize(("threat", "scale"), [(Threat("linf", 0.04), 0.04), (Threat("l2", 2.0), 2.0 / 8)])
def test_a_perturbation_that_is_the_scale_everywhere_has_full_size(threat: Threat, scale: float) -> None:
    assert pixel_scale(threat, 64) == pytest.approx(scale)
    filled = torch.full((1, 8, 8), scale, dtype=torch.float64)
    assert float(threat.size(filled)) == pytest.approx(threat.epsilon)


def test_without_decay_every_step_is_whole_and_with_it_the_last_is_shortest() -> None:
    assert [share_of_step("none", done, 10) for done in (0, 9)] == [1.0, 1.0]
    shares = [share_of_step("cosine", done, 10) for done in range(10)]
    assert shares[0] == 1.0
    assert shares == sorted(shares, reverse=True)
    assert 0 < shares[-1] < 0.03
