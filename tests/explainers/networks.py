"""Small and large networks with random weights for the explainers' tests. No weights are downloaded."""

import torch
from torch import Tensor, nn

from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.torchvision_import import torchvision


def classifier_of(module: nn.Module, *, name: str = "network", classes: int = 1000, size: int = 224) -> Classifier:
    """Wrap a module; the classes are named by their numbers."""
    names = tuple(str(index) for index in range(classes))
    return Classifier(name, module, names, Preprocessing(input_size=(size, size)), weights_digest="0" * 64)


def torchvision_classifier(name: str, *, size: int = 224, seed: int = 0, device: str = "cpu") -> Classifier:
    """A torchvision network of random weights, in evaluation mode; the same for the same seed."""
    extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(seed)
        module = torchvision().models.get_model(name, weights=None, **extra)
    return classifier_of(module.eval(), name=name, size=size)


class PooledNet(nn.Module):
    """Two convolutions, an in-place ReLU behind each, global average pooling, one Linear: CAM's own architecture."""

    def __init__(self, *, classes: int = 5) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 8, 3, padding=1)
        self.features = nn.Sequential(self.first, self.norm, nn.ReLU(inplace=True), self.second, nn.ReLU(inplace=True))
        self.head = nn.Linear(8, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.features(pixels).mean(dim=(2, 3)))


def pooled_classifier(*, classes: int = 5, size: int = 16, seed: int = 0) -> Classifier:
    """A `PooledNet` of random weights (and random batch statistics) in evaluation mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = PooledNet(classes=classes)
        module.norm.running_mean.uniform_(-0.2, 0.2)
        module.norm.running_var.uniform_(0.5, 1.5)
    return classifier_of(module.eval(), classes=classes, size=size)


def random_pixels(count: int, *, size: int = 16, seed: int = 1) -> Tensor:
    """Seeded uniform pixels `[count,3,size,size]` in [0, 1]."""
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))
