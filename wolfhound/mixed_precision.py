"""Gradients in 16 bits where that changes no prediction; whatever is judged stays in 32 bits.

An attack's gradients are where its time goes, and hardware for networks computes them several times as fast in 16 bits.
Its outcome is another matter: adversarial images lie close to the boundary between classes, where 16 bits decide
otherwise than 32. So passes that take no gradient, those that judge among them, are never made in 16 bits.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wolfhound.classifier import Classifier, frozen

ALIGNED = 0.95
"""Cosine between the gradients in 16 and in 32 bits that every image of the sample needs.

Measured on six real networks: float16 0.95 to 0.99 at the worst image, bfloat16 0.97 on the best of them and 0.70 on
MobileNet-V2, of whose signs a fifth are then wrong."""


@dataclass(frozen=True, eq=False)
class Refined:
    """A classifier and how precisely it computes gradients; `text` is what the run record says."""

    classifier: Classifier
    text: str


def in_mixed_precision(classifier: Classifier, sample: Tensor) -> Refined:
    """Return the classifier with gradients in 16 bits, if on `sample` `[B,3,H,W]` in [0, 1] that changes nothing.

    Taken where every prediction of the sample is the same in a pass in 16 bits, and the gradient of the largest logit
    points the same way on every image (cosine of 0.95 or more). bfloat16 is tried, and on CUDA float16 before it.
    """
    if not classifier.differentiable:
        return Refined(classifier, f"{_name(classifier.dtype)} (a black box gives no gradients)")
    if classifier.dtype != torch.float32:
        return Refined(classifier, f"{_name(classifier.dtype)} (mixed precision needs a float32 network)")
    pixels = sample.to(classifier.device, classifier.dtype)
    expected, gradient = _outputs(classifier, pixels)
    reason = ""
    for dtype in _candidates(classifier.device):
        mixed = replace(classifier, gradient_dtype=dtype)
        reason = _difference(mixed, pixels, expected, gradient) or ""
        if not reason:
            return Refined(mixed, f"{_name(dtype)} for gradients, float32 for whatever is judged")
    return Refined(classifier, f"float32 ({reason})")


def _candidates(device: torch.device) -> tuple[torch.dtype, ...]:
    return (torch.float16, torch.bfloat16) if device.type == "cuda" else (torch.bfloat16,)


def _difference(mixed: Classifier, pixels: Tensor, expected: Tensor, gradient: Tensor) -> str | None:
    try:
        logits, found = _outputs(mixed, pixels)
    except RuntimeError as error:
        return (
            f"{_name(mixed.gradient_dtype)} does not run: {(str(error).splitlines() or ['no reason given'])[0][:120]}"
        )
    changed = int((logits.argmax(dim=1) != expected.argmax(dim=1)).sum())
    if changed or not bool(torch.isfinite(logits).all()):
        return f"{_name(mixed.gradient_dtype)} changes {changed} of {len(pixels)} predictions"
    aligned = torch.nn.functional.cosine_similarity(found.flatten(1).double(), gradient.flatten(1).double(), dim=1)
    if not bool((aligned >= ALIGNED).all()):
        return f"{_name(mixed.gradient_dtype)} turns gradients (cosine {float(aligned.min()):.3f})"
    return None


def _outputs(classifier: Classifier, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits of a pass that takes gradients, and the gradient of the largest of them in the pixels."""
    with frozen(classifier.module), torch.enable_grad():
        at = pixels.detach().clone().requires_grad_()
        logits = classifier.logits(at)
        (gradient,) = torch.autograd.grad(logits.amax(dim=1).sum(), at)
    return logits.detach(), gradient


def _name(dtype: torch.dtype | None) -> str:
    return str(dtype).removeprefix("torch.")
