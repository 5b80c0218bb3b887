"""Published perturbations on real networks change the shares of predictions that were measured without this code."""

from pathlib import Path

import pytest

from attacks.controls import noise_controls
from attacks.judge import fooling_rates, transfer_predictions, under
from attacks.threat import Threat
from attacks.universal.replay import read_perturbation, replay
from tests.real_subjects import real_index, real_subjects
from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.images import ImageSet
from wolfhound.loading import load_factory, load_torchvision
from wolfhound.sources import Fit, imagenet_class_names, read_folder

pytestmark = pytest.mark.real

TEN = Threat("linf", 10 / 255)
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def preprocessing(name: str, side: int) -> Preprocessing:
    stated = next(model for model in real_index()["models"] if model["name"] == name)["preprocessing"]
    return Preprocessing(tuple(stated["mean"]), tuple(stated["std"]), (side, side))


def cifar10(name: str, kind: str, arguments: dict[str, object]) -> Classifier:
    return load_factory(
        real_subjects() / "archs.py",
        kind,
        arguments=arguments,
        weights=real_subjects() / "models" / f"{name}.pth",
        preprocessing=preprocessing(name, 32),
        class_names=CIFAR10,
        name=name,
    )


@pytest.fixture(scope="module")
def small_images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """The thousand CIFAR-10 images that the folder's shares were measured on."""
    return read_folder(
        real_subjects() / "images" / "cifar10_jpeg",
        cache=tmp_path_factory.mktemp("cifar10"),
        size=(32, 32),
        fit=Fit("squash"),
        labels="leading_index",
        class_names=CIFAR10,
    )


def percent(classifier: Classifier, images: ImageSet, file: str) -> float:
    found = read_perturbation(real_subjects() / "perturbations" / file)
    return fooling_rates(replay(classifier, images, {"v": found}, TEN))["v"].percent


def test_on_cifar10_an_ordinary_network_is_fooled_as_stated_and_a_robust_one_is_not(small_images: ImageSet) -> None:
    ordinary = cifar10("cifar10_resnet20", "CifarResNet", {"n": 3})
    robust = cifar10("cifar10_robust_resnet4b", "RobustResNet", {"which": "4b"})
    assert 74 - 2 <= percent(ordinary, small_images, "cifar10/sgd-eps10.pt") <= 77 + 2
    assert 2 - 2 < percent(robust, small_images, "cifar10/sgd-eps10.pt") <= 5 + 2


def test_the_perturbations_of_2017_fool_squeezenet_as_stated_and_noise_less(tmp_path: Path) -> None:
    """The folder holds 300 of the 1,000 photographs that were measured, so its shares have to lie in our intervals."""
    name, real = "squeezenet1_1_torchvision", real_subjects()
    carried = preprocessing(name, 224)
    weights = real / "models" / f"{name}.pth"
    classifier = load_torchvision("squeezenet1_1", cache=tmp_path, weights=weights, mean=carried.mean, std=carried.std)
    images = read_folder(
        real / "images" / "nips2017_dev",
        cache=tmp_path,
        size=(224, 224),
        fit=Fit("squash"),
        labels="leading_index",
        class_names=imagenet_class_names(),
    )
    stated = {"lts4_CaffeNet": 0.618, "lts4_VGG-16": 0.710, "noise 0": 0.442}
    deltas = noise_controls(TEN, (224, 224), seeds=[0])
    for file in ("lts4_CaffeNet", "lts4_VGG-16"):
        deltas[file] = read_perturbation(real / "perturbations" / "imagenet" / f"{file}.pt").delta
    rates = fooling_rates(transfer_predictions(classifier, images, under(TEN, deltas)))
    print({file: rate.text for file, rate in rates.items()})
    for file, share in stated.items():
        bounds = rates[file].interval()
        assert bounds.low <= share <= bounds.high
    assert min(rates[file].share for file in stated if file != "noise 0") > rates["noise 0"].interval().high
