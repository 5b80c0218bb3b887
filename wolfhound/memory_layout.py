"""How a network's weights lie in memory: channels-last makes convolutions faster and changes no prediction.

Measured on the CPU (benchmarks/README.md): forward passes 1.1 to 1.9 times as fast, input gradients 1.1 to 1.5 times.
It is taken only where a sample of images shows that it changes nothing, never by a clock, so that the same audit
computes the same on the same machine.
"""

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wolfhound.classifier import Classifier, frozen

TOLERANCE = 1e-4
"""How far a logit may move, as a share of the largest one of the sample."""

STANDARD, CHANNELS_LAST = "standard", "channels-last"


@dataclass(frozen=True, eq=False)
class Laid:
    """A classifier and how its weights lie in memory; where it is the standard layout, `reason` says why."""

    classifier: Classifier
    layout: str
    reason: str = ""

    @property
    def text(self) -> str:
        """The layout as it is printed."""
        return self.layout if not self.reason else f"{self.layout} ({self.reason})"


def in_channels_last(classifier: Classifier, sample: Tensor, *, gradients: bool = True) -> Laid:
    """Return the classifier with its weights in channels-last layout, if that changes nothing on `sample`.

    `sample` `[B,3,H,W]` in [0, 1]: the forward pass and, with `gradients`, the backward pass must work, every
    prediction stay the same, and no logit move by more than `TOLERANCE`. The classifier handed over is left as it is;
    the digest of the weights stays the same.
    """
    # Weights of four dimensions are those of convolutions, also in programs that hold no layers.
    if not any(parameter.ndim == 4 for parameter in classifier.module.parameters()):
        return Laid(classifier, STANDARD, "no convolution")
    try:
        module = copy.deepcopy(classifier.module)
        moved = replace(classifier, module=module.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    except (RuntimeError, TypeError) as error:
        return Laid(classifier, STANDARD, f"it cannot be copied: {_first_line(error)}")
    pixels = sample.to(classifier.device, classifier.dtype)
    expected = logits_of(classifier, pixels, gradients=gradients)
    try:
        found = logits_of(moved, pixels, gradients=gradients)
    except RuntimeError as error:
        return Laid(classifier, STANDARD, f"its code does not allow another: {_first_line(error)}")
    if not outputs_agree(expected, found):
        return Laid(classifier, STANDARD, "another one changes its outputs")
    return Laid(moved, CHANNELS_LAST)


def logits_of(classifier: Classifier, pixels: Tensor, *, gradients: bool) -> Tensor:
    """Return the logits of a forward pass through which, with `gradients`, a gradient was taken, too."""
    with frozen(classifier.module), torch.set_grad_enabled(gradients):
        at = pixels.detach().clone().requires_grad_(gradients)
        logits = classifier.logits(at)
        if logits.requires_grad:
            torch.autograd.grad(logits.sum(), at, allow_unused=True)
    return logits.detach()


def outputs_agree(expected: Tensor, found: Tensor) -> bool:
    """Whether two sets of logits `[B,K]` give the same predictions and differ by at most `TOLERANCE` of the largest."""
    if not bool(torch.isfinite(found).all()) or not torch.equal(expected.argmax(dim=1), found.argmax(dim=1)):
        return False
    return bool((expected - found).abs().max() <= TOLERANCE * expected.abs().max())


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
