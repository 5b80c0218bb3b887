"""What a per-image attack works on: images in 8-bit levels, a goal, and a count of how often the network was asked.

Perturbations are held in levels (multiples of 1/255, not yet rounded), so that a whole number of levels is exactly an
image that can be delivered, and one forward pass both tells success and gives the next step.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from attacks.delivery import nearest_levels
from attacks.threat import Threat
from wolfhound.classifier import Classifier
from wolfhound.errors import PlanError

Objective = Literal["cross-entropy", "margin", "logit"]
OBJECTIVES: tuple[str, ...] = get_args(Objective)

MOST_STRETCH = 4.0
"""How much longer an L2 perturbation may be made where rounding shortens it."""

_ROUND_OFF = 1e-6
_TRIALS = 8
_CORRECTIONS = 2
_SPARE = 1e-3
_TINY = 1e-30


@dataclass(frozen=True, eq=False)
class ImageTask:
    """A batch under attack, or those of its images that are still at work.

    Attributes:
        original: the images in levels 0 to 255, whole numbers in the network's dtype, `[B,3,H,W]`.
        targets: the class to reach or to leave, int64 `[B]`.
        targeted: whether `targets` are to be reached.
        rows: where these images stand in the whole batch, int64 `[B]`, rising.
        queries: rows that the network was given for each image of the whole batch so far, int64.
    """

    classifier: Classifier
    original: Tensor = field(repr=False)
    targets: Tensor
    targeted: bool
    threat: Threat | None
    rows: Tensor
    queries: Tensor = field(repr=False)

    @classmethod
    def of(
        cls, classifier: Classifier, pixels: Tensor, targets: Tensor, threat: Threat | None, *, targeted: bool
    ) -> "ImageTask":
        """Return the task for `pixels` `[B,3,H,W]` on the 8-bit grid.

        Raises:
            DataError: some pixel is no multiple of 1/255.
        """
        original = nearest_levels(pixels).to(pixels.dtype)
        rows = torch.arange(len(targets), device=pixels.device)
        return cls(classifier, original, targets, targeted, threat, rows, torch.zeros_like(targets))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def cubic(self) -> bool:
        """Whether the nearest whole levels of what lies within the bounds do so too: all but under L2."""
        return self.threat is None or self.threat.norm == "linf"

    def only(self, chosen: Tensor) -> "ImageTask":
        """Return the task of the images that `chosen`, bool `[B]`, says; they go on counting in the same place."""
        if bool(chosen.all()):
            return self
        return replace(self, original=self.original[chosen], targets=self.targets[chosen], rows=self.rows[chosen])

    def shown(self, delta: Tensor) -> Tensor:
        """Return the pixels in [0, 1] that `delta` (levels, `[B,3,H,W]`, within the bounds) makes of the images."""
        return (self.original + delta).div_(255)

    def show(self, delta: Tensor) -> Tensor:
        """Return the same, written over `delta`."""
        return delta.add_(self.original).div_(255)

    def logits(self, pixels: Tensor) -> Tensor:
        """Return the logits of `pixels`, versions of the images, and count the question."""
        self.queries[self.rows] += 1
        return self.classifier.logits(pixels)

    def with_graph(self, delta: Tensor) -> tuple[Tensor, Tensor]:
        """Return the pixels shown, ready to be differentiated in, and their logits."""
        with torch.enable_grad():
            at = self.shown(delta).requires_grad_()
            return at, self.logits(at)

    def lead(self, logits: Tensor) -> Tensor:
        """Return how far beyond its goal each image is, `[B]`, in logits; the goal is reached above 0.

        To reach a class: its lead over the highest other logit. To leave one: the lead of the highest other over it.
        """
        return self.objective(logits, "margin")

    def objective(self, logits: Tensor, kind: Objective) -> Tensor:
        """Return what is to be ascended, `[B]`; with z the logits, c the target (and to leave it the negative):

        "logit": z_c. "margin" (Carlini & Wagner 2017, f6): z_c - max_{j != c} z_j. "cross-entropy": z_c - log sum_{j !=
        c} exp z_j, which is log(p_c / (1 - p_c)), a rising function of minus the cross-entropy. Its gradient has the
        direction of the cross-entropy's, all that a normalised step uses, but not the factor 1 - p_c, by which that
        one vanishes in floating point where the network is sure.
        """
        own = logits.gather(1, self.targets[:, None])[:, 0]
        if kind == "logit":
            value = own
        else:
            others = logits.scatter(1, self.targets[:, None], -torch.inf)
            value = own - (others.amax(dim=1) if kind == "margin" else others.logsumexp(dim=1))
        return value if self.targeted else -value

    def holds(self, levels: Tensor, confidence: float) -> Tensor:
        """Return whether each image plus whole `levels` has reached its goal with that lead, bool `[B]`."""
        with torch.no_grad():
            return self.lead(self.logits(self.shown(levels))) > confidence

    def bounded(self, delta: Tensor) -> Tensor:
        """Return the nearest of `delta` within the threat, clipped so that the images stay within 0 to 255.

        linf: epsilon is taken down to whole levels, beyond which nothing can be delivered.
        """
        return self.bound(delta.clone())

    def bound(self, delta: Tensor) -> Tensor:
        """Do the same to `delta` itself, and return it. A new tensor costs far more than the arithmetic on it."""
        if self.threat is not None and self.threat.norm == "linf":
            most = whole_levels(self.threat)
            delta.clamp_(-most, most)
        elif self.threat is not None:
            shrink = 255 * self.threat.epsilon / lengths(delta).clamp_min(_TINY)
            delta.mul_(shrink.clamp_max_(1).to(delta.dtype)[:, None, None, None])
        return delta.add_(self.original).clamp_(0, 255).sub_(self.original)

    def deliverable(self, delta: Tensor) -> Tensor:
        """Return `delta` as it can be delivered: bounded, clipped and in whole levels.

        L2: the longest multiple that, rounded, is no longer than `delta` was, as far as a few trials find it. Rounding
        takes small changes away, so the rounded perturbation itself would leave part of the ball unused.
        """
        if self.threat is None or self.threat.norm == "linf":
            return self.bounded(delta).round_()
        length, most = self._lengths(delta)
        trials, stretched = _Trials.around(length, most), torch.empty_like(delta)
        for _ in range(_TRIALS):
            trials = trials.after(lengths(self._stretch(delta, trials.scale, stretched)) - most)
        return self._stretch(delta, trials.fits, stretched)

    def nearly_deliverable(self, delta: Tensor) -> tuple[Tensor, Tensor]:
        """Return `delta` in whole levels, under L2 at somewhat less than its length, and where that was found, bool.

        It is not found everywhere: this is what a few operations can do, for every step of an attack.
        """
        _, most = self._lengths(delta)
        near, scale = torch.empty_like(delta), torch.ones_like(most)
        for _ in range(_CORRECTIONS):
            length = lengths(self._stretch(delta, scale, near)).clamp_min_(_TINY)
            scale = scale * (most * (1 - _SPARE) / length).clamp_max_(MOST_STRETCH)
        return self._stretch(delta, scale, near), lengths(near) <= most

    def _lengths(self, delta: Tensor) -> tuple[Tensor, Tensor]:
        """Return the L2 lengths of `delta` and the most that its whole levels may have, float64 `[B]`."""
        length = lengths(delta)
        if self.threat is None:
            return length, length
        return length, length.clamp_max(255 * self.threat.epsilon * (1 - _ROUND_OFF))

    def _stretch(self, delta: Tensor, scale: Tensor, into: Tensor) -> Tensor:
        torch.mul(delta, scale.to(delta.dtype)[:, None, None, None], out=into)
        return into.add_(self.original).round_().clamp_(0, 255).sub_(self.original)

    def look(self, delta: Tensor, *, objective: Objective, confidence: float) -> tuple[Tensor, Callable[[], Tensor]]:
        """Ask once about the images at `delta`, for both of what a step needs to know.

        (Passing the images that go on forward once more, rather than backward along with the others, would be cheaper
        where most are done; what an image costs would then depend on the images beside it.)

        Returns:
            which images lead by more than `confidence`, bool `[B]`; a function that gives the gradient of the objective
            in the pixels, `[B,3,H,W]`, to be called once at most.
        """
        at, logits = self.with_graph(delta)
        lead, slope = self._lead_and_slope(logits.detach(), objective)
        return lead > confidence, lambda: torch.autograd.grad(logits, at, grad_outputs=slope)[0]

    def _lead_and_slope(self, logits: Tensor, kind: Objective) -> tuple[Tensor, Tensor]:
        """Return the lead `[B]` and the derivative of `objective` in the logits `[B,classes]`.

        Written out, since on so few numbers a graph costs more than the numbers themselves.
        """
        own = self.targets[:, None]
        others = logits.scatter(1, own, -torch.inf)
        highest = others.amax(dim=1, keepdim=True)
        lead = (logits.gather(1, own) - highest)[:, 0]
        if kind == "cross-entropy":
            slope = (others - others.logsumexp(dim=1, keepdim=True)).exp_().neg_()
        elif kind == "margin":
            at_highest = (others == highest).to(logits.dtype)
            slope = at_highest.div_(at_highest.sum(dim=1, keepdim=True)).neg_()
        else:
            slope = torch.zeros_like(logits)
        slope.scatter_(1, own, 1.0)
        return (lead, slope) if self.targeted else (-lead, slope.neg_())


@dataclass(frozen=True, eq=False)
class _Trials:
    """Illinois false position for the multiple at which rounded perturbations have their full length, float64 `[B]`.

    (Dowell & Jarratt, "A modified regula falsi method", BIT 1971.) The length rises with the multiple, in steps.

    Attributes:
        scale: the multiple to try next.
        fits: the largest multiple tried that is short enough.
        high: the smallest tried that is not.
        short: by how much the one was too short (negative), halved where the other end moved twice running.
        over: by how much the other was too long, halved likewise.
        side: 1 where the last trial fitted, -1 where it did not, 0 before the first.
    """

    scale: Tensor
    fits: Tensor
    high: Tensor
    short: Tensor
    over: Tensor
    side: Tensor

    @classmethod
    def around(cls, length: Tensor, most: Tensor) -> "_Trials":
        none = torch.zeros_like(length)
        high = torch.full_like(length, MOST_STRETCH)
        return cls(torch.ones_like(length), none, high, -most, high * length - most, none)

    def after(self, excess: Tensor) -> "_Trials":
        """Return the trials after one whose length was `excess` (float64 `[B]`) more than wanted."""
        fitted = excess <= 0
        short = torch.where(fitted, excess, torch.where(self.side < 0, self.short / 2, self.short))
        over = torch.where(fitted, torch.where(self.side > 0, self.over / 2, self.over), excess)
        fits, high = torch.where(fitted, self.scale, self.fits), torch.where(fitted, self.high, self.scale)
        scale = fits - short * (high - fits) / (over - short).clamp_min(_TINY)
        return _Trials(scale, fits, high, short, over, torch.where(fitted, 1.0, -1.0))


def lengths(delta: Tensor) -> Tensor:
    """Return the L2 length of each of `delta` `[B,3,H,W]`, float64 `[B]`, the same in every memory layout.

    A row is summed in single precision, in which squares of whole levels add up exactly, and the rows in double.
    """
    precise = torch.promote_types(delta.dtype, torch.float32)
    rows: Tensor = torch.linalg.vector_norm(delta.contiguous(), dim=-1, dtype=precise)
    return rows.flatten(1).double().square_().sum(dim=1).sqrt_()


def whole_levels(threat: Threat) -> int:
    """Return the largest whole number of levels within an linf threat."""
    return math.floor(255 * threat.epsilon * (1 + _ROUND_OFF))


def need_threat(name: str, threat: Threat | None) -> Threat:
    """Return the threat of an attack whose steps are shares of epsilon.

    Raises:
        PlanError: there is none.
    """
    if threat is None:
        raise PlanError(f"{name}: expected a threat, as its steps are shares of epsilon, got none (use deepfool)")
    return threat
