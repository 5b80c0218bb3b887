"""A classifier as the audit sees it: pixels in [0, 1] go in, logits come out.

Normalisation and resizing live inside, so epsilon means pixels for every network, whatever its preprocessing.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from wolfhound.checks import check_pixel_layout
from wolfhound.errors import ModelError


@dataclass(frozen=True)
class Preprocessing:
    """What a network expects: channel means and deviations on the [0, 1] scale, and its input size (height, width)."""

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    input_size: tuple[int, int] = (224, 224)

    def __post_init__(self) -> None:
        if len(self.mean) != 3 or len(self.std) != 3 or not all(math.isfinite(m) for m in self.mean):
            raise ModelError(f"expected 3 finite means and 3 deviations, got {self.mean} and {self.std}")
        if not all(0 < deviation < math.inf for deviation in self.std):
            raise ModelError(f"expected deviations above 0, got {self.std}")
        if len(self.input_size) != 2 or not all(side >= 1 for side in self.input_size):
            raise ModelError(f"expected an input size (height, width) of at least 1, got {self.input_size}")

    def apply(self, pixels: Tensor) -> Tensor:
        """Return `pixels` `[B,3,H,W]` in [0, 1] resampled (bilinear, antialiased) to the input size and normalised."""
        if tuple(pixels.shape[-2:]) != self.input_size:
            pixels = functional.interpolate(
                pixels, size=self.input_size, mode="bilinear", align_corners=False, antialias=True
            )
        mean = pixels.new_tensor(self.mean).view(1, 3, 1, 1)
        std = pixels.new_tensor(self.std).view(1, 3, 1, 1)
        return (pixels - mean) / std


@dataclass(frozen=True, eq=False)
class Classifier:
    """A named network with its preprocessing, class names and the digest of its weights.

    `architecture` says what was built ("torchvision vgg16"), `provenance` where the weights come from; both are
    printed in reports and therefore never claim more than is known. `differentiable` says whether gradients can be
    had; where they cannot, only what asks for answers is measured. `gradient_dtype` is the precision of passes that
    take gradients in the pixels, where it is another than the network's own (see `wolfhound.mixed_precision`).
    """

    name: str
    module: nn.Module = field(repr=False)
    class_names: tuple[str, ...] = field(repr=False)
    preprocessing: Preprocessing
    weights_digest: str
    architecture: str = ""
    provenance: str = ""
    differentiable: bool = True
    gradient_dtype: torch.dtype | None = None

    def logits(self, pixels: Tensor) -> Tensor:
        """Return logits `[B,classes]` for `pixels` `[B,3,H,W]`, floating, in [0, 1].

        Differentiable in the pixels where the classifier is.

        Raises:
            TypeError: pixels of an integer dtype.
            ValueError: another shape.
            ModelError: the network returns anything but one score a class for each image.
        """
        check_pixel_layout(pixels)
        with self._precision(pixels):
            logits = self.module(self.preprocessing.apply(pixels))
        expected = (len(pixels), len(self.class_names))
        if not isinstance(logits, Tensor) or logits.shape != expected:
            found = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ModelError(f"{self.name}: expected logits of shape {list(expected)}, one a class name, got {found}")
        return logits.to(pixels.dtype) if self.gradient_dtype is not None else logits

    def _precision(self, pixels: Tensor) -> AbstractContextManager[Any]:
        if self.gradient_dtype is None or not (pixels.requires_grad and torch.is_grad_enabled()):
            return nullcontext()
        return torch.autocast(pixels.device.type, dtype=self.gradient_dtype)

    @property
    def device(self) -> torch.device:
        """The device of the first parameter or buffer; the CPU for a network that has neither."""
        tensors = chain(self.module.parameters(), self.module.buffers())
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the first floating parameter; float32 for a network without one."""
        return next((p.dtype for p in self.module.parameters() if p.is_floating_point()), torch.float32)

    @property
    def parameter_count(self) -> int:
        """How many numbers the network learned."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    @property
    def identity(self) -> str:
        """SHA-256 (hex) of all that its answers follow from; what it is called and where it came from are not in it.

        Equal weights answer otherwise behind another normalisation or input size, so the digest of the weights alone
        does not say whether something that was measured still holds.
        """
        facts = (self.weights_digest, self.architecture, self.preprocessing, self.class_names, self.gradient_dtype)
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def to(self, device: torch.device | str) -> "Classifier":
        """Return the same classifier with its module moved (in place, as `nn.Module.to` does) to `device`."""
        return replace(self, module=self.module.to(device))


def state_digest(state: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 (hex) of a state dict: names, dtypes, shapes and bytes, in the order of the names.

    It does not depend on storage layout, device or file format, so a .pth and a .safetensors of the same weights agree.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{list(tensor.shape)}|".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()


@contextmanager
def frozen(module: nn.Module) -> Iterator[nn.Module]:
    """Hold `module` in evaluation mode with no parameter gradients; restore both, exactly, also after an exception.

    Every attack and explainer works inside it: no dropout, no batch statistics, no needless weight gradients.
    """
    modes = [(part, part.training) for part in module.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    try:
        module.eval()
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        yield module
    finally:
        for part, training in modes:
            part.training = training
        for parameter, required in flags:
            parameter.requires_grad_(required)
