"""Gradients in 16 bits are taken only where nothing changes, and what is judged is computed in 32 bits all the same."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.mixed_precision import in_mixed_precision


class Applying(nn.Module):
    def __init__(self, network: nn.Module, after: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.after = network, after

    def forward(self, pixels: Tensor) -> Tensor:
        logits: Tensor = self.after(self.network(pixels))
        return logits


@pytest.fixture
def network() -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 4))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return module.eval()


@pytest.fixture
def pixels() -> Tensor:
    return torch.rand(24, 3, 12, 12, generator=torch.Generator().manual_seed(1))


def classifier(module: nn.Module) -> Classifier:
    return Classifier("net", module, ("a", "b", "c", "d"), Preprocessing(input_size=(12, 12)), "0" * 64)


def test_a_network_with_clear_answers_takes_gradients_in_16_bits(network: nn.Module, pixels: Tensor) -> None:
    refined = in_mixed_precision(classifier(network), pixels)
    assert refined.classifier.gradient_dtype == torch.bfloat16
    assert refined.text == "bfloat16 for gradients, float32 for whatever is judged"


def test_passes_without_gradients_are_the_same_to_the_bit(network: nn.Module, pixels: Tensor) -> None:
    plain = classifier(network)
    mixed = in_mixed_precision(plain, pixels).classifier
    with torch.no_grad():
        assert torch.equal(mixed.logits(pixels), plain.logits(pixels))
        assert torch.equal(mixed.logits(pixels.clone().requires_grad_()), plain.logits(pixels))
    assert torch.equal(mixed.logits(pixels), plain.logits(pixels)), "no gradient in the pixels is asked for"


def test_passes_with_gradients_are_in_16_bits_and_come_back_in_32(network: nn.Module, pixels: Tensor) -> None:
    mixed = in_mixed_precision(classifier(network), pixels).classifier
    at = pixels.clone().requires_grad_()
    logits = mixed.logits(at)
    assert logits.dtype == torch.float32
    assert not torch.equal(logits.detach(), mixed.logits(pixels))
    (gradient,) = torch.autograd.grad(logits.amax(dim=1).sum(), at)
    assert gradient.dtype == torch.float32


def test_a_prediction_that_changes_keeps_32_bits(network: nn.Module, pixels: Tensor) -> None:
    """On top of 1000, bfloat16 knows multiples of 4 only, so scores that differ by less are tied."""
    head = nn.Linear(4, 4)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1, 0, 0, 0], [1, 0, 0.1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]))
        head.bias.fill_(1000.0)
    tied = nn.Sequential(network, head).eval()
    refined = in_mixed_precision(classifier(tied), pixels)
    assert refined.classifier.gradient_dtype is None
    assert refined.text.startswith("float32 (bfloat16 changes ")


def test_a_network_of_another_precision_is_left_alone(network: nn.Module, pixels: Tensor) -> None:
    refined = in_mixed_precision(classifier(network.double()), pixels)
    assert refined.classifier.gradient_dtype is None
    assert "needs a float32 network" in refined.text


def test_gradients_that_turn_keep_32_bits(network: nn.Module, pixels: Tensor) -> None:
    """The answer is that of the first class by far; its slope comes from rounding alone."""

    def stepped(logits: Tensor) -> Tensor:
        steps = (1000 * logits[:, :1].float()).sin() / 1000
        return torch.cat([10 + steps, torch.zeros_like(logits[:, 1:], dtype=torch.float32)], dim=1)

    refined = in_mixed_precision(classifier(Applying(network, stepped)), pixels)
    assert refined.classifier.gradient_dtype is None
    assert refined.text.startswith("float32 (bfloat16 turns gradients")
