"""CaffeNet: the BVLC reference variant of AlexNet (Krizhevsky et al. 2012; Jia et al. 2014)."""

from collections import OrderedDict

from torch import Tensor, nn

from wolfhound.architectures.response_norm import ResponseNorm
from wolfhound.architectures.vgg_f import fully_connected
from wolfhound.classifier import Preprocessing

# Channel means of ILSVRC-2012 as distributed with Caffe, on the 0..255 scale, here in RGB order.
CAFFENET_PREPROCESSING = Preprocessing(
    mean=(122.67892 / 255, 116.66877 / 255, 104.00699 / 255), std=(1 / 255, 1 / 255, 1 / 255), input_size=(227, 227)
)


class CaffeNet(nn.Module):
    """Five convolutions, three fully connected layers; input `[B,3,227,227]`, output logits `[B,num_classes]`.

    It differs from AlexNet in that pooling comes before normalisation; conv2, conv4 and conv5 are in two groups.
    Layers carry Caffe's names (conv1 to conv5, fc6 to fc8). Pooling windows may reach over the edge, as in Caffe.
    Local response normalisation uses 5 channels, alpha 1e-4, beta 0.75, k 1; PyTorch divides alpha by 5 as Caffe does.

    Weights converted from Caffe expect BGR: reverse the input channels of conv1 when converting, as this network and
    its preprocessing take RGB.
    """

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(3, 96, 11, stride=4),
                relu1=nn.ReLU(),
                pool1=nn.MaxPool2d(3, stride=2, ceil_mode=True),
                norm1=ResponseNorm(96, alpha=1e-4, k=1.0),
                conv2=nn.Conv2d(96, 256, 5, padding=2, groups=2),
                relu2=nn.ReLU(),
                pool2=nn.MaxPool2d(3, stride=2, ceil_mode=True),
                norm2=ResponseNorm(256, alpha=1e-4, k=1.0),
                conv3=nn.Conv2d(256, 384, 3, padding=1),
                relu3=nn.ReLU(),
                conv4=nn.Conv2d(384, 384, 3, padding=1, groups=2),
                relu4=nn.ReLU(),
                conv5=nn.Conv2d(384, 256, 3, padding=1, groups=2),
                relu5=nn.ReLU(),
                pool5=nn.MaxPool2d(3, stride=2, ceil_mode=True),
            )
        )
        self.classifier = fully_connected(256 * 6 * 6, num_classes=num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `[B,num_classes]` for normalised `images` `[B,3,227,227]`."""
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits


def caffenet(num_classes: int = 1000) -> CaffeNet:
    """Return CaffeNet with fresh weights."""
    return CaffeNet(num_classes)
