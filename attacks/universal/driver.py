"""The driver of every universal attack: bounds and rounds what the attack proposes, keeps the best and the last."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attacks.base import Proposal, UniversalAttack
from attacks.delivery import add_levels, quantise, quantised_levels
from attacks.judge import predict, predictions, uint8_batches
from attacks.threat import Threat
from attacks.universal.checkpoints import (
    Checkpoint,
    CheckpointStore,
    RunInputs,
    Standing,
    as_good_as_the_best,
    dump_checkpoint,
    read_checkpoint,
)
from attacks.universal.ensemble import all_frozen
from attacks.universal.views import settled
from wolfhound.classifier import Classifier
from wolfhound.errors import DataError, EvidenceError, PlanError
from wolfhound.images import ImageSet, check_disjoint
from wolfhound.metrics import Predictions, fooling_rate, targeted_change_rate
from wolfhound.progress import Progress, silent
from wolfhound.statistics import Rate

SELECT = "select images"


@dataclass(frozen=True, eq=False)
class UniversalResult:
    """A universal perturbation and how it came about.

    Attributes:
        best: `[3,H,W]` float32 multiples of 1/255, the checkpoint of `chosen`.
        last: likewise, after the last pass.
        history: one checkpoint a pass.
        gradients: gradients with respect to one image that the attack took in all.
        attack: the attack's name.
        options: its hyper-parameters as they were used: what depends on the images' size is decided there.
    """

    best: Tensor
    last: Tensor
    history: tuple[Checkpoint, ...]
    gradients: int
    attack: str
    options: Mapping[str, Any]
    threat: Threat

    @property
    def chosen(self) -> Checkpoint:
        """The checkpoint of `best`: the last that the select split cannot tell from the one with the highest rate."""
        return as_good_as_the_best(self.history)


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
    checkpoint: CheckpointStore | None = None,
    save_seconds: float = 60.0,
) -> UniversalResult:
    """Return the perturbation that `attack` finds on `craft`, its checkpoint chosen on `select`.

    It is crafted on one network or on several alike, whose input sizes may differ. `batch_size` is how many images go
    through a network at once; it bounds memory and nothing else. With a `checkpoint`, the run writes down where it
    stands after every pass and, as far as the attack can be taken up within one, every `save_seconds`; the same call
    goes on from there, with `generator` seeded as at first, and ends with the same bits.

    Raises:
        PlanError: no network, or a target that is no class of one of them.
        DataError: the two sets share an image, are empty or differ in size, or every select image already is predicted
            as the target.
        EvidenceError: the attack proposed nothing, or something that is not finite; the checkpoint is damaged or of
            another run.
    """
    members = (classifiers,) if isinstance(classifiers, Classifier) else tuple(classifiers)
    _check_members(members, threat)
    _check_sets(craft, select)
    attack = settled(attack, craft.size)
    saver = None
    if checkpoint is not None:
        inputs = RunInputs.of(attack, members, craft, select, threat, generator=generator, batch_size=batch_size)
        saver = _Saver(checkpoint, inputs, generator, save_seconds)
    title = f"{', '.join(member.name for member in members)}: {attack.name}"
    with all_frozen(members), progress(title, attack.steps(len(craft))) as advance:
        reached = Standing() if saver is None else saver.taken_up()
        judge = _SelectJudge.of(members, select, threat, batch_size=batch_size)
        resume = reached.proposal
        proposals = attack.proposals(
            members, craft, threat, generator=generator, chunk=batch_size, advance=advance, resume=resume
        )
        for reached in _standings(reached, proposals, judge):  # noqa: B020 (each follows from the one before)
            if saver is not None:
                saver.save_if_due(reached)
    return _result(reached, attack, threat)


def _standings(standing: Standing, proposals: Iterator[Proposal], judge: "_SelectJudge") -> Iterator[Standing]:
    for proposal in proposals:
        standing = replace(standing, proposal=proposal)
        if not proposal.seen:
            delta = quantise(proposal.delta.cpu(), judge.threat)
            point = Checkpoint(proposal.passes, proposal.gradients, judge.rates(delta))
            standing = standing.after_pass(delta, point)
        yield standing


def _result(standing: Standing, attack: UniversalAttack, threat: Threat) -> UniversalResult:
    if standing.best is None or standing.last is None:
        raise EvidenceError(f"expected {attack.name} to propose at least one perturbation, got none")
    return UniversalResult(
        best=standing.best,
        last=standing.last,
        history=standing.history,
        gradients=standing.history[-1].gradients,
        attack=attack.name,
        options=asdict(attack),  # type: ignore[call-overload]
        threat=threat,
    )


class _Saver:
    """Writes down where a run stands: after every pass, and within one where the last time is long enough ago."""

    def __init__(self, store: CheckpointStore, inputs: RunInputs, generator: torch.Generator, seconds: float) -> None:
        self._store, self._inputs, self._generator, self._seconds = store, inputs, generator, seconds
        self._saved = time.monotonic()

    def taken_up(self) -> Standing:
        """Return where the saved run stands, its generator's state restored; the beginning where none was saved."""
        data = self._store.load()
        if data is None:
            return Standing()
        standing, state = read_checkpoint(data, self._inputs, name=str(self._store))
        self._generator.set_state(state)
        return standing

    def save_if_due(self, standing: Standing) -> None:
        within_a_pass = standing.proposal is not None and standing.proposal.seen
        if not within_a_pass or time.monotonic() - self._saved >= self._seconds:
            self._store.save(dump_checkpoint(standing, self._inputs, generator=self._generator))
            self._saved = time.monotonic()


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
