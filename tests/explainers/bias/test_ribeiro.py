"""The published experiment, on features whose every value is known."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from explainers.base import Targets
from explainers.bias.ribeiro import (
    Confounding,
    choose_display,
    draw_training,
    features_of,
    judge_images,
    shortcut_classifier,
)
from explainers.bias.swap_flips import swap_flips, swap_ledger
from explainers.registry import explainer
from wolfhound import demonstration
from wolfhound.classifier import Classifier, Preprocessing, state_digest
from wolfhound.errors import DataError, ModelError
from wolfhound.images import ImageSet

SNOW_AND_GRASS = Confounding((0, 1), ("snow", "grass"))


class Colours(nn.Module):
    """Pooled colours, then a layer that must never run."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.pool = nn.AvgPool2d(8)
        self.never = nn.Identity()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.never(self.pool(self.first(pixels)))
        raise AssertionError("what stands behind the layer ran")


@pytest.fixture(scope="module")
def network() -> Classifier:
    torch.manual_seed(0)
    module = Colours().eval()
    return Classifier("colours", module, ("x", "y"), Preprocessing(input_size=(64, 64)), state_digest({}), "a conv", "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wolves")


@pytest.fixture(scope="module")
def balanced(folder: Path) -> ImageSet:
    return demonstration.wolf_husky_images(folder, count=80, seed=7, confounding=0.5)


@pytest.fixture(scope="module")
def training(folder: Path) -> ImageSet:
    images = demonstration.wolf_husky_images(folder, count=40, seed=1, confounding=1.0)
    return images.subset(draw_training(images, SNOW_AND_GRASS, count=20, seed=0))


@pytest.fixture(scope="module")
def shortcut(network: Classifier, training: ImageSet) -> Classifier:
    return shortcut_classifier(network, training, SNOW_AND_GRASS, layer="pool")[0]


def test_logits_are_the_regression_on_the_layers_flat_output(network: Classifier, training: ImageSet) -> None:
    found, fit = shortcut_classifier(network, training, SNOW_AND_GRASS, layer="pool")
    pixels = training.load()
    with torch.no_grad():
        direct = network.module.pool(network.module.first(pixels)).flatten(1)
        logits = found.logits(pixels)
    assert torch.equal(direct, features_of(network, training, layer="pool", batch_size=7))
    assert torch.allclose(logits[:, 0] - logits[:, 1], fit.margins(direct).float(), atol=1e-4)
    assert torch.allclose(logits.sum(dim=1), torch.zeros(20), atol=1e-5)


def test_gradients_flow_to_the_pixels_and_the_network_is_left_as_found(
    shortcut: Classifier, training: ImageSet
) -> None:
    pixels = training.load(slice(2)).requires_grad_()
    (gradient,) = torch.autograd.grad(shortcut.logits(pixels)[:, 0].sum(), pixels)
    assert float(gradient.abs().sum()) > 0
    part = shortcut.module.network
    assert not any(module._forward_hooks for module in part.modules())
    assert not part.training


def test_training_images_are_half_of_each_class_and_all_on_the_usual_background(training: ImageSet) -> None:
    assert np.bincount(training.labels).tolist() == [10, 10]
    assert set(zip(training.labels.tolist(), training.groups or (), strict=True)) == {(0, "snow"), (1, "grass")}


def test_a_regression_on_colours_follows_the_background(shortcut: Classifier, balanced: ImageSet, folder: Path) -> None:
    ledger = judge_images(shortcut, balanced, SNOW_AND_GRASS)
    right = ledger["prediction"] == ledger["label"]
    assert right[ledger["usual"] == "yes"].mean() > 0.95
    assert right[ledger["usual"] == "no"].mean() < 0.2
    plates = demonstration.background_plates(folder, per_background=20, seed=3)
    kinds = {kind: [i for i, group in enumerate(plates.groups or ()) if group == kind] for kind in ("snow", "grass")}
    other = {"snow": "grass", "grass": "snow"}
    same_plates = [kinds[kind][i % 20] for i, kind in enumerate(balanced.groups or ())]
    other_plates = [kinds[other[kind]][i % 20] for i, kind in enumerate(balanced.groups or ())]
    parts = (balanced.load(), balanced.load_masks(), plates.load(same_plates), plates.load(other_plates))
    flips = swap_flips(swap_ledger(shortcut, *parts))
    assert flips.difference > 0.8
    assert flips.interval.low > 0.6
    assert flips.p_value < 1e-9


