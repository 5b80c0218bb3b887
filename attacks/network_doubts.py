"""Doubts about a network itself, from a sample of clean images: is it what was trained, and can gradients be trusted?

Each doubt is explained in docs/doubts.md. Thresholds are chosen so that none is raised on a correct set-up: on eight
real pretrained networks every measured figure stays far on the sound side (the docstrings say how far).
"""

import math

import torch
from torch import Tensor, nn

from attacks.preprocessing_doubts import input_statistics, preprocessing_doubt
from wolfhound.classifier import Classifier, frozen
from wolfhound.evidence import Doubt

SILENT_SHARE = 0.01
"""Share of images without a usable input gradient from which on it is a doubt."""

SATURATED = math.log(1e-15)
"""Log of the probability left to all other classes below which a softmax counts as saturated."""

TOLERANCE = 0.2
"""Relative difference between the change that a gradient predicts and the measured one that still is agreement."""

STEP = 1e-3
"""Change of the margin that the gradient check asks for, relative to the largest logit."""

_LARGEST_STEP = 0.01
_CHECKED = 32
_POINTERS = "docs/doubts.md#"


def doubt(code: str, explanation: str) -> Doubt:
    """Return a doubt whose explanation ends with where it is explained at length."""
    return Doubt(code, f"{explanation} See {_POINTERS}{code}.")


def training_mode(module: nn.Module) -> Doubt | None:
    """Return a doubt where any part of the network was handed over in training mode."""
    parts = [name or "the network itself" for name, part in module.named_modules() if part.training]
    if not parts:
        return None
    return doubt(
        "training-mode",
        f"{len(parts)} part(s) of the network were handed over in training mode (the first: {parts[0]}). The audit put "
        "it into evaluation mode; if the deployed network is not in it, it is not the one audited.",
    )


def classifier_doubts(classifier: Classifier, pixels: Tensor, labels: Tensor | None = None) -> tuple[Doubt, ...]:
    """Return the doubts that a sample of images raises about the network itself.

    `pixels` `[B,3,H,W]` in [0, 1]: a few dozen images are enough. `labels` int64 `[B]`: with them, other preprocessings
    are tried too. Looks for training mode, two clean passes that differ, outputs that are no logits, input gradients
    that are absent, tiny or not those of the function, and a preprocessing that isn't the one of training.
    """
    at_handover = training_mode(classifier.module)
    with frozen(classifier.module):
        sample = pixels.to(classifier.device, classifier.dtype)
        with torch.no_grad():
            first, second = classifier.logits(sample), classifier.logits(sample)
        # A fault of the outputs spoils the gradients too; the one doubt that names the cause is enough.
        outputs = _randomised(first, second) or _probabilities(first) or _saturated(first)
        gradients = _gradient_doubt(classifier, sample) if classifier.differentiable and outputs is None else None
        found = [at_handover, outputs, gradients]
        found.append(input_statistics(classifier, sample))
        if labels is not None:
            found.append(preprocessing_doubt(classifier, sample, labels))
    return tuple(each for each in found if each is not None)


def _randomised(first: Tensor, second: Tensor) -> Doubt | None:
    spread = float((first - second).abs().max())
    scale = float(first.abs().max())
    if spread <= 1e-5 * max(scale, 1e-30):
        return None
    return doubt(
        "randomised",
        f"two passes over the same images differ by up to {spread:.3g} in the logits: the network is randomised. Its "
        "predictions change by themselves, and single gradients mislead an attack; average over its randomness.",
    )


def _probabilities(outputs: Tensor) -> Doubt | None:
    """Return a doubt where each row is non-negative with one and the same sum: a softmax, or one that was rescaled."""
    rows = outputs.double()
    sums = rows.sum(dim=1)
    total = float(sums.mean())
    if bool((rows < 0).any()) or bool(((sums - total).abs() > 1e-3 * total).any()):
        return None
    return doubt(
        "probabilities",
        f"every row of the outputs is non-negative and sums to {total:.4g}: these are probabilities, not logits. "
        "Gradients through a softmax vanish where the network is confident; audit the network without that softmax.",
    )


def _saturated(outputs: Tensor) -> Doubt | None:
    """Return a doubt where the softmax of the outputs leaves nothing to the other classes on most images.

    Measured: the median logarithm of what is left to the others is -14 on the most confident of the real networks, and
    on no image of any below -31; the limit is -34.5. Outputs that are log-probabilities are no fault in themselves
    (they are logits less a constant), unless they were cut off at a floor, which ties the other classes.
    """
    best = outputs.double().topk(min(3, outputs.shape[1]), dim=1)
    others = outputs.double().scatter(1, best.indices[:, :1], -torch.inf)
    left = torch.logsumexp(others, dim=1) - best.values[:, 0]
    logarithms = bool((torch.logsumexp(outputs.double(), dim=1).abs() < 0.05).all())
    tied = best.values[:, 1] - best.values[:, -1] < 1e-3
    if logarithms and outputs.shape[1] > 2 and float(tied.double().mean()) > 0.5:
        return doubt(
            "log-of-softmax",
            f"the outputs are logarithms of probabilities with a floor: on {int(tied.sum())} of {len(tied)} images the "
            "runners-up tie at it. What lies below the floor has no gradient; audit the network's logits.",
        )
    if float(left.median()) >= SATURATED:
        return None
    return doubt(
        "saturated-softmax",
        f"on most images the softmax of the outputs leaves the other classes a probability below 1e-15 (median 1e"
        f"{float(left.median()) / math.log(10):.0f}): the outputs are scaled up. A cross-entropy has no gradient "
        "there, so attacks that follow one stall; divide the outputs by a temperature.",
    )


