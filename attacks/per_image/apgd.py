"""Auto-PGD: projected gradient ascent with momentum that halves its own step where it stops getting on.

Croce & Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks", ICML
2020, section 3 and algorithm 1. Departures, here and in every attack of the standard ensemble: an image stops at the
first iterate that succeeds when rounded to 8 bit as it will be judged; each image draws from its own seed; under linf,
epsilon is taken as whole levels of 1/255, as more cannot be delivered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from attacks.base import ImageProposal, check_positive
from attacks.per_image.trial import Objective, Trial, bounded, generators, random_starts
from attacks.threat import Knowledge, Threat
from wolfhound.classifier import Classifier

SOURCE = "Croce & Hein, Reliable evaluation of adversarial robustness, ICML 2020"
MOMENTUM = 0.75
"""The weight of the new step beside the last move (the paper's alpha)."""


@dataclass(frozen=True)
class ApgdCrossEntropy:
    """Auto-PGD on the cross-entropy of the class to leave (raised) or of the class to reach (lowered).

    Attributes:
        iterations: gradient steps of each run.
        restarts: runs from new random starts, on the images not found yet.
        rho: the share of the steps since the last checkpoint that must have raised the objective.
        targeted: whether the classes given are to be reached.
    """

    iterations: int = 100
    restarts: int = 1
    rho: float = 0.75
    targeted: bool = False

    name: ClassVar[str] = "apgd_ce"
    title: ClassVar[str] = "APGD on the cross-entropy"
    source: ClassVar[str] = SOURCE
    access: ClassVar[Knowledge] = "white-box"

    def __post_init__(self) -> None:
        check_positive(self, "iterations", "restarts", "rho")

    def propose(
        self, classifier: Classifier, pixels: Tensor, targets: Tensor, threat: Threat | None, *, seeds: Tensor
    ) -> ImageProposal:
        """See `attacks.base.ImageAttack`. An image that succeeds when clean takes no step and stays as it is."""
        trial = Trial(classifier, pixels, targets, threat, targeted=self.targeted)
        sign = -1 if self.targeted else 1
        trial.begin()
        sources = generators(seeds)
        for _ in range(self.restarts):
            climb(
                trial,
                trial.still(),
                lambda logits, rows: sign * functional.cross_entropy(logits, targets[rows], reduction="none"),
                iterations=self.iterations,
                rho=self.rho,
                sources=sources,
            )
        return trial.proposal()


@dataclass(frozen=True)
class ApgdTargeted:
    """Auto-PGD that leaves a class by way of each of the likeliest others in turn (APGD-T), on the targeted DLR loss.

    The loss is (z_t - z_y) / (z_1 - (z_3 + z_4) / 2) with z_1 >= z_2 >= ... the sorted logits (section 4 and equation
    6 of the paper). With fewer than 4 classes there is no z_4: the numerator alone, z_t - z_y, takes its place. Steps
    follow the direction of the gradient and not its length, so that only changes of the denominator are lost. Success
    is any class but y, as everywhere in the ensemble.

    Attributes:
        iterations: gradient steps for each class tried.
        targets: how many classes are tried, in the order of the clean logits; with K classes at most K - 1.
        rho: as for `ApgdCrossEntropy`.
    """

    iterations: int = 100
    targets: int = 9
    rho: float = 0.75

    name: ClassVar[str] = "apgd_t"
    title: ClassVar[str] = "APGD-T on the targeted DLR loss"
    source: ClassVar[str] = SOURCE
    access: ClassVar[Knowledge] = "white-box"
    targeted: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_positive(self, "iterations", "targets", "rho")

    def propose(
        self, classifier: Classifier, pixels: Tensor, targets: Tensor, threat: Threat | None, *, seeds: Tensor
    ) -> ImageProposal:
        """See `attacks.base.ImageAttack`. An image that succeeds when clean takes no step and stays as it is."""
        trial = Trial(classifier, pixels, targets, threat, targeted=False)
        rivals = likeliest_others(trial.begin(), targets, self.targets)
        sources = generators(seeds)
        for rival in rivals.unbind(dim=1):
            climb(
                trial,
                trial.still(),
                lambda logits, rows, rival=rival: targeted_dlr(logits, targets[rows], rival[rows]),  # type: ignore[misc]
                iterations=self.iterations,
                rho=self.rho,
                sources=sources,
            )
        return trial.proposal()


def likeliest_others(logits: Tensor, labels: Tensor, most: int) -> Tensor:
    """Return the classes but the label by falling logit, int64 `[B, min(most, classes - 1)]`."""
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.topk(min(most, logits.shape[1] - 1), dim=1).indices


def targeted_dlr(logits: Tensor, labels: Tensor, rivals: Tensor) -> Tensor:
    """Return the targeted difference of logits ratio `[B]` (see `ApgdTargeted`) of `logits` `[B,classes]`.

    >>> z = torch.tensor([[4.0, 3.0, 1.0, 0.0]])
    >>> float(targeted_dlr(z, torch.tensor([0]), torch.tensor([1])))  # (3 - 4) / (4 - (1 + 0) / 2)
    -0.2857142984867096
    """
    gain = (logits.gather(1, rivals[:, None]) - logits.gather(1, labels[:, None]))[:, 0]
    if logits.shape[1] < 4:
        return gain
    best = logits.topk(4, dim=1).values
    return gain / (best[:, 0] - (best[:, 2] + best[:, 3]) / 2 + 1e-12)


def checkpoints(iterations: int) -> list[int]:
    """Return after how many steps the step size is looked at (section 3.1 of the paper, rounded as the authors' code).

    The first after 22 % of the steps; each interval 3 % shorter than the one before, but never under 6 %.

    >>> checkpoints(100)
    [22, 41, 57, 70, 80, 87, 93, 99]
    """
    interval, shorter, least = (max(int(share * iterations), 1) for share in (0.22, 0.03, 0.06))
    found = [interval]
    while found[-1] + max(interval - shorter, least) <= iterations:
        interval = max(interval - shorter, least)
        found.append(found[-1] + interval)
    return found


@dataclass
class _Climb:
    """Where each image of a run stands: everything `[b]` or `[b,3,H,W]`, for the images not found yet."""

    rows: Tensor
    clean: Tensor
    current: Tensor
    previous: Tensor
    gradient: Tensor
    value: Tensor
    best: Tensor
    best_gradient: Tensor
    best_value: Tensor
    checked_value: Tensor
    step: Tensor
    rises: Tensor
    halved: Tensor

    def only(self, mask: Tensor) -> "_Climb":
        """Return the images of `mask`."""
        if bool(mask.all()):
            return self
        return _Climb(*(getattr(self, part.name)[mask] for part in fields(self)))

    def move(self, bound: Threat, *, weight: float) -> None:
        """Take a step along the gradient, then mix it with the last move (algorithm 1, lines 7 and 8)."""
        ahead = bounded(self.current + self.step * bound.steepest(self.gradient), self.clean, bound)
        mixed = self.current + weight * (ahead - self.current) + (1 - weight) * (self.current - self.previous)
        self.previous, self.current = self.current, bounded(mixed, self.clean, bound)

    def learn(self, values: Tensor, gradient: Tensor) -> None:
        """Take note of what the network said of the present point."""
        self.rises = self.rises + (values > self.value)
        better = values > self.best_value
        chosen = better[:, None, None, None]
        self.best = torch.where(chosen, self.current, self.best)
        self.best_gradient = torch.where(chosen, gradient, self.best_gradient)
        self.best_value = torch.where(better, values, self.best_value)
        self.value, self.gradient = values, gradient

    def check(self, *, window: int, rho: float) -> None:
        """Halve the step and go back to the best point where too few steps rose or nothing got better since."""
        stuck = ~self.halved & (self.best_value <= self.checked_value)
        self.halved = (self.rises < rho * window) | stuck
        back = self.halved[:, None, None, None]
        self.step = torch.where(back, self.step / 2, self.step)
        self.current = torch.where(back, self.best, self.current)
        self.gradient = torch.where(back, self.best_gradient, self.gradient)
        self.value = torch.where(self.halved, self.best_value, self.value)
        self.checked_value = self.best_value
        self.rises = torch.zeros_like(self.rises)


def climb(
    trial: Trial,
    rows: Tensor,
    objective: Objective,
    *,
    iterations: int,
    rho: float,
    sources: Sequence[torch.Generator],
) -> None:
    """Run Auto-PGD once on `rows` of `trial`, from new random starts (algorithm 1 of the paper).

    Found images are closed in the trial; for the others it offers the point of the highest objective.
    """
    if not len(rows):
        return
    start = random_starts(trial.pixels[rows], trial.bound, [sources[row] for row in rows.tolist()])
    state, checks, done = _started(trial, rows, start, objective), checkpoints(iterations), 0
    for taken in range(1, iterations + 1):
        if not len(state.rows):
            return
        state.move(trial.bound, weight=MOMENTUM if taken > 1 else 1.0)
        trial.step(state.rows)
        logits, values, gradient = trial.slopes(state.current, state.rows, objective)
        going = ~trial.settle(state.current, state.rows, trial.succeeds(logits, state.rows))
        state = state.only(going)
        state.learn(values[going], gradient[going])
        if taken in checks:
            state.check(window=taken - done, rho=rho)
            done = taken
    trial.offer(state.best, state.rows)


def _started(trial: Trial, rows: Tensor, start: Tensor, objective: Objective) -> _Climb:
    logits, values, gradient = trial.slopes(start, rows, objective)
    going = ~trial.settle(start, rows, trial.succeeds(logits, rows))
    step = torch.full((len(rows), 1, 1, 1), 2 * trial.bound.epsilon, dtype=start.dtype, device=start.device)
    none, yes = torch.zeros_like(rows), torch.ones_like(rows, dtype=torch.bool)
    whole = _Climb(
        rows, trial.pixels[rows], start, start, gradient, values, start, gradient, values, values, step, none, yes
    )
    return whole.only(going)
