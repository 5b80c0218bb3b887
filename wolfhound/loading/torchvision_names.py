"""What torchvision publishes: classifier names, weights, and the preprocessing and class names that belong to them."""

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from wolfhound.classifier import Preprocessing
from wolfhound.errors import ModelError
from wolfhound.sources.fit import Fit
from wolfhound.torchvision_import import torchvision


@dataclass(frozen=True)
class PublishedWeights:
    """One entry of torchvision's weights metadata.

    Attributes:
        name: as in "IMAGENET1K_V1".
        title: as reports print it, "GoogLeNet_Weights.IMAGENET1K_V1".
        url: where torchvision downloads the file.
        preprocessing: means, deviations and input size of the published evaluation.
        fit: resizing and cropping of the published evaluation.
        class_names: the classes, in the order of the scores.
    """

    name: str
    title: str
    url: str
    preprocessing: Preprocessing
    fit: Fit
    class_names: tuple[str, ...] = field(repr=False)

    @property
    def file_name(self) -> str:
        """What the file is called in torch.hub's checkpoints folder."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def hash_prefix(self) -> str:
        """How the SHA-256 of the file begins: torchvision writes it into the file's name."""
        match = re.search(r"-([a-f0-9]{8,})\.", self.file_name)
        if match is None:
            raise ModelError(f"expected the digest in the file name {self.file_name}, got none")
        return match[1]


@cache
def classifier_names() -> tuple[str, ...]:
    """Return the names of all torchvision classifiers."""
    models: Any = torchvision().models
    return tuple(models.list_models(module=models))


@cache
def published_weights(architecture: str) -> tuple[PublishedWeights, ...]:
    """Return the published classification weights of a torchvision classifier, the recommended ones first.

    Raises:
        ModelError: torchvision has no classifier of that name.
    """
    if architecture not in classifier_names():
        raise ModelError(
            f"expected a classifier of torchvision, vgg_f or caffenet, got {architecture!r} "
            f"(torchvision has {', '.join(classifier_names())})"
        )
    models: Any = torchvision().models
    members: Any = models.get_model_weights(architecture)
    found = [_published(member) for member in members if member.meta.get("categories")]
    default = _published(members.DEFAULT)
    return (default, *(weights for weights in found if weights != default))


def published(architecture: str, name: str) -> PublishedWeights:
    """Return the weights of that name; "DEFAULT" stands for the ones that torchvision recommends.

    Raises:
        ModelError: there is no such classifier, or there are no such weights.
    """
    choices = published_weights(architecture)
    if name == "DEFAULT":
        return choices[0]
    for weights in choices:
        if name in (weights.name, weights.title):
            return weights
    names = ", ".join(weights.name for weights in choices)
    raise ModelError(f"expected weights of {architecture} to be DEFAULT, {names}, random or a file, got {name!r}")


def _published(member: Any) -> PublishedWeights:
    transforms = member.transforms()
    crop = transforms.crop_size[0]
    return PublishedWeights(
        name=member.name,
        title=f"{type(member).__name__}.{member.name}",
        url=member.url,
        preprocessing=Preprocessing(tuple(transforms.mean), tuple(transforms.std), (crop, crop)),
        fit=Fit("crop", shorter_side=transforms.resize_size[0], interpolation=transforms.interpolation.value),
        class_names=tuple(member.meta["categories"]),
    )
