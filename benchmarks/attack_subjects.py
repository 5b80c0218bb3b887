"""Real classifiers and photographs for the attack benchmarks, through the doors that a user takes."""

import json
import os
from pathlib import Path
from typing import Any

import torch

from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.images import Splits, split
from wolfhound.loading import load_factory, load_torchvision
from wolfhound.sources import Fit, imagenet_class_names, read_folder

VARIABLE = "WOLFHOUND_REAL"
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

CIFAR10_FACTORIES: dict[str, tuple[str, dict[str, Any]]] = {
    "cifar10_resnet20": ("CifarResNet", {"n": 3}),
    "cifar10_robust_resnet4b": ("RobustResNet", {"which": "4b"}),
}


def real_folder(stated: str | None) -> Path:
    """Return the folder of real classifiers and photographs: as stated, or $WOLFHOUND_REAL.

    Raises:
        SystemExit: neither leads to one.
    """
    folder = Path(stated or os.environ.get(VARIABLE, ""))
    if not (folder / "index.json").is_file():
        raise SystemExit(f"expected the folder of real classifiers as an argument or in ${VARIABLE}, got {folder}")
    return folder


def preprocessing(real: Path, name: str) -> Preprocessing:
    """Return the preprocessing that the folder's index states for a model."""
    models = json.loads((real / "index.json").read_text())["models"]
    entry = next(model for model in models if model["name"] == name)
    mean, std = (tuple(map(float, entry["preprocessing"][key])) for key in ("mean", "std"))
    return Preprocessing(mean, std, (entry["input_size"], entry["input_size"]))


def cifar10(
    real: Path, *, cache: Path, craft: int, select: int, report: int, name: str = "cifar10_resnet20"
) -> tuple[Classifier, Splits]:
    """Return the CIFAR-10 ResNet-20 (or another of `CIFAR10_FACTORIES`) and disjoint sets of the JPEG test images."""
    factory, arguments = CIFAR10_FACTORIES[name]
    classifier = load_factory(
        real / "archs.py",
        factory,
        arguments=arguments,
        weights=real / "models" / f"{name}.pth",
        preprocessing=preprocessing(real, name),
        class_names=CIFAR10,
        name=name,
    )
    images = read_folder(
        real / "images" / "cifar10_jpeg",
        cache=cache,
        size=(32, 32),
        fit=Fit("squash"),
        labels="leading_index",
        class_names=CIFAR10,
    )
    generator = torch.Generator().manual_seed(0)
    return classifier, split(images, craft=craft, select=select, report=report, generator=generator)


def squeezenet(real: Path, *, cache: Path, craft: int, select: int, report: int) -> tuple[Classifier, Splits]:
    """Return SqueezeNet 1.1 and disjoint sets of the NIPS-2017 photographs."""
    name = "squeezenet1_1_torchvision"
    stated = preprocessing(real, name)
    weights = real / "models" / f"{name}.pth"
    classifier = load_torchvision("squeezenet1_1", cache=cache, weights=weights, mean=stated.mean, std=stated.std)
    images = read_folder(
        real / "images" / "nips2017_dev",
        cache=cache,
        size=(224, 224),
        fit=Fit("crop", shorter_side=256),
        labels="leading_index",
        class_names=imagenet_class_names(),
    )
    generator = torch.Generator().manual_seed(0)
    return classifier, split(images, craft=craft, select=select, report=report, generator=generator)
