"""Targeted fooling by ascent on the target's score: start anywhere, pick a class, ascend until the network says so."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from attacks.base import ImageProposal, check_choice, check_positive
from attacks.delivery import as_pixels, deliver
from attacks.threat import Knowledge, Threat
from wolfhound.classifier import Classifier


@dataclass(frozen=True)
class TargetedAscent:
    """Ascend the target's score by the normalised gradient until the network predicts the target.

    Szegedy et al., "Intriguing properties of neural networks", ICLR 2014, posed the task; the four steps (start from an
    arbitrary image, pick an arbitrary class, ascend its score by the gradient, stop when the network is fooled) are the
    usual teaching form (Stanford CS231n). An image stops where it, rounded to 8 bit as it will be judged, is predicted
    as the target; the others go on.

    Under a threat, each step goes along the steepest direction of its norm (linf: the sign, L2: the normalised
    gradient) and is projected back. Without one, the steps are L2 steps, and the reached image is then drawn back
    towards the start by bisection as far as the target holds, so that the perturbation is small.

    Where the gradient vanishes altogether (a blank image may lie where every unit is silent), the step goes in a random
    direction from the image's own seed.

    Attributes:
        objective: "score" ascends the target's logit, "margin" its lead over the highest other logit.
        step: the length of a step as a share of epsilon.
        free_step: without a threat, the root mean square of a step in levels of 1/255.
        most_steps: gradient steps after which an image counts as not fooled.
        confidence: the lead of the target's logit over every other at which an image stops.
        shrinkings: bisection steps without a threat.
    """

    objective: Literal["score", "margin"] = "score"
    step: float = 0.1
    free_step: float = 0.5
    most_steps: int = 100
    confidence: float = 0.0
    shrinkings: int = 8

    name: ClassVar[str] = "targeted_ascent"
    title: ClassVar[str] = "Targeted ascent"
    source: ClassVar[str] = "Szegedy et al., Intriguing properties of neural networks, ICLR 2014"
    access: ClassVar[Knowledge] = "white-box"
    targeted: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_choice(self, "objective", ("score", "margin"))
        check_positive(self, "step", "free_step", "most_steps")
        if self.confidence < 0 or self.shrinkings < 0:
            raise ValueError(
                f"expected confidence and shrinkings of at least 0, got {self.confidence}, {self.shrinkings}"
            )

    def propose(
        self, classifier: Classifier, pixels: Tensor, targets: Tensor, threat: Threat | None, *, seeds: Tensor
    ) -> ImageProposal:
        """Return images that the network takes for `targets`, where it found them, and the steps that each took.

        See `attacks.base.ImageAttack`. An image that is predicted as its target from the start takes 0 steps.
        """
        current = pixels.clone()
        steps = torch.full((len(pixels),), self.most_steps)
        queries = torch.zeros(len(pixels), dtype=torch.int64)
        active = torch.arange(len(pixels), device=pixels.device)
        for taken in range(self.most_steps + 1):
            gradient, lead = self._gradient(classifier, current[active], targets[active])
            hopeful = active[lead > self.confidence]
            reached = self._holds_delivered(classifier, pixels, current, targets, threat, hopeful)
            queries[active.cpu()] += 1
            queries[hopeful.cpu()] += 1
            steps[reached.cpu()] = taken
            going = ~torch.isin(active, reached)
            active, gradient = active[going], gradient[going]
            if not len(active) or taken == self.most_steps:
                break
            moved = current[active] + self._move(gradient, threat, seeds[active.cpu()], taken)
            current[active] = _bounded(pixels[active], moved, threat)
        if threat is None:
            current = self._drawn_back(classifier, pixels, current, targets)
            queries += self.shrinkings
        return ImageProposal(current, steps, queries)

    def _gradient(self, classifier: Classifier, pixels: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient of the objective and the target's lead over the highest other logit, `[B]`."""
        with torch.enable_grad():
            at = pixels.detach().requires_grad_()
            logits = classifier.logits(at)
            score = logits.gather(1, targets[:, None])[:, 0]
            rival = logits.scatter(1, targets[:, None], -torch.inf).amax(dim=1)
            ascended = score if self.objective == "score" else score - rival
            (gradient,) = torch.autograd.grad(ascended.sum(), at)
        return gradient, (score - rival).detach()

    def _holds_delivered(
        self,
        classifier: Classifier,
        pixels: Tensor,
        current: Tensor,
        targets: Tensor,
        threat: Threat | None,
        rows: Tensor,
    ) -> Tensor:
        """Return those of `rows` that are predicted as their target with confidence when rounded to 8 bit."""
        if not len(rows):
            return rows
        delivered = deliver(pixels[rows], current[rows] - pixels[rows], threat)
        return rows[self._lead(classifier, as_pixels(delivered).to(pixels.dtype), targets[rows]) > self.confidence]

    def _lead(self, classifier: Classifier, pixels: Tensor, targets: Tensor) -> Tensor:
        with torch.no_grad():
            logits = classifier.logits(pixels)
        score = logits.gather(1, targets[:, None])[:, 0]
        return score - logits.scatter(1, targets[:, None], -torch.inf).amax(dim=1)

    def _move(self, gradient: Tensor, threat: Threat | None, seeds: Tensor, taken: int) -> Tensor:
        silent = gradient.flatten(1).abs().amax(dim=1) == 0
        if bool(silent.any()):
            gradient = gradient.clone()
            for row in torch.nonzero(silent)[:, 0].tolist():
                generator = torch.Generator().manual_seed((int(seeds[row]) + taken) % 2**63)
                gradient[row] = torch.randn(gradient.shape[1:], generator=generator).to(gradient)
        if threat is not None:
            return self.step * threat.epsilon * threat.steepest(gradient)
        length: float = self.free_step / 255 * gradient[0].numel() ** 0.5
        return length * Threat("l2", 0.0).steepest(gradient)

    def _drawn_back(self, classifier: Classifier, pixels: Tensor, current: Tensor, targets: Tensor) -> Tensor:
        """Return each fooling image as near to its start as the bisection finds, the others as they are."""
        kept = current
        low = torch.zeros(len(pixels), dtype=pixels.dtype, device=pixels.device)
        high = torch.ones_like(low)
        for _ in range(self.shrinkings):
            share = (low + high) / 2
            tried = pixels + share[:, None, None, None] * (current - pixels)
            rows = torch.arange(len(pixels), device=pixels.device)
            holding = torch.isin(rows, self._holds_delivered(classifier, pixels, tried, targets, None, rows))
            kept = torch.where(holding[:, None, None, None], tried, kept)
            low, high = torch.where(holding, low, share), torch.where(holding, share, high)
        return kept


def _bounded(start: Tensor, moved: Tensor, threat: Threat | None) -> Tensor:
    if threat is not None:
        moved = start + threat.project(moved - start)
    return moved.clamp(0, 1)
