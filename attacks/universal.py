"""The driver of every universal attack: bounds and rounds what the attack proposes, keeps the best and the last."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attacks.base import UniversalAttack
from attacks.delivery import add_levels, quantise, quantised_levels
from attacks.judge import predict, predictions, uint8_batches
from attacks.threat import Threat
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import DataError, EvidenceError
from wolfhound.images import ImageSet, check_disjoint
from wolfhound.metrics import Predictions, fooling_rate, targeted_change_rate
from wolfhound.progress import Progress, silent
from wolfhound.statistics import Rate

SELECT = "select images"


@dataclass(frozen=True)
class Checkpoint:
    """How far a perturbation had come after a pass, measured on the select split."""

    passes: int
    gradients: int
    rate: Rate


@dataclass(frozen=True, eq=False)
class UniversalResult:
    """A universal perturbation and how it came about.

    Attributes:
        best: `[3,H,W]` float32 multiples of 1/255, the checkpoint with the highest rate on the select split (the
            earliest of equals).
        last: likewise, after the last pass.
        history: one checkpoint a pass.
        gradients: gradients with respect to one image that the attack took in all.
        attack: the attack's name.
        options: its hyper-parameters.
    """

    best: Tensor
    last: Tensor
    history: tuple[Checkpoint, ...]
    gradients: int
    attack: str
    options: Mapping[str, Any]
    threat: Threat


def craft_universal(
    attack: UniversalAttack,
    classifier: Classifier,
    craft: ImageSet,
    select: ImageSet,
    threat: Threat,
    *,
    generator: torch.Generator,
    batch_size: int = 64,
    progress: Progress = silent,
) -> UniversalResult:
    """Return the perturbation that `attack` finds on `craft` for `classifier`, its checkpoint chosen on `select`.

    `batch_size` is how many images go through the network at once; it bounds memory and nothing else.

    Raises:
        DataError: the two sets share an image, are empty or differ in size.
        EvidenceError: the attack proposed nothing, or something that is not finite.
    """
    _check_sets(craft, select)
    best, last = None, None
    history: list[Checkpoint] = []
    with frozen(classifier.module), progress(f"{classifier.name}: {attack.name}", attack.steps(len(craft))) as advance:
        clean = predict(classifier, select, batch_size=batch_size)
        for proposal in attack.proposals(
            classifier, craft, threat, generator=generator, chunk=batch_size, advance=advance
        ):
            last = quantise(proposal.delta.cpu(), threat)
            rate = _select_rate(classifier, select, last, threat, clean=clean, batch_size=batch_size)
            if not history or rate.successes > max(row.rate.successes for row in history):
                best = last
            history.append(Checkpoint(proposal.passes, proposal.gradients, rate))
    if best is None or last is None:
        raise EvidenceError(f"expected {attack.name} to propose at least one perturbation, got none")
    return UniversalResult(
        best=best,
        last=last,
        history=tuple(history),
        gradients=history[-1].gradients,
        attack=attack.name,
        options=asdict(attack),  # type: ignore[call-overload]
        threat=threat,
    )


def _check_sets(craft: ImageSet, select: ImageSet) -> None:
    check_disjoint(craft=craft, select=select)
    if not len(craft) or not len(select):
        raise DataError(f"expected at least one crafting and one select image, got {len(craft)} and {len(select)}")
    if craft.size != select.size:
        raise DataError(f"expected crafting and select images of one size, got {craft.size} and {select.size}")


def _select_rate(
    classifier: Classifier, select: ImageSet, delta: Tensor, threat: Threat, *, clean: Predictions, batch_size: int
) -> Rate:
    levels = quantised_levels(delta, threat)
    parts = [predictions(classifier, add_levels(batch, levels)) for _, batch in uint8_batches(select, batch_size)]
    perturbed = np.concatenate(parts)
    if threat.target is None:
        return fooling_rate(clean, perturbed, denominator=SELECT)
    return targeted_change_rate(clean, perturbed, threat.target)
