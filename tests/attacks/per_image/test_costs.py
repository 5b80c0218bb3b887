"""What an attack may ask at most is said beforehand, and no attack asks more."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from attacks import registry
from attacks.per_image.costs import Cost, most_calls
from attacks.per_image.driver import attack_images
from attacks.threat import Threat
from wolfhound.classifier import Classifier, Preprocessing, frozen
from wolfhound.images import Splits

SHORT = {"square": {"most_queries": 100}, "hopskipjump": {"iterations": 2}, "carlini_wagner": {"most_steps": 20}}
SHORT |= {name: {"iterations": 10} for name in ("fab_t", "apgd_t", "apgd_ce")}


@pytest.mark.parametrize("name", sorted(registry.IMAGE))
def test_no_attack_asks_more_than_was_said(name: str, trained: Classifier, textures: Splits) -> None:
    images, attack = textures.report.subset(range(6)), registry.make_image(name, SHORT.get(name, {}))
    targets = (images.labels + attack.targeted) % 4
    threat = Threat("l2", 0.1) if name in ("carlini_wagner", "hopskipjump") else Threat("linf", 1 / 255)
    asked = attack_images(attack, trained, images, targets, threat, generator=torch.Generator().manual_seed(0))
    cost = most_calls(attack)
    assert cost is not None
    assert int(asked.ledger["queries"].max()) <= cost.gradients + cost.forwards


def test_rounds_and_steps_multiply() -> None:
    assert most_calls(registry.make_image("pgd", {"most_steps": 7, "restarts": 3})) == Cost(21, 48)
    assert most_calls(registry.make_image("square", {"most_queries": 50})) == Cost(0, 101)


class Between(nn.Module):
    """Sees class 1 in images between whole levels and class 0 in 8-bit ones, so that rounding undoes every success.

    Counted are its passes forward, and those that are followed backward.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gradients = self.passes = 0

    def forward(self, pixels: Tensor) -> Tensor:
        self.passes += 1
        if pixels.requires_grad:
            pixels.register_hook(self._followed)
        levels = 255 * pixels
        beyond = (levels - (levels.detach() + 1e-6).floor()).flatten(1).mean(dim=1) - 0.02
        return torch.stack([0 * beyond, beyond, beyond - 1, beyond - 2], dim=1)

    def _followed(self, _: Tensor) -> None:
        self.gradients += 1


SLOW: dict[str, dict[str, Any]] = SHORT | {"pgd": {"step": 0.01}, "targeted_ascent": {"step": 0.01}}


@pytest.mark.parametrize("threat", [Threat("linf", 10 / 255), Threat("l2", 1.0)], ids=["linf", "l2"])
@pytest.mark.parametrize("name", sorted(registry.IMAGE))
def test_no_attack_asks_more_where_rounding_undoes_every_success(name: str, threat: Threat) -> None:
    if name == "carlini_wagner" and threat.norm != "l2":
        pytest.skip("for l2 alone")
    network, attack = Between().eval(), registry.make_image(name, SLOW.get(name, {}))
    classifier = Classifier("between", network, tuple("abcd"), Preprocessing((0.0,) * 3, (1.0,) * 3, (8, 8)), "")
    drawn = torch.randint(60, 160, (1, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    targets, seeds = torch.tensor([int(attack.targeted)]), torch.tensor([0])
    with frozen(network):
        attack.propose(classifier, drawn.double() / 255, targets, threat, seeds=seeds)
    cost = most_calls(attack)
    assert cost is not None
    assert network.gradients <= cost.gradients
    assert network.passes <= cost.gradients + cost.forwards
