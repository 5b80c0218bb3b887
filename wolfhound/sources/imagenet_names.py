"""The names of the 1000 ImageNet classes, without ImageNet and without network."""

from typing import Any

from wolfhound.torchvision_import import torchvision


def imagenet_class_names() -> tuple[str, ...]:
    """Return the 1000 ImageNet classes in the usual order (sorted WordNet ids), from torchvision's weights metadata."""
    models: Any = torchvision().models
    return tuple(models.ResNet50_Weights.IMAGENET1K_V1.meta["categories"])
