"""Compact GoogLeNet (Szegedy et al. 2015, Table 1): nine inception modules, without auxiliary classifiers."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

# Outputs of the branches of each module at full width: 1x1, 3x3 reduction, 3x3, 5x5 reduction, 5x5, pool projection.
_MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
_DIVISOR = 8


class Inception(nn.Module):
    """Four branches side by side, concatenated over channels: 1x1; 1x1 then 3x3; 1x1 then 5x5; 3x3 pooling then 1x1."""

    def __init__(self, inputs: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        one, reduce3, three, reduce5, five, pooled = widths
        self.branch1 = _conv(inputs, one, 1)
        self.branch2 = nn.Sequential(_conv(inputs, reduce3, 1), _conv(reduce3, three, 3))
        self.branch3 = nn.Sequential(_conv(inputs, reduce5, 1), _conv(reduce5, five, 5))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), _conv(inputs, pooled, 1))
        self.outputs = one + three + five + pooled

    def forward(self, features: Tensor) -> Tensor:
        """Return `[B,outputs,h,w]` for `features` `[B,inputs,h,w]`."""
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return torch.cat([branch(features) for branch in branches], dim=1)


def compact_googlenet(num_classes: int) -> nn.Sequential:
    """Return GoogLeNet at 1/8 width; input `[B,3,64,64]`, last convolutional map 4x4.

    The pooling before the first inception module is left out, so that the last maps are not 2x2.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=_conv(3, 64 // _DIVISOR, 7, stride=2),
        pool1=nn.MaxPool2d(3, stride=2, ceil_mode=True),
        conv2=_conv(64 // _DIVISOR, 64 // _DIVISOR, 1),
        conv3=_conv(64 // _DIVISOR, 192 // _DIVISOR, 3),
    )
    inputs = 192 // _DIVISOR
    for name, widths in _MODULES.items():
        if name in ("4a", "5a"):
            layers[f"pool{int(name[0]) - 1}"] = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        module = Inception(inputs, tuple(max(4, width // _DIVISOR) for width in widths))
        layers[f"inception{name}"] = module
        inputs = module.outputs
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["dropout"] = nn.Dropout(0.2)
    layers["fc"] = nn.Linear(inputs, num_classes)
    return nn.Sequential(layers)


def _conv(inputs: int, outputs: int, kernel: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
            bn=nn.BatchNorm2d(outputs),
            relu=nn.ReLU(),
        )
    )
