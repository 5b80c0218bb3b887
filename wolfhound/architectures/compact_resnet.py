"""Compact ResNet-152 (He et al. 2016, Table 1): bottleneck residual blocks in four stages."""

from collections import OrderedDict

from torch import Tensor, nn

_EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1 reduction, 3x3, 1x1 expansion by 4, added to the input; a stride is taken by the 3x3 convolution.

    The last batch norm starts at zero (Goyal et al. 2017, section 5.1): every block begins as the identity.
    """

    def __init__(self, inputs: int, width: int, *, stride: int) -> None:
        super().__init__()
        outputs = width * _EXPANSION
        self.conv1, self.bn1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            shortcut = OrderedDict(
                conv=nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), bn=nn.BatchNorm2d(outputs)
            )
            self.shortcut = nn.Sequential(shortcut)
        nn.init.zeros_(self.bn3.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Return `[B,4*width,h/stride,w/stride]` for `features` `[B,inputs,h,w]`."""
        residual = self.relu(self.bn1(self.conv1(features)))
        residual = self.relu(self.bn2(self.conv2(residual)))
        added: Tensor = self.relu(self.bn3(self.conv3(residual)) + self.shortcut(features))
        return added


def compact_resnet152(num_classes: int) -> nn.Sequential:
    """Return the 50 blocks [3, 8, 36, 3] at 1/8 width; input `[B,3,64,64]`, last convolutional map 4x4.

    The last stage keeps its resolution, so that the last maps are not 2x2.
    """
    return _resnet((3, 8, 36, 3), width=8, num_classes=num_classes)


def _resnet(depths: tuple[int, ...], *, width: int, num_classes: int) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False),
        bn1=nn.BatchNorm2d(width),
        relu=nn.ReLU(),
        maxpool=nn.MaxPool2d(3, stride=2, padding=1),
    )
    inputs = width
    for stage, depth in enumerate(depths):
        blocks = []
        for place in range(depth):
            stride = 2 if stage in (1, 2) and place == 0 else 1
            blocks.append(Bottleneck(inputs, width * 2**stage, stride=stride))
            inputs = width * 2**stage * _EXPANSION
        layers[f"layer{stage + 1}"] = nn.Sequential(*blocks)
    layers["pool"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["fc"] = nn.Linear(inputs, num_classes)
    return nn.Sequential(layers)
