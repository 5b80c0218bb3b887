"""A batch under attack: every question to the network is counted, and what succeeds as delivered is kept."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from attacks.base import ImageProposal
from attacks.delivery import as_pixels, deliver
from attacks.threat import Threat
from wolfhound.classifier import Classifier
from wolfhound.errors import ModelError

Objective = Callable[[Tensor, Tensor], Tensor]
"""From logits `[b,classes]` and the rows `[b]` that they belong to, to what is to be raised, one number a row."""

ANYWHERE = Threat("linf", 1.0)
"""The bound where there is no threat: the whole cube of pixels."""

PUSHES = (1.0, 1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0)
"""By how much a nearest point is moved beyond the boundary until it survives rounding to 8 bit."""


class Trial:
    """One batch of images while an attack works on it; `rows` are positions in the batch, int64 on its device.

    An image counts as found when what would be delivered of it (bounded, clipped, rounded to 8 bit) succeeds, never
    when only a floating-point iterate does. Found images take no further part. `bound` is the threat as 8 bit can use
    it, see `deliverable`.
    """

    def __init__(
        self, classifier: Classifier, pixels: Tensor, classes: Tensor, threat: Threat | None, *, targeted: bool
    ) -> None:
        if len(classifier.class_names) < 2:
            raise ModelError(f"{classifier.name}: expected at least two classes to attack, got one")
        self.classifier, self.pixels, self.classes, self.threat = classifier, pixels, classes, threat
        self.targeted = targeted
        self.bound = deliverable(threat or ANYWHERE)
        self.queries = torch.zeros(len(pixels), dtype=torch.int64)
        self.steps = torch.zeros(len(pixels), dtype=torch.int64)
        self.proposed = pixels.clone()
        self.open = torch.ones(len(pixels), dtype=torch.bool, device=pixels.device)

    def begin(self) -> Tensor:
        """Ask about the clean images; those that succeed already are found. Return the clean logits `[B,classes]`."""
        rows = torch.arange(len(self.pixels), device=self.pixels.device)
        logits = self.logits(self.pixels, rows)
        self.open &= ~self.succeeds(logits, rows)
        return logits

    def still(self) -> Tensor:
        """Return the rows that are not found yet; none where the bound forbids every change."""
        return torch.nonzero(self.open)[:, 0] if self.bound.epsilon > 0 else self.open.new_empty(0, dtype=torch.int64)

    def logits(self, at: Tensor, rows: Tensor) -> Tensor:
        """Return the logits of `at` `[b,3,H,W]`, without a graph, and count the question."""
        self._count(rows)
        with torch.no_grad():
            return self.classifier.logits(at)

    def slopes(self, at: Tensor, rows: Tensor, objective: Objective) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits of `at`, the objective `[b]` and its gradient in the pixels, by one forward pass."""
        self._count(rows)
        with torch.enable_grad():
            leaf = at.detach().requires_grad_()
            logits = self.classifier.logits(leaf)
            values = objective(logits, rows)
            (gradient,) = torch.autograd.grad(values.sum(), leaf)
        return logits.detach(), values.detach(), gradient

    def _count(self, rows: Tensor) -> None:
        # A row may stand there more than once: some attacks ask about many versions of an image at a time.
        self.queries.index_add_(0, rows.cpu(), torch.ones(len(rows), dtype=torch.int64))

    def succeeds(self, logits: Tensor, rows: Tensor) -> Tensor:
        """Return whether each prediction is the class to reach, or no longer the one to leave; bool `[b]`."""
        return (logits.argmax(dim=1) == self.classes[rows]) == self.targeted

    def lead(self, logits: Tensor, rows: Tensor) -> Tensor:
        """Return the logit of each row's class less the highest other one, `[b]`."""
        own = self.classes[rows, None]
        return logits.gather(1, own)[:, 0] - logits.scatter(1, own, -torch.inf).amax(dim=1)

    def delivered(self, at: Tensor, rows: Tensor) -> Tensor:
        """Return the pixels that the judge would show the network for `at`, `[b,3,H,W]`."""
        clean = self.pixels[rows]
        return as_pixels(deliver(clean, at - clean, self.threat)).to(clean.dtype)

    def holds(self, at: Tensor, rows: Tensor) -> Tensor:
        """Return whether `at` succeeds as delivered, bool `[b]`; one query a row."""
        if not len(rows):
            return self.open.new_empty(0)
        return self.succeeds(self.logits(self.delivered(at, rows), rows), rows)

    def settle(self, at: Tensor, rows: Tensor, hopeful: Tensor) -> Tensor:
        """Ask about those of `rows` that are `hopeful` as they would be delivered, and keep what succeeds.

        Returns which of `rows` are found now, bool `[b]`.
        """
        finished = hopeful.clone()
        finished[hopeful] = self.holds(at[hopeful], rows[hopeful])
        self.offer(at[finished], rows[finished])
        self.open[rows[finished]] = False
        return finished

    def settle_at_epsilon(self, at: Tensor, rows: Tensor, hopeful: Tensor) -> Tensor:
        """Settle what already lies within epsilon after moving it out to epsilon along its own direction.

        An attack that looks for the nearest point ends on the boundary itself, which rounding to 8 bit may cross back;
        what the threat allows beyond costs nothing. Returns which of `rows` are found now, bool `[b]`.
        """
        finished = torch.zeros_like(hopeful)
        some = torch.nonzero(hopeful)[:, 0]
        if not len(some):
            return finished
        clean, near = self.pixels[rows[some]], at[some]
        size = self.bound.size(near - clean)
        # Rounding takes back what is less than half a level too far.
        slack = 0.5 / 255 if self.bound.norm == "linf" else 0.0
        scale = (self.bound.epsilon / size.clamp_min(1e-12)).clamp_min(1.0).to(at.dtype)[:, None, None, None]
        pushed = (clean + scale * (near - clean)).clamp_(0, 1)
        finished[some] = self.settle(pushed, rows[some], (size <= self.bound.epsilon + slack) & (size > 0))
        return finished

    def push_out(self, at: Tensor, rows: Tensor) -> None:
        """Offer for each row the least push beyond `at`, on its way from the clean image, that succeeds as delivered.

        Where none does, `at` itself is offered. One query a row and push.
        """
        self.offer(at, rows)
        for push in PUSHES:
            if not len(rows):
                return
            clean = self.pixels[rows]
            tried = (clean + push * (at - clean)).clamp_(0, 1)
            held = self.holds(tried, rows)
            self.offer(tried[held], rows[held])
            rows, at = rows[~held], at[~held]

    def offer(self, at: Tensor, rows: Tensor) -> None:
        """Propose `at` for `rows`: the best that there is so far."""
        self.proposed[rows] = at

    def step(self, rows: Tensor) -> None:
        """Count one iteration for each of `rows`."""
        self.steps[rows.cpu()] += 1

    def proposal(self) -> ImageProposal:
        """Return what the batch came to."""
        return ImageProposal(self.proposed, self.steps, self.queries)


