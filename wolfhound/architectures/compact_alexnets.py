"""Compact VGG-F and CaffeNet: five convolutions, the first of them large, with local response normalisation."""

from collections import OrderedDict

from torch import nn

from wolfhound.architectures.response_norm import ResponseNorm


def compact_vgg_f(num_classes: int) -> nn.Sequential:
    """Return VGG-F's layers at a quarter of their width; input `[B,3,64,64]`, last convolutional map 8x8."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(3, 16, 7, stride=2, padding=3),
        relu1=nn.ReLU(),
        norm1=ResponseNorm(16, alpha=5e-4, k=2.0),
        pool1=_pool(),
        conv2=nn.Conv2d(16, 64, 5, padding=2),
        relu2=nn.ReLU(),
        norm2=ResponseNorm(64, alpha=5e-4, k=2.0),
        pool2=_pool(),
        **_conv(3, 64, 64),
        **_conv(4, 64, 64),
        **_conv(5, 64, 64),
        pool5=_pool(),
        **_head(64 * 4 * 4, 256, num_classes),
    )
    return nn.Sequential(layers)


def compact_caffenet(num_classes: int) -> nn.Sequential:
    """Return CaffeNet's layers at a quarter of their width; input `[B,3,64,64]`, last convolutional map 8x8."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(3, 24, 7, stride=2, padding=3),
        relu1=nn.ReLU(),
        pool1=_pool(),
        norm1=ResponseNorm(24, alpha=1e-4, k=1.0),
        conv2=nn.Conv2d(24, 64, 5, padding=2, groups=2),
        relu2=nn.ReLU(),
        pool2=_pool(),
        norm2=ResponseNorm(64, alpha=1e-4, k=1.0),
        **_conv(3, 64, 96),
        **_conv(4, 96, 96, groups=2),
        **_conv(5, 96, 64, groups=2),
        pool5=_pool(),
        **_head(64 * 4 * 4, 256, num_classes),
    )
    return nn.Sequential(layers)


def _pool() -> nn.Module:
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def _conv(number: int, inputs: int, outputs: int, *, groups: int = 1) -> dict[str, nn.Module]:
    return {
        f"conv{number}": nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups, bias=False),
        f"bn{number}": nn.BatchNorm2d(outputs),
        f"relu{number}": nn.ReLU(),
    }


def _head(inputs: int, hidden: int, num_classes: int) -> dict[str, nn.Module]:
    return {
        "flatten": nn.Flatten(),
        "fc6": nn.Linear(inputs, hidden),
        "relu6": nn.ReLU(),
        "drop6": nn.Dropout(0.3),
        "fc7": nn.Linear(hidden, hidden),
        "relu7": nn.ReLU(),
        "drop7": nn.Dropout(0.3),
        "fc8": nn.Linear(hidden, num_classes),
    }
