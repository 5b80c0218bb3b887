"""Batch norms are folded in a copy where the scores stay the same, and left alone where they would not."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.explainers.networks import torchvision_classifier
from wolfhound.classifier import Classifier, Preprocessing, state_digest
from wolfhound.folding import folded

SAMPLE = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Small(nn.Module):
    """A convolution, a batch norm that is no identity, and a head; `way` says how they are connected."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.convolution, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 5)
        with torch.no_grad():
            self.norm.running_mean.uniform_(-1, 1)
            self.norm.running_var.uniform_(0.5, 3)
            self.norm.weight.uniform_(0.5, 2)
            self.norm.bias.uniform_(-1, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        given = self.convolution(inputs)
        if self.way == "changed in place":
            given.relu_()
        maps = self.norm(given)
        if self.way == "read elsewhere":
            maps = maps + given
        if self.way == "norm twice":
            maps = self.norm(functional.relu(maps))
        if self.way == "convolution twice":
            maps = maps + self.convolution(inputs.flip(3))
        logits: Tensor = self.head(functional.relu(maps).mean((2, 3)))
        return logits


def classifier(way: str, *, training: bool = False) -> Classifier:
    torch.manual_seed(1)
    module = Small(way).eval()
    module.norm.train(training)
    return Classifier(
        "small", module, tuple("abcde"), Preprocessing(input_size=(16, 16)), state_digest(module.state_dict())
    )


def norms(given: Classifier) -> int:
    return sum(isinstance(part, nn.BatchNorm2d) for part in given.module.modules())


def test_a_folded_copy_has_no_batch_norm_and_the_same_logits():
    given = classifier("plain")
    copy = folded(given, SAMPLE)
    assert norms(copy) == 0
    fresh = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(9))
    assert torch.allclose(copy.logits(fresh), given.logits(fresh), atol=1e-6)


def test_the_classifier_itself_is_left_as_it_is():
    given = classifier("plain")
    before = {name: value.clone() for name, value in given.module.state_dict().items()}
    folded(given, SAMPLE)
    assert norms(given) == 1
    assert all(torch.equal(value, before[name]) for name, value in given.module.state_dict().items())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in given.module.modules())


@pytest.mark.parametrize("way", ["changed in place", "read elsewhere", "norm twice", "convolution twice"])
def test_what_is_no_plain_pair_is_left_alone(way):
    given = classifier(way)
    assert folded(given, SAMPLE) is given


def test_a_batch_norm_in_training_mode_is_left_alone():
    given = classifier("plain", training=True)
    with torch.random.fork_rng():
        assert folded(given, SAMPLE) is given


def test_a_part_that_somebody_hooked_is_left_alone():
    given = classifier("plain")
    given.module.norm.register_forward_hook(lambda _part, _inputs, output: output * 2)
    assert folded(given, SAMPLE) is given


@pytest.mark.parametrize(("network", "left"), [("resnet18", 0), ("mobilenet_v2", 0), ("densenet121", 62)])
def test_real_architectures_fold_every_norm_that_follows_its_convolution(network, left):
    given = torchvision_classifier(network, size=64)
    pixels = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    copy = folded(given, pixels)
    assert norms(copy) == left
    expected = given.logits(pixels)
    assert (copy.logits(pixels) - expected).abs().max() <= 1e-5 * expected.abs().max()
