"""No doubt is raised about real pretrained networks that are set up as they should be; wrong set-ups are found."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from attacks.doubts import classifier_doubts
from tests.real_subjects import EXACT_MOBILENET, real_subjects
from tests.wolfhound.test_real_subjects import CASES, Case, classifier, image_set
from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.images import ImageSet

pytestmark = [pytest.mark.real, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real-doubts")
    (folder / "archs.py").write_text((real_subjects() / "archs.py").read_text())
    (folder / "exact.py").write_text(EXACT_MOBILENET)
    return folder


def codes(network: Classifier, images: ImageSet, count: int) -> list[str]:
    sample = images.subset(np.argsort(np.array(images.hashes))[:count])
    return [each.code for each in classifier_doubts(network, sample.load(), torch.from_numpy(sample.labels))]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.classifier}-{case.images}")
def test_a_correct_set_up_raises_no_doubt(case: Case, workshop: Path) -> None:
    count = 64 if "cifar" in case.images else 32
    assert codes(classifier(case.classifier, workshop), image_set(case.images, workshop), count) == []


@pytest.mark.parametrize(
    ("name", "wrong", "found"),
    [
        ("cifar10_resnet20", Preprocessing(input_size=(32, 32)), ["input-statistics", "missing-normalisation"]),
        ("cifar10_resnet56", Preprocessing(input_size=(32, 32)), ["input-statistics", "missing-normalisation"]),
        ("cifar10_robust_resnet4b", Preprocessing(input_size=(32, 32)), ["missing-normalisation"]),
        ("cifar10_tinyresnet8", Preprocessing(input_size=(32, 32)), ["pixel-range"]),
    ],
)
def test_a_wrong_normalisation_is_found(name: str, wrong: Preprocessing, found: list[str], workshop: Path) -> None:
    network = replace(classifier(name, workshop), preprocessing=wrong)
    assert codes(network, image_set("cifar10_jpeg", workshop), 64) == found


@pytest.mark.parametrize("name", ["cifar10_robust_resnet4b", "cifar10_tinyresnet8"])
def test_a_network_that_was_trained_on_bgr_is_found(name: str, workshop: Path) -> None:
    network = classifier(name, workshop)
    blue_first = replace(network, module=torch.nn.Sequential(_Flipped(), network.module).eval())
    assert codes(blue_first, image_set("cifar10_jpeg", workshop), 256) == ["colour-order"]


class _Flipped(torch.nn.Module):
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.flip(1)
