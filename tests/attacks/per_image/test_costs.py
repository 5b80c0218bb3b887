"""What an attack may ask at most is said beforehand, and no attack asks more."""

import pytest
import torch

from attacks import registry
from attacks.per_image.costs import Cost, most_calls
from attacks.per_image.driver import attack_images
from attacks.threat import Threat
from wolfhound.classifier import Classifier
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
    assert most_calls(registry.make_image("pgd", {"most_steps": 7, "restarts": 3})) == Cost(21, 16)
    assert most_calls(registry.make_image("square", {"most_queries": 50})) == Cost(0, 52)
