"""The driver of every universal attack: bounds and rounds what the attack proposes, keeps the best and the last."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attacks.base import UniversalAttack
from attacks.delivery import add_levels, quantise, quantised_levels
from attacks.ensemble import all_frozen
from attacks.judge import predict, predictions, uint8_batches
from attacks.threat import Threat
from wolfhound.classifier import Classifier
from wolfhound.errors import DataError, EvidenceError, PlanError
from wolfhound.images import ImageSet, check_disjoint
from wolfhound.metrics import Predictions, fooling_rate, targeted_change_rate
from wolfhound.progress import Progress, silent
from wolfhound.statistics import Rate

SELECT = "select images"


@dataclass(frozen=True)
class Checkpoint:
    """How far a perturbation had come after a pass, measured on the select split.

    Attributes:
        rates: one for each network that it is crafted on, in their order.
    """

    passes: int
    gradients: int
    rates: tuple[Rate, ...]

    @property
    def share(self) -> Fraction:
        """The mean over the networks of the share of select images, exact."""
        return sum((Fraction(rate.successes, rate.total) for rate in self.rates), Fraction(0)) / len(self.rates)

    @property
    def rate(self) -> Rate:
        """The rate over the select images of all networks taken together."""
        return reduce(operator.add, self.rates)


@dataclass(frozen=True, eq=False)
class UniversalResult:
    """A universal perturbation and how it came about.

    Attributes:
        best: `[3,H,W]` float32 multiples of 1/255, the checkpoint with the highest rate on the select split, by its
            mean over the networks (the earliest of equals).
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
    classifiers: Classifier | Sequence[Classifier],
    craft: ImageSet,
    select: ImageSet,
    threat: Threat,
    *,
    generator: torch.Generator,
    batch_size: int = 64,
    progress: Progress = silent,
) -> UniversalResult:
    """Return the perturbation that `attack` finds on `craft`, its checkpoint chosen on `select`.

    It is crafted on one network or on several alike, whose input sizes may differ. `batch_size` is how many images go
    through a network at once; it bounds memory and nothing else.

    Raises:
        PlanError: no network, or a target that is no class of one of them.
        DataError: the two sets share an image, are empty or differ in size, or every select image already is predicted
            as the target.
        EvidenceError: the attack proposed nothing, or something that is not finite.
    """
    members = (classifiers,) if isinstance(classifiers, Classifier) else tuple(classifiers)
    _check_members(members, threat)
    _check_sets(craft, select)
    best, last = None, None
    history: list[Checkpoint] = []
    title = f"{', '.join(member.name for member in members)}: {attack.name}"
    with all_frozen(members), progress(title, attack.steps(len(craft))) as advance:
        judge = _SelectJudge.of(members, select, threat, batch_size=batch_size)
        for proposal in attack.proposals(
            members, craft, threat, generator=generator, chunk=batch_size, advance=advance
        ):
            if proposal.seen:
                continue
            last = quantise(proposal.delta.cpu(), threat)
            point = Checkpoint(proposal.passes, proposal.gradients, judge.rates(last))
            if not history or point.share > max(row.share for row in history):
                best = last
            history.append(point)
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


def _check_members(members: Sequence[Classifier], threat: Threat) -> None:
    if not members:
        raise PlanError("expected at least one network to craft on, got none")
    for member in members:
        if threat.target is not None and threat.target >= len(member.class_names):
            raise PlanError(
                f"{member.name}: expected a target class in [0, {len(member.class_names)}), got {threat.target}"
            )


def _check_sets(craft: ImageSet, select: ImageSet) -> None:
    check_disjoint(craft=craft, select=select)
    if not len(craft) or not len(select):
        raise DataError(f"expected at least one crafting and one select image, got {len(craft)} and {len(select)}")
    if craft.size != select.size:
        raise DataError(f"expected crafting and select images of one size, got {craft.size} and {select.size}")


@dataclass(frozen=True, eq=False)
class _SelectJudge:
    """Counts on the select split what a perturbation does to each network. `clean`: one vector of predictions each."""

    members: Sequence[Classifier]
    select: ImageSet
    threat: Threat
    clean: Sequence[Predictions]
    batch_size: int

    @classmethod
    def of(cls, members: Sequence[Classifier], select: ImageSet, threat: Threat, *, batch_size: int) -> "_SelectJudge":
        clean = [predict(member, select, batch_size=batch_size) for member in members]
        for member, predicted in zip(members, clean, strict=True):
            if threat.target is not None and bool((predicted == threat.target).all()):
                raise DataError(
                    f"{member.name}: expected select images that are not predicted as the target class "
                    f"{threat.target} already, got none among {len(select)} (add select images)"
                )
        return cls(members, select, threat, clean, batch_size)

    def rates(self, delta: Tensor) -> tuple[Rate, ...]:
        """Return the rate of each network under `delta`, which is already rounded within the threat."""
        levels = quantised_levels(delta, self.threat)
        perturbed: list[list[Predictions]] = [[] for _ in self.members]
        for _, batch in uint8_batches(self.select, self.batch_size):
            shown = add_levels(batch, levels)
            for member, rows in zip(self.members, perturbed, strict=True):
                rows.append(predictions(member, shown))
        pairs = zip(self.clean, perturbed, strict=True)
        return tuple(self._rate(clean, np.concatenate(rows)) for clean, rows in pairs)

    def _rate(self, clean: Predictions, perturbed: Predictions) -> Rate:
        if self.threat.target is None:
            return fooling_rate(clean, perturbed, denominator=SELECT)
        return targeted_change_rate(clean, perturbed, self.threat.target)
