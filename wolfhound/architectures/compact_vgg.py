"""Compact VGG-16 and VGG-19 (Simonyan & Zisserman 2015, configurations D and E): 3x3 convolutions in five stages."""

from collections import OrderedDict

from torch import nn

WIDTHS = (8, 16, 32, 64, 64)


def compact_vgg16(num_classes: int) -> nn.Sequential:
    """Return configuration D, 13 convolutions, at 1/8 width; input `[B,3,64,64]`, last convolutional map 4x4."""
    return _vgg((2, 2, 3, 3, 3), num_classes)


def compact_vgg19(num_classes: int) -> nn.Sequential:
    """Return configuration E, 16 convolutions, at 1/8 width; input `[B,3,64,64]`, last convolutional map 4x4."""
    return _vgg((2, 2, 4, 4, 4), num_classes)


def _vgg(depths: tuple[int, ...], num_classes: int) -> nn.Sequential:
    features: OrderedDict[str, nn.Module] = OrderedDict()
    inputs = 3
    for stage, (depth, width) in enumerate(zip(depths, WIDTHS, strict=True), start=1):
        for place in range(1, depth + 1):
            features[f"conv{stage}_{place}"] = nn.Conv2d(inputs, width, 3, padding=1, bias=False)
            features[f"bn{stage}_{place}"] = nn.BatchNorm2d(width)
            features[f"relu{stage}_{place}"] = nn.ReLU()
            inputs = width
        features[f"pool{stage}"] = nn.MaxPool2d(2)
    classifier = nn.Sequential(
        nn.Flatten(), nn.Linear(WIDTHS[-1] * 2 * 2, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, num_classes)
    )
    return nn.Sequential(OrderedDict(features=nn.Sequential(features), classifier=classifier))
