"""Real classifiers on real photographs, through the doors a user takes, are as accurate as the folder states."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.real_subjects import EXACT_MOBILENET, real_index, real_subjects
from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.errors import ModelError
from wolfhound.images import ImageSet
from wolfhound.loading import load_factory, load_torchvision
from wolfhound.metrics import accuracy
from wolfhound.sources import Fit, imagenet_class_names, read_folder
from wolfhound.statistics import Rate

pytestmark = pytest.mark.real

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
WIDE, SMALL = (224, 224), (32, 32)
HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Case:
    """A classifier, an image set, and the accuracy that the folder states for it on more images of the same kind."""

    classifier: str
    images: str
    stated: float


CASES = [
    Case("squeezenet1_1_torchvision", "nips2017_dev", 0.669),
    Case("squeezenet1_1_torchvision", "imagenet_sample", 0.65),
    Case("squeezenet1_0_deepcompression", "nips2017_dev", 0.556),
    Case("squeezenet1_0_deepcompression", "imagenet_sample", 0.616),
    Case("mobilenet_v2_tf2keras", "nips2017_dev", 0.666),
    Case("mobilenet_v2_tf2keras", "imagenet_sample", 0.804),
    Case("mobilenet_v2_exact", "nips2017_dev", 0.81),
    Case("mobilenet_v2_exact", "imagenet_sample", 0.893),
    *(
        Case(name, images, stated)
        for name, lossless, jpeg in [
            ("cifar10_resnet20", 0.94, 0.806),
            ("cifar10_resnet56", 0.96, 0.8285),
            ("cifar10_robust_resnet4b", 0.81, 0.764),
            ("cifar10_oval21_wide", 0.71, 0.597),
            ("cifar10_tinyresnet8", 0.88, 0.7655),
        ]
        for images, stated in [("cifar10_lossless", lossless), ("cifar10_jpeg", jpeg)]
    ),
]
FACTORIES: dict[str, tuple[str, dict[str, Any]]] = {
    "cifar10_resnet20": ("CifarResNet", {"n": 3}),
    "cifar10_resnet56": ("CifarResNet", {"n": 9}),
    "cifar10_robust_resnet4b": ("RobustResNet", {"which": "4b"}),
    "cifar10_oval21_wide": ("wong_small_cifar", {}),
    "cifar10_tinyresnet8": ("TinyResNet8", {"w": 16}),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """These small networks gain little from a second thread and lose much where the cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real")
    (folder / "archs.py").write_text((real_subjects() / "archs.py").read_text())
    (folder / "exact.py").write_text(EXACT_MOBILENET)
    return folder


@cache
def stated_preprocessing(name: str) -> Preprocessing:
    entry = next(model for model in real_index()["models"] if model["name"] == name)
    side = entry["input_size"]
    stated = entry["preprocessing"]
    return Preprocessing(tuple(map(float, stated["mean"])), tuple(map(float, stated["std"])), (side, side))


@cache
def image_set(name: str, cache_folder: Path) -> ImageSet:
    imagenet = name in ("nips2017_dev", "imagenet_sample")
    return read_folder(
        real_subjects() / "images" / name,
        cache=cache_folder,
        size=WIDE if imagenet else SMALL,
        fit=Fit("crop", shorter_side=256) if name == "imagenet_sample" else Fit("squash"),
        labels="leading_index",
        class_names=imagenet_class_names() if imagenet else CIFAR10,
    )


@cache
def classifier(name: str, workshop: Path) -> Classifier:
    if name == "mobilenet_v2_exact":
        weights = real_subjects() / "models" / "mobilenet_v2_tf2keras.pth"
        return load_factory(
            workshop / "exact.py",
            "mobilenet",
            arguments={"weights": str(weights)},
            preprocessing=Preprocessing(input_size=WIDE),
            class_names=imagenet_class_names(),
        )
    weights = real_subjects() / "models" / f"{name}.pth"
    stated = stated_preprocessing(name)
    if name in FACTORIES:
        callable_name, arguments = FACTORIES[name]
        file = real_subjects() / "archs.py"
        return load_factory(
            file, callable_name, arguments=arguments, weights=weights, preprocessing=stated, class_names=CIFAR10
        )
    architecture = next(a for a in ("squeezenet1_1", "squeezenet1_0", "mobilenet_v2") if name.startswith(a))
    return load_torchvision(architecture, cache=workshop, weights=weights, mean=stated.mean, std=stated.std)


def measured(network: Classifier, images: ImageSet) -> Rate:
    with torch.no_grad():
        predicted = [network.logits(pixels).argmax(1).numpy() for _, pixels in images.batches(20)]
    return accuracy(np.concatenate(predicted), images.labels)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.classifier}-{case.images}")
def test_clean_accuracy_is_the_stated_one(case: Case, workshop: Path, record_property: Any) -> None:
    rate = measured(classifier(case.classifier, workshop), image_set(case.images, workshop))
    record_property("accuracy", rate.text)
    print(f"{case.classifier} on {case.images}: {rate.text}; stated {100 * case.stated:.1f} %")
    bounds = rate.interval(confidence=0.99)
    assert bounds.low <= case.stated <= bounds.high


def test_every_listed_classifier_is_measured() -> None:
    listed = {model["name"] for model in real_index()["models"]}
    assert listed == {case.classifier for case in CASES} - {"mobilenet_v2_exact"}


def test_wrong_preprocessing_costs_accuracy(workshop: Path) -> None:
    """The figures above would not notice a lost normalisation if the networks did not care."""
    right = classifier("cifar10_resnet20", workshop)
    images = image_set("cifar10_jpeg", workshop)
    wrong = Classifier("plain", right.module, CIFAR10, Preprocessing(input_size=SMALL), right.weights_digest)
    assert measured(wrong, images).share < measured(right, images).share - 0.1


def test_the_sets_hold_what_the_folder_states(workshop: Path) -> None:
    stated = real_index()["images"]
    for name in ("nips2017_dev", "imagenet_sample", "cifar10_jpeg", "cifar10_lossless"):
        images = image_set(name, workshop)
        assert len(images) == stated[name]["files"]
        assert images.origins is not None
        assert all(
            int(origin.split("_")[0]) == label for origin, label in zip(images.origins, images.labels, strict=True)
        )


def test_a_file_for_another_architecture_is_refused(workshop: Path) -> None:
    weights = real_subjects() / "models" / "squeezenet1_0_deepcompression.pth"
    with pytest.raises(ModelError, match="the file has shape"):
        load_torchvision("squeezenet1_1", cache=workshop, weights=weights)
