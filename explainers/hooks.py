"""Read a layer's activation and its gradient from a network, and leave no trace in it.

The part below the first tapped layer runs without a graph (nothing there requires a gradient), the gradient is taken
with `autograd.grad` on the tail alone, and never with respect to a parameter.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import ModelError


def find_layer(module: nn.Module, name: str) -> nn.Module:
    """Return the submodule of the given dotted name ("layer4.1.conv2").

    Raises:
        ModelError: there is none; the message lists close names.
    """
    layers: dict[str, nn.Module] = dict(module.named_modules(remove_duplicate=False))
    if name and name in layers:
        return layers[name]
    close = _close_names(name, [candidate for candidate in layers if candidate])
    raise ModelError(f"expected the name of a layer of {type(module).__name__}, got {name!r} (close: {close})")


def _close_names(name: str, names: Sequence[str]) -> str:
    """The names most like `name`; where none is, the children of the longest part of it that exists."""
    close = difflib.get_close_matches(name, names, n=6, cutoff=0.6)
    stem = name
    while not close:
        stem = stem.rpartition(".")[0]
        prefix = f"{stem}." if stem else ""
        close = [other for other in names if other.startswith(prefix) and "." not in other[len(prefix) :]][:12]
        if not stem:
            break
    return ", ".join(close) or "it has no named layers"


@contextmanager
def tapped(module: nn.Module, layers: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Hold hooks on `layers`; forward passes inside fill the yielded dict with each layer's output.

    What is stored is a copy, and the network carries on with another one: an in-place ReLU after the layer (as in
    torchvision's ResNet and DenseNet) changes neither the stored values nor the graph that gradients go through.
    The hooks are gone afterwards, also after an exception.

    Raises:
        ModelError: no such layer; inside, a layer that runs more than once in a pass or gives something but a tensor.
    """
    parts = {name: find_layer(module, name) for name in layers}
    taps: dict[str, Tensor] = {}
    handles = []
    try:
        for name, part in parts.items():
            handles.append(part.register_forward_hook(_tap(name, taps)))
        yield taps
    finally:
        for handle in handles:
            handle.remove()


def _tap(name: str, taps: dict[str, Tensor]) -> Callable[[nn.Module, Any, Any], Tensor]:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Tensor:
        if not isinstance(output, Tensor):
            raise ModelError(f"expected layer {name!r} to give one tensor, got {type(output).__name__}")
        if name in taps:
            raise ModelError(
                f"layer {name!r} runs more than once in a forward pass, so its activation is ambiguous "
                "(name a layer that runs once, the block around it for example)"
            )
        # A tap above another one stays in its graph; the lowest ones start a graph of their own.
        tap = output.clone() if output.requires_grad else output.detach().clone().requires_grad_()
        taps[name] = tap
        return tap.clone()

    return hook


@dataclass(frozen=True, eq=False)
class Recording:
    """One forward pass: logits `[B,K]` and the tapped activations, still joined by the graph of the tail."""

    logits: Tensor
    taps: Mapping[str, Tensor]

    def activation(self, layer: str) -> Tensor:
        """The layer's output as it was before anything changed it in place, without a graph."""
        return self.taps[layer].detach()

    def gradients(self, score: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """Return d(sum of score(logits))/d(activation) of every tapped layer, `[B,...]` each.

        `score` takes logits `[B,K]` to one number an image `[B]`. The graph is kept, so several scores can be explained
        from one pass.

        Raises:
            ModelError: the score does not depend on a layer.
        """
        names = list(self.taps)
        with torch.inference_mode(False), torch.enable_grad():
            total = score(self.logits).sum()
            inputs = [self.taps[name] for name in names]
            unused = [None] * len(names)
            found = (
                torch.autograd.grad(total, inputs, retain_graph=True, allow_unused=True)
                if total.requires_grad
                else unused
            )
        gradients = {name: gradient for name, gradient in zip(names, found, strict=True) if gradient is not None}
        missing = [name for name in names if name not in gradients]
        if missing:
            raise ModelError(f"the scores do not depend on layer(s) {', '.join(missing)}: there is no gradient")
        return gradients


def record(classifier: Classifier, pixels: Tensor, *, layers: Sequence[str]) -> Recording:
    """Run `pixels` `[B,3,H,W]` in [0, 1] once through the classifier and record `layers`.

    Works on frozen networks, under an ambient `no_grad` or `inference_mode`, and takes no gradient with respect to a
    parameter or to the caller's pixels. Hooks, modes, `requires_grad` and `.grad` are as before, also after an error.

    Raises:
        ModelError: no such layer, a layer that did not run, ran twice, or gave something but a tensor.
    """
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        frozen(classifier.module),
        tapped(classifier.module, layers) as taps,
    ):
        logits = classifier.logits(pixels.clone() if pixels.is_inference() else pixels.detach())
    silent = [name for name in layers if name not in taps]
    if silent:
        raise ModelError(f"layer(s) {', '.join(silent)} did not run in the forward pass (name another layer)")
    return Recording(logits, taps)
