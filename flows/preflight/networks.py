"""The doubts about a network and its preprocessing, raised before the run, and two faults that a doubt can't name."""

from collections.abc import Iterator

import torch

from attacks.doubts import classifier_doubts
from attacks.network_doubts import follows_pixels
from flows.gradient_check import gradient_faults
from flows.preflight.notice import Notice, Severity
from flows.preflight.sample import Inspected, Sample
from wolfhound.classifier import frozen
from wolfhound.evidence import Doubt

BATCH_TOLERANCE = 1e-3
"""How far a logit may depend on the other images of its batch, as a share of the largest one: 100 times round-off."""

_EVAL = "call eval() where the network is built, and let nothing undo it"
_PREPROCESSING = "correct `preprocessing` in the plan: look up what belongs to the weights"
_REMEDIES: dict[str, tuple[Severity, str]] = {
    "training-mode": ("error", _EVAL),
    "randomised": ("warning", "take the randomness out, or attack the average over many passes if it is a defence"),
    "probabilities": ("error", "hand over the network without its last softmax; no prediction changes"),
    "log-of-softmax": ("warning", "hand over the logits, or use log_softmax, which has no floor"),
    "saturated-softmax": ("warning", "divide the outputs by a temperature; no prediction changes"),
    "masked-gradients": ("warning", "audit the network without the part that hides them, or add attacks that only ask"),
    "vanishing-gradients": ("warning", "audit the outputs before the part that flattens them"),
    "gradient-mismatch": ("warning", "find the part whose gradient is replaced, or trust only attacks that ask"),
    "input-statistics": ("warning", "compare `preprocessing` with what the network was trained with"),
    "double-normalisation": ("error", "take `mean` and `std` out of the plan, or out of the network"),
    "missing-normalisation": ("error", "state the `mean` and `std` of the network's training in the plan"),
    "other-normalisation": ("error", _PREPROCESSING),
    "colour-order": ("error", "exchange red and blue inside the network (in the factory), so that pixels stay RGB"),
    "pixel-range": ("error", "state mean: [0, 0, 0] and std: [0.00392157, 0.00392157, 0.00392157], which is 1/255"),
}


def network_faults(inspected: Inspected) -> Iterator[Notice]:
    """Yield a notice for each doubt about a network, for outputs that depend on the batch, and for no gradient."""
    for sample in inspected.samples:
        doubts = classifier_doubts(sample.classifier, sample.pixels, sample.labels)
        # A black box says itself that it gives none, and what would need them was refused with the plan.
        cut_off = sample.classifier.differentiable and not follows_pixels(sample.classifier, sample.pixels[:2])
        if cut_off and gradient_faults(inspected.job.plan, frozenset((sample.name,))):
            yield _disconnected(sample)
        yield from (_notice(sample, doubt) for doubt in doubts if not (cut_off and doubt.code == "masked-gradients"))
        if not {"randomised", "training-mode"} & {doubt.code for doubt in doubts}:
            yield from _batch_dependence(sample)


def _notice(sample: Sample, doubt: Doubt) -> Notice:
    severity, change = _REMEDIES[doubt.code]
    # The doubt's own last sentence says where it is explained; here the code does.
    seen = doubt.explanation.partition(" See docs/")[0].rstrip(".")
    return Notice(doubt.code, severity, sample.name, seen, change)


def _disconnected(sample: Sample) -> Notice:
    return Notice(
        "disconnected-gradients",
        "error",
        sample.name,
        "its outputs do not follow from the pixels by a differentiable way: no gradient reaches them",
        "look for detach(), no_grad(), numpy or integers inside the network, or keep only attacks that ask",
    )


def _batch_dependence(sample: Sample) -> Iterator[Notice]:
    """Yield an error where the logits of an image depend on the images beside it: batch statistics are in use."""
    if len(sample.pixels) < 2:
        return
    with frozen(sample.classifier.module), torch.no_grad():
        together = sample.classifier.logits(sample.pixels)[:2]
        alone = torch.cat([sample.classifier.logits(sample.pixels[i : i + 1]) for i in range(2)])
    apart = float((together - alone).abs().max() / together.abs().max().clamp_min(1e-30))
    if apart > BATCH_TOLERANCE:
        yield Notice(
            "batch-dependent",
            "error",
            sample.name,
            f"the logits of an image change by {100 * apart:.2g} % with the images beside it in a batch",
            "let batch normalisation use its running statistics (eval(), track_running_stats=True)",
        )
