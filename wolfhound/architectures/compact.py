"""The demonstration family: the six audited architectures at reduced width, for 64x64 pixels.

They are not the published networks. Each keeps what makes its family; what it gives up is said in its description,
which reports print. All of them use batch normalisation, so that they train in seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from wolfhound.architectures.compact_alexnets import compact_caffenet, compact_vgg_f
from wolfhound.architectures.compact_googlenet import compact_googlenet
from wolfhound.architectures.compact_resnet import compact_resnet152
from wolfhound.architectures.compact_vgg import compact_vgg16, compact_vgg19
from wolfhound.errors import ModelError


@dataclass(frozen=True)
class CompactArchitecture:
    """One member of the family.

    Attributes:
        name: the architecture it stands for.
        build: returns it with fresh weights for a number of classes.
        description: what it is, in words for a report.
        grad_cam_layer: name of the module whose output `[B,C,h,w]` is the last convolutional map.
    """

    name: str
    build: Callable[[int], nn.Module]
    description: str
    grad_cam_layer: str


_FAMILY = (
    CompactArchitecture(
        "vgg_f",
        compact_vgg_f,
        "VGG-F family: 5 convolutions, large first filters (7x7, stride 2), local response normalisation before "
        "pooling, 2 hidden fully connected layers; 1/4 width, batch norm in convolutions 3 to 5, 64x64",
        "relu5",
    ),
    CompactArchitecture(
        "caffenet",
        compact_caffenet,
        "CaffeNet family: 5 convolutions, large first filters (7x7, stride 2), pooling before local response "
        "normalisation, grouped convolutions 2, 4 and 5, 2 hidden fully connected layers; 1/4 width, batch norm in "
        "convolutions 3 to 5, 64x64",
        "relu5",
    ),
    CompactArchitecture(
        "googlenet",
        compact_googlenet,
        "GoogLeNet family: 9 inception modules at 1/8 width, no auxiliary classifiers, batch norm, 64x64",
        "inception5b",
    ),
    CompactArchitecture(
        "vgg16",
        compact_vgg16,
        "VGG-16 family: 13 convolutions of 3x3 in 5 stages at 1/8 width, one hidden fully connected "
        "layer, batch norm, 64x64",
        "features.relu5_3",
    ),
    CompactArchitecture(
        "vgg19",
        compact_vgg19,
        "VGG-19 family: 16 convolutions of 3x3 in 5 stages at 1/8 width, one hidden fully connected "
        "layer, batch norm, 64x64",
        "features.relu5_4",
    ),
    CompactArchitecture(
        "resnet152",
        compact_resnet152,
        "ResNet-152 family: 50 bottleneck blocks [3, 8, 36, 3] at 1/8 width, batch norm, 64x64",
        "layer4",
    ),
)

COMPACT: dict[str, CompactArchitecture] = {member.name: member for member in _FAMILY}


def compact_architecture(architecture: str) -> CompactArchitecture:
    """Return the member of the family that stands for `architecture`.

    Raises:
        ModelError: there is none of that name.
    """
    try:
        return COMPACT[architecture]
    except KeyError:
        raise ModelError(f"expected one of {', '.join(COMPACT)}, got {architecture!r}") from None


def compact_network(architecture: str, *, num_classes: int) -> nn.Module:
    """Return the compact `architecture` with fresh weights, drawn from the global random state, stored channels last.

    Raises:
        ModelError: there is no compact architecture of that name.
    """
    network = compact_architecture(architecture).build(num_classes)
    for parameter in network.parameters():
        if parameter.ndim == 4:  # about twice as fast on a CPU as channels first
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network


def grad_cam_layer(architecture: str) -> str:
    """Return the name of the module whose output is the last convolutional map of the compact `architecture`.

    Raises:
        ModelError: there is no compact architecture of that name.

    >>> grad_cam_layer("resnet152")
    'layer4'
    """
    return compact_architecture(architecture).grad_cam_layer
