"""Universal methods on a real CIFAR-10 network: far above noise of the same size on held-out images."""

from collections.abc import Mapping
from statistics import mean

import pytest
import torch

from attacks.controls import noise_controls
from attacks.judge import fooling_rates, transfer_predictions, under
from attacks.registry import make_universal
from attacks.threat import Threat
from attacks.universal.driver import craft_universal
from tests.attacks.universal.test_real_replay import CIFAR10, cifar10
from tests.real_subjects import real_subjects
from wolfhound.classifier import Classifier
from wolfhound.images import Splits, split
from wolfhound.sources import Fit, read_folder

pytestmark = pytest.mark.real

TEN = Threat("linf", 10 / 255)


@pytest.fixture(scope="module")
def small_splits(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    """Disjoint crafting, select and held-out images of the CIFAR-10 test set."""
    images = read_folder(
        real_subjects() / "images" / "cifar10_jpeg",
        cache=tmp_path_factory.mktemp("cifar10"),
        size=(32, 32),
        fit=Fit("squash"),
        labels="leading_index",
        class_names=CIFAR10,
    )
    return split(images, craft=200, select=50, report=250, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def ordinary() -> Classifier:
    return cifar10("cifar10_resnet20", "CifarResNet", {"n": 3})


def ahead_of_noise(classifier: Classifier, splits: Splits, name: str, options: Mapping[str, object]) -> float:
    """Return by how many points a method fools more held-out images than random sign noise does on average."""
    found = craft_universal(
        make_universal(name, options),
        classifier,
        splits.craft,
        splits.select,
        TEN,
        generator=torch.Generator().manual_seed(0),
    ).best
    noise = noise_controls(TEN, (32, 32), seeds=range(2))
    rates = fooling_rates(transfer_predictions(classifier, splits.report, under(TEN, {"found": found, **noise})))
    print(name, {key: rate.text for key, rate in rates.items()})
    return rates["found"].percent - mean(rates[key].percent for key in noise)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("cosine_uap", {"passes": 4}),
        ("df_uap", {"passes": 4}),
        ("dm_uap", {"passes": 1}),
        ("dominant_uap", {"passes": 4}),
        ("sga_uap", {"passes": 1}),
    ],
)
def test_it_fools_twenty_points_more_held_out_images_than_noise(
    name: str, options: Mapping[str, object], ordinary: Classifier, small_splits: Splits
) -> None:
    assert ahead_of_noise(ordinary, small_splits, name, options) >= 20


@pytest.mark.slow
def test_an_adversarially_trained_network_is_fooled_little_more_than_by_noise(small_splits: Splits) -> None:
    robust = cifar10("cifar10_robust_resnet4b", "RobustResNet", {"which": "4b"})
    assert ahead_of_noise(robust, small_splits, "df_uap", {"passes": 20}) < 15
