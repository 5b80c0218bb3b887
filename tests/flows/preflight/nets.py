"""Networks with one fault each, around one that was trained on drawn textures; read as a user's own file."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn


def _trained():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Linear(16 * 4 * 4, 4),
    )


class Around(nn.Module):
    def __init__(self, before=None, after=None):
        super().__init__()
        self.network = _trained()
        self.network.load_state_dict(load_file(Path(__file__).parent / "net.safetensors"))
        self.before, self.after = before, after

    def forward(self, pixels):
        shown = pixels if self.before is None else self.before(pixels)
        logits = self.network(shown)
        return logits if self.after is None else self.after(logits)


class AlwaysTraining(nn.Module):
    """Stays in training mode whatever it is told."""

    def __init__(self):
        super().__init__()
        self.network = Around()
        self.drop = nn.Dropout(1e-9)

    def forward(self, pixels):
        return self.drop(self.network(pixels))

    def train(self, mode=True):
        super().train(mode)
        self.drop.training = True
        return self


class BatchStatistics(nn.Module):
    """Normalises by what is in the batch, as batch normalisation does in training."""

    def __init__(self):
        super().__init__()
        self.network = Around()
        self.network.network[1].track_running_stats = False
        self.network.network[1].running_mean = None
        self.network.network[1].running_var = None

    def forward(self, pixels):
        return self.network(pixels)


class Corner(nn.Module):
    """Knows images of 28x28, and of larger ones sees the corner."""

    def __init__(self):
        super().__init__()
        self.network = Around()

    def forward(self, pixels):
        return self.network(nn.functional.interpolate(pixels[..., :28, :28], size=(16, 16)))


class Particular(Corner):
    """Takes images of 56x56 alone, as a transformer does whose positions are counted."""

    def forward(self, pixels):
        torch._assert(pixels.shape[-1] == 56, "Wrong image width!")
        return super().forward(pixels)


def particular():
    return Particular()


def sound():
    return Around()


def training():
    return AlwaysTraining()


def batch_statistics():
    return BatchStatistics()


def noisy():
    return Around(before=lambda x: x + 0.01 * torch.randn_like(x))


def softmax():
    return Around(after=lambda z: z.softmax(1))


def floored():
    return Around(after=lambda z: ((20 * z).softmax(1) + 1e-4).log())


def scaled_up():
    return Around(after=lambda z: 1000 * z)


def squashed():
    return Around(after=lambda z: z.tanh())


def straight_through():
    return Around(before=lambda x: x + ((x * 4).round() / 4 - x).detach())


def rounding():
    return Around(before=lambda x: (x * 4).round() / 4)


def detached():
    return Around(after=lambda z: z.detach())


def blue_first():
    return Around(before=lambda x: x.flip(1))


def normalises_itself():
    return Around(before=lambda x: (x - 0.5) / 0.25)


def from_bytes():
    return Around(before=lambda x: (x / 255 - 0.5) / 0.25)


def moved_by_one():
    return Around(after=lambda z: z.roll(1, dims=1))


def shuffled():
    return Around(after=lambda z: z[:, [2, 0, 3, 1]])


def untrained():
    torch.manual_seed(1)
    return nn.Sequential(_trained())


def corner():
    return Corner()
