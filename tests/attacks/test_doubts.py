"""Each doubt is raised by what it is about, and a sound network and a sound table raise none."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from attacks.doubts import classifier_doubts, epsilon_zero_doubt, ledger_doubts, transfer_stronger, weaker_than_noise
from tests.attacks.conftest import as_classifier
from wolfhound.classifier import Classifier
from wolfhound.images import Splits


class Noisy(nn.Module):
    """Adds noise to every pass: a randomised defence."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return logits + 0.1 * torch.randn(logits.shape, generator=self.generator, dtype=logits.dtype)


class Quantising(nn.Module):
    """Rounds its input: a defence that masks the gradient."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return (inputs * 8).round() / 8


class Detaching(nn.Module):
    """Cuts the graph."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs.detach()


def codes(module: nn.Module, splits: Splits) -> list[str]:
    return [doubt.code for doubt in classifier_doubts(as_classifier(module), splits.select.load())]


def test_a_sound_network_raises_no_doubt(trained: Classifier, textures: Splits) -> None:
    assert codes(trained.module, textures) == []


@pytest.mark.parametrize(
    ("before", "after", "code"),
    [
        (None, Noisy(), "randomised"),
        (None, nn.Softmax(dim=1), "probabilities"),
        (Quantising(), None, "masked-gradients"),
        (Detaching(), None, "masked-gradients"),
    ],
)
def test_each_fault_raises_its_own_doubt(
    before: nn.Module | None, after: nn.Module | None, code: str, trained: Classifier, textures: Splits
) -> None:
    parts = [part for part in (before, trained.module, after) if part is not None]
    found = classifier_doubts(as_classifier(nn.Sequential(*parts).double().eval()), textures.select.load())
    assert [doubt.code for doubt in found] == [code]
    assert len(found[0].explanation) > 40


def test_training_mode_is_a_doubt_and_is_left_as_it_was(trained: Classifier, textures: Splits) -> None:
    list(trained.module.children())[1].train()
    assert codes(trained.module, textures) == ["training-mode"]
    assert list(trained.module.children())[1].training


def test_predictions_that_differ_at_epsilon_zero_are_a_doubt() -> None:
    clean = np.array([0, 1, 2, 3])
    assert epsilon_zero_doubt(clean, clean.copy()) is None
    doubt = epsilon_zero_doubt(clean, np.array([0, 1, 2, 0]))
    assert doubt is not None
    assert doubt.explanation.startswith("1 of 4 predictions differ")


def changed(clean: np.ndarray, count: int) -> np.ndarray:  # type: ignore[type-arg]
    """Return predictions that differ from `clean` on the first `count` images."""
    result = clean.copy()
    result[:count] += 1
    return result


def test_an_attack_weaker_than_the_strongest_noise_is_a_doubt() -> None:
    clean = np.zeros(100, dtype=np.int64)
    noise = [changed(clean, 5), changed(clean, 9)]
    assert weaker_than_noise(clean, changed(clean, 9), noise, name="sgd_uap") is None
    doubt = weaker_than_noise(clean, changed(clean, 8), noise, name="sgd_uap")
    assert doubt is not None
    assert "sgd_uap fools 8.0 %" in doubt.explanation
    assert "9.0 %" in doubt.explanation


def test_transfer_beating_the_direct_attack_is_a_doubt_unless_chance_explains_it() -> None:
    clean = np.zeros(1000, dtype=np.int64)
    direct = changed(clean, 500)
    assert transfer_stronger(clean, direct, changed(clean, 500), name="vgg16") is None
    assert transfer_stronger(clean, direct, changed(clean, 400), name="vgg16") is None
    assert transfer_stronger(clean, direct, changed(clean, 504), name="vgg16") is None, "p = 0.125"
    doubt = transfer_stronger(clean, direct, changed(clean, 520), name="vgg16")
    assert doubt is not None
    assert doubt.code == "transfer-stronger"
    assert "2.0 points" in doubt.explanation


def test_a_ledger_raises_the_doubts_of_its_columns() -> None:
    clean = np.zeros(1000, dtype=np.int64)
    ledger = pd.DataFrame(
        {"clean": clean, "vgg_f": changed(clean, 300), "vgg16": changed(clean, 500), "noise 0": changed(clean, 400)}
    )
    ledger["nothing"] = changed(clean, 1)
    found = ledger_doubts(ledger, own="vgg_f", others=("vgg16",), noise=("noise 0",), zero="nothing")
    assert [doubt.code for doubt in found] == ["weaker-than-noise", "transfer-stronger", "epsilon-zero"]
    assert ledger_doubts(ledger, own="vgg16", others=("vgg_f",), noise=("noise 0",), zero="clean") == ()
