"""Per-image attacks that follow the normalised gradient: FGSM, projected gradient ascent and momentum."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from attacks.base import ImageProposal, check_choice, check_positive
from attacks.per_image.task import OBJECTIVES, ImageTask, Objective, lengths, need_threat, whole_levels
from attacks.threat import Knowledge, Threat
from wolfhound.classifier import Classifier


class Move(Protocol):
    """How a gradient becomes a step."""

    def __call__(self, gradient: Tensor) -> Tensor:
        """Return the step of each image in levels, `[B,3,H,W]`. `gradient` may be written over."""
        ...

    def only(self, chosen: Tensor) -> "Move":
        """Return the same for the images that `chosen`, bool `[B]`, says."""
        ...


@dataclass(frozen=True)
class FastGradient:
    """One step of the full epsilon along the steepest direction of the norm (linf: the sign of the gradient).

    Goodfellow, Shlens & Szegedy, "Explaining and harnessing adversarial examples", ICLR 2015, section 4. Towards a
    class: Kurakin et al., "Adversarial machine learning at scale", ICLR 2017, section 2. An image that has its goal
    from the start is left as it is. A single step cannot notice what rounding takes from it; on linf it loses nothing.

    Attributes:
        objective: what is ascended (see `attacks.per_image.task.ImageTask.objective`).
        targeted: whether a class is to be reached.
    """

    objective: Objective = "cross-entropy"
    targeted: bool = False

    name: ClassVar[str] = "fgsm"
    title: ClassVar[str] = "FGSM"
    source: ClassVar[str] = "Goodfellow et al., Explaining and harnessing adversarial examples, ICLR 2015"
    access: ClassVar[Knowledge] = "white-box"

    def __post_init__(self) -> None:
        check_choice(self, "objective", OBJECTIVES)

    def propose(
        self,
        classifier: Classifier,
        pixels: Tensor,
        targets: Tensor,
        threat: Threat | None,
        *,
        seeds: Tensor,  # noqa: ARG002 (the protocol's)
    ) -> ImageProposal:
        """Return the images after the step (see `attacks.base.ImageAttack`); `seeds` play no part.

        Raises:
            PlanError: there is no threat.
        """
        bound = need_threat(self.name, threat)
        task = ImageTask.of(classifier, pixels, targets, bound, targeted=self.targeted)
        delta, steps = torch.zeros_like(pixels), torch.zeros_like(targets)
        climb(task, delta, steps, _Steepest.of(bound, 1.0), self.objective, most_steps=1, confidence=0.0)
        return ImageProposal(task.show(delta), steps.cpu(), task.queries.cpu())


@dataclass(frozen=True)
class ProjectedGradient:
    """x <- project(x + step * steepest(gradient)), from a random start, until the delivered image has its goal.

    Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018, section 2.1 (their
    CIFAR-10 evaluation: linf 8/255, 20 steps of 2/255). Targeted: Kurakin et al. 2017.

    Departures:

    1. An image stops at the first iterate that, rounded to 8 bit, has its goal with `confidence`; the others go on.
    2. The random start is uniform over the 8-bit images in the linf ball, or uniform in the L2 ball.
    3. The cross-entropy is ascended in a form that does not vanish where the network is sure.

    Attributes:
        objective: what is ascended (see `attacks.per_image.task.ImageTask.objective`).
        most_steps: gradient steps from each start.
        step: the length of a step as a share of epsilon.
        random_start: whether to start anywhere in the ball, from the image's own seed, or at the image.
        restarts: starts; an image that did not reach its goal goes on from the next.
        confidence: the lead in logits at which an image stops; infinite: never.
        targeted: whether a class is to be reached.
    """

    objective: Objective = "cross-entropy"
    most_steps: int = 20
    step: float = 0.25
    random_start: bool = True
    restarts: int = 1
    confidence: float = 0.0
    targeted: bool = False

    name: ClassVar[str] = "pgd"
    title: ClassVar[str] = "PGD"
    source: ClassVar[str] = "Madry et al., Towards deep learning models resistant to adversarial attacks, ICLR 2018"
    access: ClassVar[Knowledge] = "white-box"

    def __post_init__(self) -> None:
        check_choice(self, "objective", OBJECTIVES)
        check_positive(self, "most_steps", "step", "restarts")
        _check_confidence(self.confidence)
        if self.restarts > 1 and not self.random_start:
            raise ValueError(f"expected 1 restart without a random start, got {self.restarts} (all would be the same)")

    def propose(
        self, classifier: Classifier, pixels: Tensor, targets: Tensor, threat: Threat | None, *, seeds: Tensor
    ) -> ImageProposal:
        """Return the images where they stopped (see `attacks.base.ImageAttack`).

        Raises:
            PlanError: there is no threat.
        """
        bound = need_threat(self.name, threat)
        task = ImageTask.of(classifier, pixels, targets, bound, targeted=self.targeted)
        delta, steps = torch.zeros_like(pixels), torch.zeros_like(targets)
        move, left = _Steepest.of(bound, self.step), task
        for restart in range(self.restarts):
            if self.random_start:
                delta[left.rows] = _random_starts(left, bound, seeds[left.rows.cpu()] + restart)
            left = climb(
                left, delta, steps, move, self.objective, most_steps=self.most_steps, confidence=self.confidence
            )
            if restart + 1 < self.restarts and len(left):
                left = left.only(~left.holds(delta[left.rows].round(), self.confidence))
            if not len(left):
                break
        return ImageProposal(task.show(delta), steps.cpu(), task.queries.cpu())


@dataclass(frozen=True)
class MomentumGradient:
    """g <- decay * g + gradient / ||gradient||_1; x <- project(x + epsilon / steps * steepest(g)).

    Dong et al., "Boosting adversarial attacks with momentum", CVPR 2018, algorithm 1 (linf), equation 9 (L2).

    Departures:

    1. An image stops at the first iterate that, rounded to 8 bit, has its goal with `confidence`. An infinite
       confidence is the paper's rule, and what transfers best.
    2. The cross-entropy is ascended in a form that does not vanish where the network is sure.

    Attributes:
        objective: what is ascended (see `attacks.per_image.task.ImageTask.objective`).
        most_steps: gradient steps, which together span epsilon.
        decay: share of the momentum that stays at each step.
        confidence: the lead in logits at which an image stops; infinite: never.
        targeted: whether a class is to be reached.
    """

    objective: Objective = "cross-entropy"
    most_steps: int = 10
    decay: float = 1.0
    confidence: float = 0.0
    targeted: bool = False

    name: ClassVar[str] = "mi_fgsm"
    title: ClassVar[str] = "MI-FGSM"
    source: ClassVar[str] = "Dong et al., Boosting adversarial attacks with momentum, CVPR 2018"
    access: ClassVar[Knowledge] = "white-box"

    def __post_init__(self) -> None:
        check_choice(self, "objective", OBJECTIVES)
        check_positive(self, "most_steps")
        _check_confidence(self.confidence)
        if self.decay < 0:
            raise ValueError(f"expected decay of at least 0, got {self.decay}")

    def propose(
        self,
        classifier: Classifier,
        pixels: Tensor,
        targets: Tensor,
        threat: Threat | None,
        *,
        seeds: Tensor,  # noqa: ARG002 (the protocol's)
    ) -> ImageProposal:
        """Return the images where they stopped (see `attacks.base.ImageAttack`); `seeds` play no part.

        Raises:
            PlanError: there is no threat.
        """
        bound = need_threat(self.name, threat)
        task = ImageTask.of(classifier, pixels, targets, bound, targeted=self.targeted)
        delta, steps = torch.zeros_like(pixels), torch.zeros_like(targets)
        move = _Momentum(_Steepest.of(bound, 1 / self.most_steps), self.decay, torch.zeros_like(pixels))
        climb(task, delta, steps, move, self.objective, most_steps=self.most_steps, confidence=self.confidence)
        return ImageProposal(task.show(delta), steps.cpu(), task.queries.cpu())


def climb(
    task: ImageTask,
    delta: Tensor,
    steps: Tensor,
    move: Move,
    objective: Objective,
    *,
    most_steps: int,
    confidence: float,
) -> ImageTask:
    """Move the images of the task until each has reached its goal; return the task of those not known to have.

    `delta` (levels, `[B,3,H,W]`) and `steps` (int64 `[B]`) of the whole batch are written in place. Only whole levels
    count: under linf the network is asked about the nearest ones at every step, which lie within the threat too. Under
    L2 they may not, so an image that seems to have reached its goal is put on whole levels within the threat, if a few
    operations find some, and asked about along with the others' next step; if the goal is lost it goes on from there,
    its momentum decayed. Nobody asks about the last iterate: the judge does. Images that never stop (infinite
    confidence) keep the papers' own iterates.
    """
    left = _Climbers.at(task, delta, move, delivered=math.isfinite(confidence))
    unknown = torch.zeros(len(delta), dtype=torch.bool, device=delta.device)
    while len(left.task):
        asked = left.asked()
        ahead, slope = left.task.look(asked, objective=objective, confidence=confidence)
        reached = ahead & left.whole
        if bool(reached.any()):
            delta[left.task.rows[reached]] = asked[reached]
            steps[left.task.rows[reached]] += left.made[reached]
        waits, waiting = left.set_down(ahead & ~reached)
        gradient = torch.zeros_like(asked) if bool((reached | waits).all()) else slope()
        if bool(reached.any()):
            left, gradient, waits = left.only(~reached), gradient[~reached], waits[~reached]
        left = left.moved(gradient, waits, waiting)
        over = left.made >= most_steps
        if bool(over.any()):
            rows = left.task.rows[over]
            unknown[rows] = True
            delta[rows] = left.only(over).last()
            steps[rows] += left.made[over]
            left = left.only(~over)
    return task.only(unknown[task.rows])


@dataclass(frozen=True, eq=False)
class _Climbers:
    """Images on their way, at `levels` `[b,3,H,W]`.

    Attributes:
        made: moves so far, int64 `[b]`.
        whole: whether what is asked about is in whole levels, bool `[b]`.
        delivered: whether only whole levels count.
    """

    task: ImageTask
    levels: Tensor
    move: Move
    made: Tensor
    whole: Tensor
    delivered: bool

    @classmethod
    def at(cls, task: ImageTask, delta: Tensor, move: Move, *, delivered: bool) -> "_Climbers":
        levels = delta.clone() if len(task) == len(delta) else delta[task.rows]
        made, whole = torch.zeros_like(task.rows), torch.full_like(task.rows, delivered, dtype=torch.bool)
        if not task.cubic:
            whole &= (levels == levels.round()).flatten(1).all(dim=1)
        return cls(task, levels, move, made, whole, delivered)

    def asked(self) -> Tensor:
        return self.levels.round() if self.delivered and self.task.cubic else self.levels

    def set_down(self, ahead: Tensor) -> tuple[Tensor, Tensor]:
        """Return which of the images `ahead`, bool `[b]`, can wait on whole levels at once, and these levels (L2)."""
        if not bool(ahead.any()):
            return ahead, self.levels[:0]
        whole, fits = self.task.only(ahead).nearly_deliverable(self.levels[ahead])
        return ahead.index_put((ahead,), fits), whole[fits]

    def moved(self, gradient: Tensor, waits: Tensor, waiting: Tensor) -> "_Climbers":
        """Return them all a move on, but for those that wait, whose levels become `waiting`."""
        if len(waiting):
            gradient[waits] = 0  # as where all wait and no gradient is taken
        levels = self.task.bound(self.move(gradient).add_(self.levels))
        if len(waiting):
            levels[waits] = waiting
        return replace(self, levels=levels, made=self.made + ~waits, whole=self.whole if self.task.cubic else waits)

    def only(self, chosen: Tensor) -> "_Climbers":
        if bool(chosen.all()):
            return self
        parts = {name: getattr(self, name)[chosen] for name in ("levels", "made", "whole")}
        return replace(self, task=self.task.only(chosen), move=self.move.only(chosen), **parts)

    def last(self) -> Tensor:
        """Return where the images end after a move: in whole levels, unless they never stop."""
        if not self.delivered:
            return self.levels
        return self.asked() if self.task.cubic else self.task.deliverable(self.levels)


@dataclass(frozen=True)
class _Steepest:
    """A step of `length` levels along the steepest direction of the threat's norm."""

    threat: Threat
    length: float

    @classmethod
    def of(cls, threat: Threat, share: float) -> "_Steepest":
        return cls(threat, share * (whole_levels(threat) if threat.norm == "linf" else 255 * threat.epsilon))

    def __call__(self, gradient: Tensor) -> Tensor:
        steepest = gradient.sign_() if self.threat.norm == "linf" else self.threat.steepest(gradient)
        return steepest.mul_(self.length)

    def only(self, chosen: Tensor) -> "_Steepest":  # noqa: ARG002 (every image steps alike)
        return self