def test_the_display_is_eight_right_on_usual_and_two_wrong_on_the_other(
    shortcut: Classifier, balanced: ImageSet
) -> None:
    ledger = judge_images(shortcut, balanced, SNOW_AND_GRASS)
    display = choose_display(ledger, ("wolf", "husky"), seed=4)
    shown = ledger.iloc[display.rows]
    right = shown["prediction"] == shown["label"]
    assert display.balanced
    assert (len(set(display.rows.tolist())), right.sum()) == (10, 8)
    assert set(shown[right]["usual"]) == {"yes"}
    assert sorted(zip(shown[~right]["label"], shown[~right]["background"], strict=True)) == [(0, "grass"), (1, "snow")]
    assert display.rows.tolist() != choose_display(ledger, ("wolf", "husky"), seed=5).rows.tolist()


def test_a_tie_is_decided_as_under_swaps_so_that_flips_count_again_from_the_ledger(
    shortcut: Classifier, balanced: ImageSet
) -> None:
    class Undecided(nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(pixels), 2)

    tied, few = dataclasses.replace(shortcut, module=Undecided().eval()), balanced.subset(range(4))
    ledger = judge_images(tied, few, SNOW_AND_GRASS)
    swapped = swap_ledger(tied, few.load(), few.load_masks(), few.load(), few.load())
    assert ledger["prediction"].tolist() == swapped["own"].tolist()


def test_where_no_image_shows_the_other_background_the_display_says_so() -> None:
    ledger = pd.DataFrame(
        {"label": [0] * 9 + [1] * 9, "prediction": [0] * 7 + [1] * 11, "usual": ["yes"] * 18, "margin": [1.0] * 18}
    )
    display = choose_display(ledger, ("wolf", "husky"), seed=4)
    assert not display.balanced
    assert "0 of wolf, wrong on the other background (1 asked for)" in display.missing
    assert np.bincount(ledger.iloc[display.rows]["label"]).tolist() == [5, 5]


def test_lime_and_grad_cam_explain_the_regression(shortcut: Classifier, balanced: ImageSet) -> None:
    pixels, targets = balanced.load(slice(2)), Targets.of([0, 1], against=None)
    contrast = Targets(targets.classes, 1 - targets.classes)
    maps = explainer("gradcam").explain(shortcut, pixels, contrast, layer="network.first")
    assert maps.normalised.shape == (2, 64, 64)
    assert float(maps.raw.abs().sum()) > 0
    assert explainer("lime").explain(shortcut, pixels, contrast).raw.abs().sum() > 0


def test_faults_are_named(training: ImageSet, folder: Path) -> None:
    few = demonstration.wolf_husky_images(folder, count=40, seed=1, confounding=1.0).subset(range(8))
    with pytest.raises(DataError, match="4 of 'wolf' on snow, 10 are needed"):
        draw_training(few, SNOW_AND_GRASS, count=20, seed=0)
    with pytest.raises(ValueError, match="an even number"):
        draw_training(few, SNOW_AND_GRASS, count=7, seed=0)
    with pytest.raises(ModelError, match="did not run"):
        shortcut_classifier(
            Classifier("half", Half(), ("x", "y"), Preprocessing(input_size=(64, 64)), ""),
            training,
            SNOW_AND_GRASS,
            layer="unused",
        )
    ungrouped = ImageSet(**{**vars(few), "groups": None})
    with pytest.raises(DataError, match="expected the background of each image"):
        SNOW_AND_GRASS.on_usual(ungrouped)
    assert Confounding((0, 1), ("snow", "grass"), stated=True).on_usual(ungrouped).all()


class Half(nn.Module):
    """A network with a part that it never uses."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Identity()
        self.used = nn.Flatten()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.used(pixels)[:, :2]