def _gradient_doubt(classifier: Classifier, pixels: Tensor) -> Doubt | None:
    best, margin, gradient = _margins(classifier, pixels)
    return _masked(gradient) or _vanishing(best, margin, gradient) or _mismatch(classifier, pixels, gradient)


def _margins(classifier: Classifier, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the first class, its lead over the second, both `[B]`, and the lead's gradient in the pixels or None."""
    with torch.enable_grad():
        at = pixels.detach().clone().requires_grad_()
        best = classifier.logits(at).topk(2, dim=1)
        lead = best.values[:, 0] - best.values[:, 1]
        connected = lead.requires_grad
        (gradient,) = torch.autograd.grad(lead.sum(), at, allow_unused=True) if connected else (None,)
    return best.indices[:, 0], lead.detach(), gradient


def follows_pixels(classifier: Classifier, pixels: Tensor) -> bool:
    """Whether a differentiable way leads from `pixels` `[B,3,H,W]` to the scores; its gradient may be zero."""
    with frozen(classifier.module):
        gradient = _margins(classifier, pixels.to(classifier.device, classifier.dtype))[2]
    return gradient is not None


def _masked(gradient: Tensor | None) -> Doubt | None:
    """Return a doubt where the margin of some images has no gradient, or nine in ten pixel values have none."""
    if gradient is None:
        silent, count = "all", "all"
    else:
        size = gradient.flatten(1).abs()
        none = ~(size.amax(dim=1) > 0) | ((size == 0).double().mean(dim=1) > 0.9)
        if float(none.double().mean()) < SILENT_SHARE:
            return None
        silent, count = str(int(none.sum())), str(len(none))
    return doubt(
        "masked-gradients",
        f"for {silent} of {count} images the gradient of the prediction is zero, or not a number, in all or nearly all "
        "pixels. Attacks that follow it fail for that reason alone: a quantised or undifferentiable part hides it.",
    )


def _vanishing(best: Tensor, margin: Tensor, gradient: Tensor | None) -> Doubt | None:
    """Return a doubt where margin / |gradient|_1 exceeds 1: to first order, no image at all changes the prediction.

    That ratio is the linf distance to the decision boundary of the linearised network (Moosavi-Dezfooli et al., 2016,
    section 3). Measured: at most 0.08 on the real networks, adversarially trained ones included. A network that gives
    every image the same answer (one with random weights, say) is constant rather than saturated, and not doubted here.
    """
    if gradient is None or bool((best == best[0]).all()):
        return None
    far = margin > gradient.flatten(1).abs().sum(dim=1)
    if float(far.double().mean()) < SILENT_SHARE:
        return None
    return doubt(
        "vanishing-gradients",
        f"for {int(far.sum())} of {len(far)} images the gradient is so small that, were the network linear, no change "
        "of any size would alter the prediction. A saturated or squashed part flattens it; attacks stall there.",
    )


def _mismatch(classifier: Classifier, pixels: Tensor, gradient: Tensor | None) -> Doubt | None:
    """Return a doubt where a small step along the gradient doesn't change the margin as the gradient predicts.

    The step is so long that the margin should change by 1e-3 of the largest logit, a thousand times float32's
    round-off; the change is measured as half the difference of a step forward and one back. Measured: on each image of
    the real networks the ratio of measured and predicted change lies in [0.90, 1.01]. The doubt is raised where fewer
    than three in four images agree within a fifth. Half precision cannot resolve such a step, so it is not checked, nor
    is an image whose gradient is so small that no step up to 0.01 a pixel value stands out of the round-off.
    """
    if gradient is None or classifier.dtype not in (torch.float32, torch.float64):
        return None
    ratio = _measured_over_predicted(classifier, pixels[:_CHECKED], gradient[:_CHECKED])
    agree = int(((ratio - 1).abs() <= TOLERANCE).sum())
    if agree >= 0.75 * len(ratio):
        return None
    return doubt(
        "gradient-mismatch",
        f"on {len(ratio) - agree} of {len(ratio)} images a small step along the gradient does not change the margin as "
        f"it says (median of measured over predicted {float(ratio.median()):.2g}). It is not the gradient of the "
        "function that is computed: something quantised, cut or replaced lies in between.",
    )


def _measured_over_predicted(classifier: Classifier, pixels: Tensor, gradient: Tensor) -> Tensor:
    """Return the ratio of the measured and the predicted change for each image whose step stands out of round-off."""
    with torch.no_grad():
        logits = classifier.logits(pixels)
        predicted = STEP * logits.abs().amax(dim=1)
        step = _scaled(gradient, predicted / gradient.flatten(1).square().sum(dim=1))
        limit = (_LARGEST_STEP / step.flatten(1).abs().amax(dim=1)).clamp_max(1)
        resolved = limit > 100 * torch.finfo(logits.dtype).eps / STEP
        if not bool(resolved.any()):
            return limit[resolved]
        at, best = pixels[resolved], logits.topk(2, dim=1).indices[resolved]
        step = _scaled(step, limit)[resolved]
        ahead, behind = (classifier.logits(at + sign * step).gather(1, best) for sign in (1, -1))
    measured = ((ahead[:, 0] - ahead[:, 1]) - (behind[:, 0] - behind[:, 1])) / 2
    return measured / (predicted * limit)[resolved]


def _scaled(images: Tensor, factors: Tensor) -> Tensor:
    return images * factors[:, None, None, None]