@dataclass(frozen=True, eq=False)
class _Momentum:
    """The same along the sum of the gradients so far, each over its L1 norm, the earlier ones decayed."""

    straight: _Steepest
    decay: float
    sum: Tensor

    def __call__(self, gradient: Tensor) -> Tensor:
        size = torch.linalg.vector_norm(gradient.flatten(1), ord=1, dim=1)[:, None, None, None]
        self.sum.mul_(self.decay).add_(gradient.div_(size.clamp_min(torch.finfo(size.dtype).tiny)))
        return self.straight(gradient.copy_(self.sum))

    def only(self, chosen: Tensor) -> "_Momentum":
        return _Momentum(self.straight, self.decay, self.sum[chosen])


def _random_starts(task: ImageTask, threat: Threat, seeds: Tensor) -> Tensor:
    """Return one start an image in levels, uniform in the ball, clipped to the images; each from its own seed."""
    starts, shares = torch.empty(task.original.shape), torch.empty(len(task))
    generator = torch.Generator()
    for start, share, seed in zip(starts, shares, seeds.tolist(), strict=True):
        generator.manual_seed(int(seed) % 2**63)
        if threat.norm == "linf":
            most = whole_levels(threat)
            start.random_(-most, most + 1, generator=generator)
        else:
            start.normal_(generator=generator)
            share.uniform_(generator=generator)
    if threat.norm != "linf":
        radii = 255 * threat.epsilon * shares.double() ** (1 / starts[0].numel())
        starts *= (radii / lengths(starts))[:, None, None, None]
    return task.bound(starts.to(task.original))


def _check_confidence(confidence: float) -> None:
    if not confidence >= 0:
        raise ValueError(f"expected confidence of at least 0, got {confidence}")