def deliverable(threat: Threat) -> Threat:
    """Return the largest threat within `threat` that 8-bit images can use: under linf, whole levels of 1/255.

    >>> round(255 * deliverable(Threat("linf", 0.03)).epsilon, 6)
    7.0
    """
    if threat.norm == "l2":
        return threat
    return replace(threat, epsilon=math.floor(255 * threat.epsilon * (1 + 1e-6)) / 255)


def generators(seeds: Tensor) -> list[torch.Generator]:
    """Return one generator an image, so that what it draws depends on nothing but its own seed and past."""
    return [torch.Generator().manual_seed(int(seed)) for seed in seeds]


def bounded(at: Tensor, clean: Tensor, threat: Threat) -> Tensor:
    """Return `at` projected on the threat around `clean` and then clipped to [0, 1]."""
    return (clean + threat.project(at - clean)).clamp_(0, 1)


def random_starts(clean: Tensor, threat: Threat, sources: Sequence[torch.Generator]) -> Tensor:
    """Return a point on the surface of the threat around each of `clean` `[b,3,H,W]`, clipped to [0, 1].

    linf: uniform numbers in [-1, 1], scaled so that the largest is epsilon; L2: normal numbers, scaled to epsilon. One
    source an image.
    """
    shape = clean.shape[1:]
    if threat.norm == "linf":
        drawn = torch.stack([torch.rand(shape, generator=source) for source in sources]).mul_(2).sub_(1)
        scale = drawn.abs().flatten(1).amax(dim=1)
    else:
        drawn = torch.stack([torch.randn(shape, generator=source) for source in sources])
        scale = drawn.flatten(1).norm(dim=1)
    return (clean + (threat.epsilon * drawn / scale[:, None, None, None]).to(clean)).clamp_(0, 1)
