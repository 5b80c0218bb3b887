"""A network that breaks off, and a snapshot of everything about a network that an attack must leave alone."""

from typing import Any

import torch
from torch import Tensor, nn

from wolfhound.classifier import Classifier


class CrashError(RuntimeError):
    """The error that a crashing network raises."""


class CrashingAfter(nn.Module):
    """Passes its input through `inner` a number of times, then raises `CrashError`."""

    def __init__(self, inner: nn.Module, forwards: int) -> None:
        super().__init__()
        self.inner = inner
        self.left = forwards

    def forward(self, inputs: Tensor) -> Tensor:
        if self.left == 0:
            raise CrashError
        self.left -= 1
        outputs: Tensor = self.inner(inputs)
        return outputs


def mixed_state(classifier: Classifier) -> None:
    """Bring the network into an unusual state: some parts training, some parameters frozen, some gradients set."""
    classifier.module.train()
    next(iter(classifier.module.children())).eval()
    for position, parameter in enumerate(classifier.module.parameters()):
        parameter.requires_grad_(position % 2 == 0)
        if position % 3 == 0:
            parameter.grad = torch.full_like(parameter, position)


def snapshot(classifier: Classifier) -> dict[str, Any]:
    """Return everything that must stay: weights, modes, gradient flags, gradients, hooks and the global generator."""
    module = classifier.module
    return {
        "weights": {name: tensor.clone() for name, tensor in module.state_dict().items()},
        "modes": [part.training for part in module.modules()],
        "flags": [parameter.requires_grad for parameter in module.parameters()],
        "gradients": [None if p.grad is None else p.grad.clone() for p in module.parameters()],
        "hooks": [_hooks(part) for part in module.modules()],
        "generator": torch.get_rng_state(),
    }


def _hooks(part: nn.Module) -> list[int]:
    return [len(getattr(part, name)) for name in sorted(vars(part)) if name.endswith("hooks")]


def assert_same(before: Any, after: Any) -> None:
    """Compare two snapshots, tensors by value."""
    if isinstance(before, torch.Tensor):
        assert torch.equal(before, after)
    elif isinstance(before, dict):
        assert before.keys() == after.keys()
        for key in before:
            assert_same(before[key], after[key])
    elif isinstance(before, list):
        assert len(before) == len(after)
        for first, second in zip(before, after, strict=True):
            assert_same(first, second)
    else:
        assert before == after
