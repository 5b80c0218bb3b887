"""Channels-last is taken where it changes nothing, and refused, with the reason, where it would."""

import pytest
import torch
from torch import Tensor, nn

from wolfhound.classifier import Classifier, Preprocessing, state_digest
from wolfhound.memory_layout import CHANNELS_LAST, STANDARD, in_channels_last

SAMPLE = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Pooled(nn.Module):
    """A convolution, and a head over its flattened maps; `flatten` says how they are flattened."""

    def __init__(self, flatten: str) -> None:
        super().__init__()
        self.convolution, self.head, self.flatten = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6 * 64, 5), flatten

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.convolution(inputs)
        if self.flatten == "view":
            rows = maps.view(len(maps), -1)
        elif self.flatten == "memory":
            rows = torch.as_strided(maps, (len(maps), 6 * 64), (6 * 64, 1))
        else:
            rows = maps.flatten(1)
        logits: Tensor = self.head(rows)
        return logits


def made(flatten: str) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = Pooled(flatten)
    return Classifier(
        "net", module, tuple("abcde"), Preprocessing(input_size=(8, 8)), state_digest(module.state_dict())
    )


def test_a_network_of_usual_code_is_moved_and_says_the_same() -> None:
    given = made("flatten")
    laid = in_channels_last(given, SAMPLE)
    assert laid.text == CHANNELS_LAST
    assert laid.classifier.module.convolution.weight.is_contiguous(memory_format=torch.channels_last)
    assert given.module.convolution.weight.is_contiguous()
    torch.testing.assert_close(laid.classifier.logits(SAMPLE), given.logits(SAMPLE), rtol=1e-5, atol=1e-6)
    assert state_digest(laid.classifier.module.state_dict()) == given.weights_digest


@pytest.mark.parametrize(
    ("flatten", "reason"), [("view", "its code does not allow another"), ("memory", "changes its outputs")]
)
def test_a_network_that_counts_on_the_standard_layout_is_left_as_it_is(flatten: str, reason: str) -> None:
    given = made(flatten)
    laid = in_channels_last(given, SAMPLE)
    assert laid.classifier is given
    assert laid.layout == STANDARD
    assert reason in laid.text


def test_a_network_without_convolutions_is_left_as_it_is() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 5))
    given = Classifier("net", module, tuple("abcde"), Preprocessing(input_size=(8, 8)), "")
    assert in_channels_last(given, SAMPLE).classifier is given


def test_modes_and_flags_of_the_given_network_stay() -> None:
    given = made("flatten")
    given.module.train()
    given.module.head.requires_grad_(False)
    in_channels_last(given, SAMPLE)
    assert given.module.training
    assert [p.requires_grad for p in given.module.parameters()] == [True, True, False, False]
