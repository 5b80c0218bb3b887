"""Find the layer to explain: the last convolutional feature map before pooling."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import ModelError

_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d, nn.LazyConv2d)
_POOLINGS = (
    nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.AvgPool2d, nn.MaxPool2d, nn.LPPool2d, nn.FractionalMaxPool2d,
)  # fmt: skip
_PASSING = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.AlphaDropout)


@dataclass(frozen=True, eq=False)
class Call:
    """One module's run in a forward pass: its dotted name and the shape of its output, () if that is no tensor."""

    name: str
    module: nn.Module
    shape: tuple[int, ...]

    @property
    def grid(self) -> tuple[int, int] | None:
        """Height and width of a `[B,C,h,w]` output of more than one place; None for any other output."""
        return (self.shape[2], self.shape[3]) if len(self.shape) == 4 and self.shape[2] * self.shape[3] > 1 else None


def trace(classifier: Classifier) -> list[Call]:
    """Return every module's run in one forward pass of a black image, in the order in which they finished."""
    calls: list[Call] = []
    pixels = torch.zeros(1, 3, *classifier.preprocessing.input_size, dtype=classifier.dtype, device=classifier.device)
    with torch.no_grad(), frozen(classifier.module), _traced(classifier.module, calls):
        classifier.logits(pixels)
    return calls


@contextmanager
def _traced(module: nn.Module, calls: list[Call]) -> Iterator[None]:
    handles = []
    try:
        for name, part in module.named_modules():

            def hook(part: nn.Module, _inputs: Any, output: Any, name: str = name) -> None:
                calls.append(Call(name, part, tuple(output.shape) if isinstance(output, Tensor) else ()))

            handles.append(part.register_forward_hook(hook))
        yield
    finally:
        for handle in handles:
            handle.remove()


def default_layer(classifier: Classifier) -> str:
    """Return the dotted name of the last convolutional feature map before pooling.

    The rule, on a traced forward pass: take the last convolution whose output has more than one place and is not itself
    the class scores (one channel a class and no layer with weights behind it, as in SqueezeNet). From there take the
    last module to finish on the same grid `[h,w]` that is no pooling and no dropout, runs once, and comes before the
    score convolution if there is one: normalisation, activation and the block around the convolution are included, so a
    ResNet gives "layer4", a VGG the last ReLU, a DenseNet "features".

    Raises:
        ModelError: there is no such layer (a network of dense layers, or of tokens as in ViT and Swin).
    """
    calls = trace(classifier)
    weighted = [i for i, call in enumerate(calls) if _has_own_weights(call.module)]
    spatial = [i for i in weighted if isinstance(calls[i].module, _CONVOLUTIONS) and calls[i].grid is not None]
    end = len(calls)
    if spatial and spatial[-1] == weighted[-1] and calls[spatial[-1]].shape[1] == len(classifier.class_names):
        end = spatial.pop()
    if not spatial:
        raise ModelError(f"{classifier.name}: no convolution with a feature map of more than one place {_MEND}")
    runs = Counter(call.name for call in calls)
    chosen = _last_on_grid(calls, start=spatial[-1], end=end, runs=runs)
    _check_no_tokens(classifier, calls[chosen + 1 :], calls[chosen])
    return calls[chosen].name


_MEND = "(name a layer of the form [B, C, h, w] yourself)"


def _has_own_weights(module: nn.Module) -> bool:
    return next(module.parameters(recurse=False), None) is not None


def _last_on_grid(calls: list[Call], *, start: int, end: int, runs: Counter[str]) -> int:
    for index in range(end - 1, start, -1):
        call = calls[index]
        plain = call.name and runs[call.name] == 1 and not isinstance(call.module, (*_POOLINGS, *_PASSING))
        if plain and call.grid == calls[start].grid:
            return index
    return start


def _check_no_tokens(classifier: Classifier, later: list[Call], chosen: Call) -> None:
    """Behind the feature map only a head may follow. A dense layer over tokens means that the features come later."""
    tokens = [call.name for call in later if isinstance(call.module, nn.Linear) and len(call.shape) > 2]
    if tokens:
        raise ModelError(
            f"{classifier.name}: its last convolution {chosen.name!r} is followed by layers over tokens "
            f"({tokens[0]}, ...), so it is not the last feature map {_MEND}"
        )
