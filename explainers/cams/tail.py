"""Run only the part of a network above a layer, again and again, with other activations of that layer.

A network is Python code, not a list of layers, so its tail cannot be cut out. It can be recorded: during one forward
pass a `TorchFunctionMode` notes every operation that depends on the layer's output, and a replay does the same
operations on another output. What reaches the tail past the layer (a shortcut, for example) is kept as it was. A replay
of something that decides from values would be wrong, so such networks are refused, and every recording is tried once
against a full forward pass before it is used.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from explainers.hooks import find_layer
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import ModelError

READS_VALUES = frozenset(
    [
        *("item", "tolist", "numpy", "equal", "allclose", "is_nonzero", "nonzero", "masked_select", "unique"),
        *("__array__", "__bool__", "__int__", "__float__", "__index__", "__contains__"),
    ]
)
"""Operations by which a network could decide from values, or make shapes of them."""


@dataclass(frozen=True)
class _Slot:
    index: int


@dataclass(frozen=True, eq=False)
class _Step:
    function: Callable[..., Any]
    args: Any
    kwargs: Any
    outputs: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Tail:
    """The recorded operations between a layer and the logits, for one batch of images.

    Attributes:
        activation: what the layer gave, in its own layout, `[B,...]`.
        logits: `[B,K]`.
    """

    activation: Tensor
    logits: Tensor
    steps: Sequence[_Step] = field(repr=False)
    end: int = field(repr=False)

    def rerun(self, activations: Tensor) -> Tensor:
        """Return logits `[n,B,K]` of `n` other activations `[n,B,...]` of the same images. They are not changed."""
        # Fused attention has no rule for batches of batches and would run row by row.
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            replayed: Tensor = torch.func.vmap(self._replay, randomness="same")(activations.clone())
        return replayed

    def _replay(self, activation: Tensor) -> Tensor:
        values: dict[int, Tensor] = {0: activation}
        for step in self.steps:
            args, kwargs = (_replaced(part, values) for part in (step.args, step.kwargs))
            results = _tensors(step.function(*args, **kwargs))
            values.update(zip(step.outputs, results, strict=True))
        return values[self.end]


def record_tail(classifier: Classifier, pixels: Tensor, *, layer: str) -> Tail:
    """Run `pixels` `[B,3,H,W]` once and return the tail above `layer`, tried against a second pass.

    Hooks, modes and flags are as before, also after an error.

    Raises:
        ModelError: no such layer, one that did not run or ran twice or gives no tensor, or a tail that cannot be
            replayed: it decides from values, changes something from below the layer, or runs compiled code.
    """
    recorder = _Recorder(classifier.module)
    with torch.inference_mode(False), torch.no_grad(), frozen(classifier.module):
        with _replaced_output(classifier.module, layer, recorder.start), recorder:
            logits = classifier.logits(pixels.clone() if pixels.is_inference() else pixels.detach())
        if recorder.activation is None:
            raise ModelError(f"layer(s) {layer} did not run in the forward pass (name another layer)")
        end = recorder.slots.get(id(logits))
        if end is None:
            raise ModelError(f"the scores do not depend on layer(s) {layer}, or not in a way that can be followed")
        tail = Tail(recorder.activation, logits, tuple(recorder.steps), end)
        _check(tail, classifier, pixels, layer=layer)
    return tail


def _check(tail: Tail, classifier: Classifier, pixels: Tensor, *, layer: str) -> None:
    """Compare a replay with a full pass in which the layer gives half of what it gave, at every other place."""
    pattern = torch.ones_like(tail.activation, memory_format=torch.contiguous_format)
    pattern.view(-1)[::2] = 0.5
    altered = tail.activation * pattern
    replayed = tail.rerun(altered[None])[0]
    with _replaced_output(classifier.module, layer, lambda _: altered.clone()):
        expected = classifier.logits(pixels.clone() if pixels.is_inference() else pixels.detach())
    tolerance = 5e-2 if expected.dtype in (torch.float16, torch.bfloat16) else 1e-4
    scale = max(1e-6, float(expected.abs().max()))
    if not float((replayed - expected).abs().max()) <= tolerance * scale and bool(torch.isfinite(tail.logits).all()):
        raise ModelError(
            f"{classifier.name}: what runs above layer {layer!r} cannot be replayed faithfully, its scores came out "
            "otherwise than in a full pass (does it run compiled code, or draw random numbers?)"
        )


@contextmanager
def _replaced_output(module: nn.Module, layer: str, replacement: Callable[[Tensor], Tensor]) -> Iterator[None]:
    ran = False

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Tensor:
        nonlocal ran
        if not isinstance(output, Tensor):
            raise ModelError(f"expected layer {layer!r} to give one tensor, got {type(output).__name__}")
        if ran:
            raise ModelError(f"layer {layer!r} runs more than once in a forward pass (name a layer that runs once)")
        ran = True
        return replacement(output)

    handle = find_layer(module, layer).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


class _Recorder(TorchFunctionMode):
    """Notes every call that depends on the tensor given to `start`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.own = {id(tensor) for tensor in (*module.parameters(), *module.buffers())}
        self.activation: Tensor | None = None
        self.steps: list[_Step] = []
        self.slots: dict[int, int] = {}
        self._alive: list[Tensor] = []  # an id is only unique while its tensor lives

    def start(self, output: Tensor) -> Tensor:
        """Take the layer's output; the network carries on with the copy that is returned."""
        self.activation = output.detach().clone()
        carried = self.activation.clone()
        self._slot(carried)
        return carried

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        given = list(_tensors((args, kwargs)))
        if not any(id(tensor) in self.slots for tensor in given):
            return func(*args, **kwargs)
        name = str(getattr(func, "__name__", ""))
        if name in READS_VALUES:
            raise ModelError(f"the network decides from values ({name}) above the layer, which cannot be replayed")
        fixed = [tensor for tensor in given if id(tensor) not in self.slots]
        versions = [tensor._version for tensor in fixed]
        noted, named = (_noted(part, self.slots, self.own) for part in (args, kwargs))
        result = func(*args, **kwargs)
        if versions != [tensor._version for tensor in fixed]:
            raise ModelError(
                f"the network changes a tensor from below the layer in place ({name}), which is not replayed"
            )
        outputs = tuple(self._slot(tensor) for tensor in _tensors(result))
        if outputs or name in ("__setitem__", "__set__"):
            self.steps.append(_Step(func, noted, named, outputs))
        return result

    def _slot(self, tensor: Tensor) -> int:
        if id(tensor) not in self.slots:
            self.slots[id(tensor)] = len(self.slots)
            self._alive.append(tensor)
        return self.slots[id(tensor)]


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


def _noted(value: Any, slots: Mapping[int, int], own: set[int]) -> Any:
    """Return arguments with slots for what depends on the layer, and copies of what may yet change."""

    def note(tensor: Tensor) -> Any:
        if id(tensor) in slots:
            return _Slot(slots[id(tensor)])
        return tensor if id(tensor) in own else tensor.clone()

    return _rebuilt(value, lambda part: note(part) if isinstance(part, Tensor) else part)


def _replaced(value: Any, values: Mapping[int, Tensor]) -> Any:
    return _rebuilt(value, lambda part: values[part.index] if isinstance(part, _Slot) else part)


def _rebuilt(value: Any, leaf: Callable[[Any], Any]) -> Any:
    """Return nested lists, plain tuples and dicts with every leaf replaced; anything else is a leaf."""
    if isinstance(value, dict):
        return {key: _rebuilt(part, leaf) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_rebuilt(part, leaf) for part in value)
    return leaf(value)
