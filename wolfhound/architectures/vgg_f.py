"""VGG-F: the network CNN-F of Chatfield, Simonyan, Vedaldi and Zisserman (BMVC 2014), Table 1."""

from collections import OrderedDict

from torch import Tensor, nn

from wolfhound.architectures.response_norm import ResponseNorm
from wolfhound.classifier import Preprocessing

# Channel means of ILSVRC-2012 on the 0..255 RGB scale; the published network divides by no deviation. Published weights
# subtract a mean image of 224x224 instead of its mean: a converted file states its own.
VGG_F_PREPROCESSING = Preprocessing(
    mean=(123.68 / 255, 116.779 / 255, 103.939 / 255), std=(1 / 255, 1 / 255, 1 / 255), input_size=(224, 224)
)


class VGGF(nn.Module):
    """Five convolutions, three fully connected layers; input `[B,3,224,224]`, output logits `[B,num_classes]`.

    Layers carry the names of the paper's release (conv1 to conv5, fc6 to fc8). Two details differ from a naive reading:

    - Pooling windows (3x3, stride 2) may reach over the edge, as in Caffe and in the release's own padding, so that
      conv1's 54x54 map becomes 27x27: `ceil_mode`.
    - Local response normalisation is x / (2 + 1e-4 * sum over 5 channels of x^2)^0.75. PyTorch and Caffe divide alpha
      by the number of channels, MatConvNet does not, so alpha is 5e-4 here.

    Weights converted from Caffe expect BGR: reverse the input channels of conv1 when converting, as this network and
    its preprocessing take RGB.
    """

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(3, 64, 11, stride=4),
                relu1=nn.ReLU(),
                norm1=ResponseNorm(64, alpha=5e-4, k=2.0),
                pool1=nn.MaxPool2d(3, stride=2, ceil_mode=True),
                conv2=nn.Conv2d(64, 256, 5, padding=2),
                relu2=nn.ReLU(),
                norm2=ResponseNorm(256, alpha=5e-4, k=2.0),
                pool2=nn.MaxPool2d(3, stride=2, ceil_mode=True),
                conv3=nn.Conv2d(256, 256, 3, padding=1),
                relu3=nn.ReLU(),
                conv4=nn.Conv2d(256, 256, 3, padding=1),
                relu4=nn.ReLU(),
                conv5=nn.Conv2d(256, 256, 3, padding=1),
                relu5=nn.ReLU(),
                pool5=nn.MaxPool2d(3, stride=2, ceil_mode=True),
            )
        )
        self.classifier = fully_connected(256 * 6 * 6, num_classes=num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits `[B,num_classes]` for normalised `images` `[B,3,224,224]`."""
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits


def fully_connected(inputs: int, *, num_classes: int) -> nn.Sequential:
    """Return the head that VGG-F and CaffeNet share: 4096, 4096, classes, with dropout of one half between them."""
    return nn.Sequential(
        OrderedDict(
            fc6=nn.Linear(inputs, 4096),
            relu6=nn.ReLU(),
            drop6=nn.Dropout(0.5),
            fc7=nn.Linear(4096, 4096),
            relu7=nn.ReLU(),
            drop7=nn.Dropout(0.5),
            fc8=nn.Linear(4096, num_classes),
        )
    )


def vgg_f(num_classes: int = 1000) -> VGGF:
    """Return VGG-F with fresh weights."""
    return VGGF(num_classes)
