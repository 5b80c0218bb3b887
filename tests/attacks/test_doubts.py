"""Each doubt is raised by what it is about, and a sound network and a sound table raise none."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from attacks.doubts import (
    above_chance,
    black_box_stronger,
    classifier_doubts,
    epsilon_zero_doubt,
    ledger_doubts,
    not_monotone,
    still_rising,
    transfer_stronger,
    weaker_than_noise,
)
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


def outcomes(count: int, successes: int) -> np.ndarray:  # type: ignore[type-arg]
    """Return success on the first `successes` of `count` images."""
    return np.arange(count) < successes


def test_a_black_box_attack_ahead_of_the_white_box_ones_is_a_doubt_unless_chance_explains_it() -> None:
    white = outcomes(1000, 300)
    for black in (200, 300, 302, 305):
        assert black_box_stronger(white, outcomes(1000, black), name="square") is None
    doubt = black_box_stronger(white, outcomes(1000, 320), name="square")
    assert doubt is not None
    assert doubt.code == "black-box-stronger"
    assert doubt.explanation.startswith("square, which has no gradients, succeeds on 2.0 points more")


def test_a_lead_of_a_fifth_of_a_point_is_no_doubt_however_sure() -> None:
    white = outcomes(10_000, 3000)
    assert black_box_stronger(white, outcomes(10_000, 3020), name="square") is None
    assert black_box_stronger(white, outcomes(10_000, 3021), name="square") is not None


def test_success_that_falls_with_epsilon_is_a_doubt_in_whatever_order_it_is_given() -> None:
    rising = [(1 / 255, outcomes(500, 50)), (2 / 255, outcomes(500, 100)), (4 / 255, outcomes(500, 100))]
    assert not_monotone(rising) is None
    assert not_monotone([*rising, (8 / 255, outcomes(500, 97))]) is None, "three of 500 may be chance"
    doubt = not_monotone([(8 / 255, outcomes(500, 60)), *rising])
    assert doubt is not None
    assert "at epsilon 0.007843 the attack succeeds on 8.0 points more images than at 0.03137" in doubt.explanation


def test_accuracy_that_survives_linf_one_half_is_a_doubt() -> None:
    labels = np.repeat(np.arange(10), 20)
    assert above_chance(labels, np.zeros_like(labels)) is None, "a tenth is what one answer gets"
    assert above_chance(labels, np.where(np.arange(200) < 26, labels, -1)) is None, "13 % of 200 may be chance"
    doubt = above_chance(labels, np.where(np.arange(200) % 20 < 5, labels, -1))
    assert doubt is not None
    assert "25.0 % are still classified correctly; one answer for all would be right on 10.0 %" in doubt.explanation


def test_success_that_still_rises_with_twice_the_iterations_is_a_doubt() -> None:
    assert still_rising(outcomes(400, 100), outcomes(400, 100), iterations=50) is None
    assert still_rising(outcomes(400, 100), outcomes(400, 104), iterations=50) is None
    doubt = still_rising(outcomes(400, 100), outcomes(400, 120), iterations=50)
    assert doubt is not None
    assert doubt.explanation.startswith("100 iterations instead of 50 make the attack succeed on 5.0 points more")


def test_nothing_measured_raises_no_doubt_and_unpaired_outcomes_are_an_error() -> None:
    none = outcomes(0, 0)
    assert black_box_stronger(none, none, name="square") is None
    assert not_monotone([(0.1, none), (0.2, none)]) is None
    assert above_chance(np.array([], dtype=np.int64), np.array([], dtype=np.int64)) is None
    assert still_rising(none, none, iterations=5) is None
    with pytest.raises(ValueError, match="of one length"):
        black_box_stronger(outcomes(5, 1), outcomes(6, 1), name="square")
