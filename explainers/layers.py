"""Find the layer to explain: the last feature map that is fine enough to look at, of convolutions or of tokens."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from explainers.cams.layouts import Layout, layout_of
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


LEAST_SIDE = 7
"""Places along the shorter side that a map should have: what a network for 224 pixels gives (224 / 32)."""


def default_layer(classifier: Classifier, *, least_side: int = LEAST_SIDE) -> str:
    """Return the dotted name of the last feature map that is fine enough to look at.

    The rule, on a traced forward pass: take the last convolution whose output has at least `least_side` places along
    its shorter side, is no class scores (one channel a class and no layer with weights behind it, as in SqueezeNet) and
    lies in no block that ends on another grid. From there take the last module to finish on the same grid `[h,w]` that
    is no pooling and no dropout, runs once, and comes before the score convolution if there is one: normalisation,
    activation and the block around the convolution are included.

    At 224 pixels that is the last feature map before pooling: a ResNet gives "layer4", a VGG the last ReLU, a DenseNet
    "features". Networks for small images shrink to 2 x 2 places or fewer, which show nothing, so an earlier map is
    taken; where none is as fine as asked, the last of more than one place.

    Where dense layers over tokens follow the convolutions (ViT, Swin), the last layer of tokens on a grid is taken.
    With a class token in front that is the last one before the last attention begins, because behind it only the class
    token reaches the scores and the gradient of every place is 0: "encoder.layers.encoder_layer_11.ln_1" of a ViT-B.

    Raises:
        ModelError: there is no such layer (a network of dense layers alone, or tokens without an attention module).
    """
    calls = trace(classifier)
    convolutions, end = _convolutions(calls, classes=len(classifier.class_names))
    if not convolutions:
        raise ModelError(f"{classifier.name}: no convolution with a feature map of more than one place {_MEND}")
    fine = [
        i for i in convolutions if min(calls[i].grid or (0, 0)) >= least_side and _ends_on_its_grid(calls[i], calls)
    ]
    chosen = _last_on_grid(calls, start=(fine or convolutions)[-1], end=end)
    if any(isinstance(call.module, nn.Linear) and len(call.shape) > 2 for call in calls[chosen + 1 :]):
        return _last_of_tokens(classifier, calls, start=chosen)
    return calls[chosen].name


_MEND = "(name a layer of the form [B, C, h, w] yourself)"


def _convolutions(calls: list[Call], *, classes: int) -> tuple[list[int], int]:
    """Return where convolutions gave a feature map, and where features end: at the scores' convolution or the end."""
    weighted = [i for i, call in enumerate(calls) if next(call.module.parameters(recurse=False), None) is not None]
    found = [i for i in weighted if isinstance(calls[i].module, _CONVOLUTIONS) and calls[i].grid is not None]
    if found and found[-1] == weighted[-1] and calls[found[-1]].shape[1] == classes:
        return found[:-1], found[-1]
    return found, len(calls)


def _ends_on_its_grid(call: Call, calls: list[Call]) -> bool:
    """Whether no block around the call ends on another grid. Plain sequences are chains and hide no shortcut."""
    blocks = [other for other in calls if other.name and call.name.startswith(f"{other.name}.")]
    return all(isinstance(block.module, nn.Sequential) or block.grid == call.grid for block in blocks)


def _last_on_grid(calls: list[Call], *, start: int, end: int) -> int:
    runs = Counter(call.name for call in calls)
    for index in range(end - 1, start, -1):
        call = calls[index]
        plain = call.name and runs[call.name] == 1 and not isinstance(call.module, (*_POOLINGS, *_PASSING))
        if plain and call.grid == calls[start].grid and _ends_on_its_grid(call, calls):
            return index
    return start


def _last_of_tokens(classifier: Classifier, calls: list[Call], *, start: int) -> str:
    """Return the last layer of tokens behind the patch embedding that still has a gradient at every place."""
    attention = _last_attention(calls)
    if attention is None:
        raise ModelError(
            f"{classifier.name}: layers over tokens follow its last convolution {calls[start].name!r}, and no "
            f"attention module among them says where their places end {_MEND}"
        )
    last = _last_grid(classifier, calls[start + 1 :])
    if last is None or last[1].prefix == 0:
        return calls[start].name if last is None else last[0]
    inside = f"{calls[attention].name}."
    before = [call for call in calls[start:attention] if not call.name.startswith(inside)]
    found = _last_grid(classifier, before)
    return calls[start].name if found is None else found[0]


def _last_attention(calls: list[Call]) -> int | None:
    """Attention has no common base class: torch's own is known by type, others call themselves so."""
    found = [
        index
        for index, call in enumerate(calls)
        if isinstance(call.module, nn.MultiheadAttention) or "Attention" in type(call.module).__name__
    ]
    return found[-1] if found else None


def _last_grid(classifier: Classifier, calls: list[Call]) -> tuple[str, Layout] | None:
    """Return name and layout of the last call that is a feature map of more than one place and ran once."""
    size, runs = classifier.preprocessing.input_size, Counter(call.name for call in calls)
    for call in reversed(calls):
        layout = layout_of(call.shape, size=size, part=call.module)
        plain = call.name and runs[call.name] == 1 and not isinstance(call.module, (*_POOLINGS, *_PASSING))
        if layout is not None and plain and layout.grid[0] * layout.grid[1] > 1:
            return call.name, layout
    return None
