"""Reasons not to trust a result, raised automatically. A finding with a doubt is inconclusive, never green."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from wolfhound.classifier import Classifier, frozen
from wolfhound.evidence import Doubt
from wolfhound.metrics import Predictions, fooling_rate
from wolfhound.statistics import mcnemar_exact

POINTS = 0.2
"""Percentage points by which an attack that knows less may be ahead of one that knows more before it is a doubt."""

SILENT_SHARE = 0.01
"""Share of images without an input gradient from which on the gradients count as masked."""


def training_mode(module: nn.Module) -> Doubt | None:
    """Return a doubt where any part of the network was handed over in training mode."""
    parts = [name or "the network itself" for name, part in module.named_modules() if part.training]
    if not parts:
        return None
    return Doubt(
        "training-mode",
        f"{len(parts)} part(s) of the network were handed over in training mode (the first: {parts[0]}). The audit put "
        "it into evaluation mode; if the deployed network is not in it, it is not the one audited.",
    )


def classifier_doubts(classifier: Classifier, pixels: Tensor) -> tuple[Doubt, ...]:
    """Return the doubts that a sample of images raises about the network itself.

    `pixels` `[B,3,H,W]` in [0, 1]: a few dozen images are enough. Looks for training mode, two clean passes that
    differ, outputs that are probabilities, and input gradients that vanish.
    """
    at_handover = training_mode(classifier.module)
    with frozen(classifier.module), torch.no_grad():
        sample = pixels.to(classifier.device, classifier.dtype)
        first, second = classifier.logits(sample), classifier.logits(sample)
    found = (at_handover, _randomised(first, second), _probabilities(first), _masked(classifier, sample))
    return tuple(doubt for doubt in found if doubt is not None)


def _randomised(first: Tensor, second: Tensor) -> Doubt | None:
    spread = float((first - second).abs().max())
    scale = float(first.abs().max())
    if spread <= 1e-5 * max(scale, 1e-30):
        return None
    return Doubt(
        "randomised",
        f"two passes over the same images differ by up to {spread:.3g} in the logits: the network is randomised. Its "
        "predictions change by themselves, and single gradients mislead an attack; average over its randomness.",
    )


def _probabilities(outputs: Tensor) -> Doubt | None:
    rows = outputs.double()
    sums = rows.sum(dim=1)
    if bool((rows < 0).any()) or bool(((sums - 1).abs() > 1e-3).any()):
        return None
    return Doubt(
        "probabilities",
        "every row of the outputs is non-negative and sums to 1: these are probabilities, not logits. Gradients "
        "through a softmax vanish where the network is confident; audit the network without its last softmax.",
    )


def _masked(classifier: Classifier, pixels: Tensor) -> Doubt | None:
    """Return a doubt where the lead of the first class over the second has no gradient in the pixels."""
    with frozen(classifier.module), torch.enable_grad():
        at = pixels.detach().clone().requires_grad_()
        best = classifier.logits(at).topk(2, dim=1).values
        lead = (best[:, 0] - best[:, 1]).sum()
        (gradient,) = torch.autograd.grad(lead, at, allow_unused=True) if lead.requires_grad else (None,)
    if gradient is None:
        silent = len(pixels)
    else:
        largest = gradient.flatten(1).abs().amax(dim=1)
        silent = int((~(largest > 1e-12)).sum())
    if silent < SILENT_SHARE * len(pixels):
        return None
    return Doubt(
        "masked-gradients",
        f"for {silent} of {len(pixels)} images the gradient of the prediction in the pixels is zero or not a number. "
        "Attacks that follow it fail for that reason alone: a quantised, saturated or undifferentiable part hides it.",
    )


def epsilon_zero_doubt(clean: Predictions, control: Predictions) -> Doubt | None:
    """Return a doubt where predictions under a perturbation of size 0 differ from the clean ones."""
    changed = int((clean != control).sum())
    if not changed:
        return None
    return Doubt(
        "epsilon-zero",
        f"{changed} of {len(clean)} predictions differ between the clean images and the same images under a "
        "perturbation of size 0: the measurement itself is not reproducible.",
    )


def weaker_than_noise(
    clean: Predictions, attacked: Predictions, noise: Sequence[Predictions], *, name: str
) -> Doubt | None:
    """Return a doubt where a white-box perturbation fools fewer images than the strongest of its noise controls."""
    if not noise or not len(clean):
        return None
    attack = fooling_rate(clean, attacked).percent
    control = max(fooling_rate(clean, column).percent for column in noise)
    if attack >= control:
        return None
    return Doubt(
        "weaker-than-noise",
        f"{name} fools {attack:.1f} % of the images, random noise of the same size {control:.1f} %: the attack did not "
        "work, so its failure says nothing about the network.",
    )


def transfer_stronger(
    clean: Predictions, direct: Predictions, transferred: Predictions, *, name: str, level: float = 0.05
) -> Doubt | None:
    """Return a doubt where a perturbation from another network fools this one more than its own.

    More by over `POINTS` percentage points, and, as few images can make that much by chance, with an exact McNemar
    p-value below `level` on the same images.
    """
    if not len(clean):
        return None
    ahead = fooling_rate(clean, transferred).percent - fooling_rate(clean, direct).percent
    by_transfer, by_own = transferred != clean, direct != clean
    p_value = mcnemar_exact(int(np.sum(by_transfer & ~by_own)), int(np.sum(by_own & ~by_transfer)))
    if ahead <= POINTS or p_value >= level:
        return None
    return Doubt(
        "transfer-stronger",
        f"{name}, crafted on another network, fools {ahead:.1f} points more images than the perturbation crafted "
        f"on this one (exact McNemar p = {p_value:.2g}): the direct attack was not carried to its end, or the "
        "gradients are masked.",
    )


def ledger_doubts(
    ledger: pd.DataFrame, *, own: str, others: Sequence[str] = (), noise: Sequence[str] = (), zero: str | None = None
) -> tuple[Doubt, ...]:
    """Return the doubts that one target's ledger (see `attacks.judge.transfer_predictions`) raises.

    `own`, `others`, `noise` and `zero` name its columns: the perturbation crafted on this network, those crafted on
    others, the noise controls, and a perturbation of size 0 where one was judged.
    """

    def column(name: str) -> Predictions:
        return ledger[name].to_numpy(dtype=np.int64)

    clean = column("clean")
    found = [weaker_than_noise(clean, column(own), [column(name) for name in noise], name=own)]
    found += [transfer_stronger(clean, column(own), column(name), name=name) for name in others]
    if zero is not None:
        found.append(epsilon_zero_doubt(clean, column(zero)))
    return tuple(doubt for doubt in found if doubt is not None)
