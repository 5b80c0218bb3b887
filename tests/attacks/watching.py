"""Networks that watch how they are asked: they count rows, refuse gradients, or answer with labels alone."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Counting(nn.Module):
    """Counts the rows that pass through `inner`."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.rows = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.rows += len(inputs)
        outputs: Tensor = self.inner(inputs)
        return outputs


class BackwardError(RuntimeError):
    """The error of a network that is asked for a gradient."""


class _Refused(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, logits: Tensor) -> Tensor:
        return logits.clone()

    @staticmethod
    def backward(_: Any, *__: Any) -> Any:
        raise BackwardError


class NoBackward(nn.Module):
    """Answers as `inner` does and raises `BackwardError` where a gradient is taken."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = _Refused.apply(self.inner(inputs))  # type: ignore[no-untyped-call]
        return outputs


class OneHot(nn.Module):
    """Answers with 1 for the class that `inner` predicts and 0 for the others."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.inner(inputs)
        return functional.one_hot(logits.argmax(dim=1), logits.shape[1]).to(logits.dtype)
