"""Real classifiers and photographs for the attack benchmarks, through the doors that a user takes."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.images import ImageSet, PixelFile, Splits, split
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


CIFAR10_NETWORKS: dict[str, tuple[str, dict[str, int | str]]] = {
    "cifar10_resnet20": ("CifarResNet", {"n": 3}),
    "cifar10_resnet56": ("CifarResNet", {"n": 9}),
    "cifar10_robust_resnet4b": ("RobustResNet", {"which": "4b"}),
    "cifar10_oval21_wide": ("wong_small_cifar", {}),
}
IMAGENET_NETWORKS = {
    "squeezenet1_1_torchvision": "squeezenet1_1",
    "squeezenet1_0_deepcompression": "squeezenet1_0",
    "mobilenet_v2_tf2keras": "mobilenet_v2",
}


def load_network(real: Path, name: str, *, cache: Path) -> Classifier:
    """Return a network of the folder by name; MobileNet-V2 in the exact variant that its index states.

    Raises:
        SystemExit: a name that is not among them.
    """
    weights = real / "models" / f"{name}.pth"
    if name in CIFAR10_NETWORKS:
        factory, arguments = CIFAR10_NETWORKS[name]
        stated = preprocessing(real, name)
        return load_factory(
            real / "archs.py",
            factory,
            arguments=arguments,
            weights=weights,
            preprocessing=stated,
            class_names=CIFAR10,
            name=name,
        )
    if name not in IMAGENET_NETWORKS:
        raise SystemExit(f"expected a network out of {[*CIFAR10_NETWORKS, *IMAGENET_NETWORKS]}, got {name!r}")
    stated = preprocessing(real, name)
    classifier = load_torchvision(
        IMAGENET_NETWORKS[name], cache=cache, weights=weights, mean=stated.mean, std=stated.std
    )
    return exact_mobilenet(classifier) if name == "mobilenet_v2_tf2keras" else classifier


class Rotated(nn.Module):
    """A network that sees its images rotated by 180 degrees."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits of the rotated images."""
        logits: Tensor = self.inner(inputs.flip((2, 3)))
        return logits


def exact_mobilenet(classifier: Classifier) -> Classifier:
    """Return the network with kernels flipped and images rotated: so it has the padding that it was trained with."""
    flipped = {
        name: tensor.flip((2, 3)) if tensor.ndim == 4 and tensor.shape[-1] > 1 else tensor
        for name, tensor in classifier.module.state_dict().items()
    }
    classifier.module.load_state_dict(flipped)
    return replace(classifier, module=Rotated(classifier.module), name=f"{classifier.name} (exact)")


def photographs(real: Path, name: str, *, cache: Path, craft: int, select: int, report: int) -> Splits:
    """Return disjoint sets of the images that fit a network (see `all_photographs`)."""
    images, generator = all_photographs(real, name, cache=cache), torch.Generator().manual_seed(0)
    return split(images, craft=craft, select=select, report=report, generator=generator)


def all_photographs(real: Path, name: str, *, cache: Path) -> ImageSet:
    """Return the images that fit a network: CIFAR-10 JPEGs, or photographs of two ImageNet folders."""
    if name in CIFAR10_NETWORKS:
        return _read(real / "images" / "cifar10_jpeg", cache, (32, 32), Fit("squash"), CIFAR10)
    fit, names = Fit("crop", shorter_side=256), imagenet_class_names()
    folders = "nips2017_dev", "imagenet_sample"
    parts = [_read(real / "images" / folder, cache, (224, 224), fit, names) for folder in folders]
    return _joined(parts, cache / "photographs.raw")


def _read(folder: Path, cache: Path, size: tuple[int, int], fit: Fit, names: tuple[str, ...]) -> ImageSet:
    return read_folder(folder, cache=cache, size=size, fit=fit, labels="leading_index", class_names=names)


def _joined(parts: list[ImageSet], path: Path) -> ImageSet:
    """Return one image set of all images of `parts`, whose pixels it writes to `path`."""
    pixels = np.concatenate([part.pixels.read(part.rows) for part in parts])
    pixels.tofile(path)
    return ImageSet(
        name="+".join(part.name for part in parts),
        pixels=PixelFile(path, pixels.shape),
        rows=np.arange(len(pixels), dtype=np.int64),
        labels=np.concatenate([part.labels for part in parts]),
        class_names=parts[0].class_names,
        hashes=tuple(content for part in parts for content in part.hashes),
    )
