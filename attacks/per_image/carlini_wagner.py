"""Carlini and Wagner's attack: the least L2 perturbation by descent in tanh space and a search over the constant."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.base import ImageProposal, check_positive
from attacks.per_image.boundary import DOUBLINGS, nearest_delivered
from attacks.per_image.task import ImageTask
from attacks.threat import Knowledge, Threat
from wolfhound.classifier import Classifier
from wolfhound.errors import PlanError

DECAYS, TINY = (0.9, 0.999), 1e-8
"""Adam's constants (Kingma & Ba, ICLR 2015)."""

INSIDE = 0.999999
"""The authors' factor that keeps black and white pixels off the ends of tanh, where they could not move."""

WORTH = 0.9999
"""The loss after a tenth of the steps, as a share of the loss a tenth before, from which on an image stops early."""

RAISE = 10.0


@dataclass(frozen=True)
class CarliniWagner:
    """Minimise ||x' - x||^2 + c max(confidence - lead, 0) over w, x' = (tanh w + 1) / 2, for the least c that succeeds.

    Carlini & Wagner, "Towards evaluating the robustness of neural networks", IEEE S&P 2017, sections V and VI.A (f6,
    Adam, binary search over c). The lead is z_t - max_{j != t} z_j, or to leave a class its negative. Each image keeps
    the smallest perturbation that reached its goal with `confidence`.

    Departures:

    1. Fewer steps and searches than the authors' 10,000 and 9, a greater first c than 0.001, and a smaller learning
       rate than 0.01: with that, Adam's first step moves every pixel by more than a level, which for a network of small
       margins is further than the whole perturbation, and many steps go into coming back.
    2. An image stops early by itself where a tenth of the steps lowered its loss by less than 0.01 %; the authors'
       code does so for a whole batch.
    3. What is found is rounded to 8 bit, and its smallest multiple that still succeeds is looked for (see
       `attacks.per_image.boundary`); the authors search greedily, pixel by pixel.

    A threat does not change the search: it is the bound by which success is judged, and an image whose smallest
    perturbation is larger is not fooled.

    Attributes:
        confidence: the least lead in logits of what counts as found.
        searches: values of c that are tried.
        most_steps: most steps of Adam for each.
        learning_rate: Adam's, in tanh space.
        first_constant: the first c; times 10 until it succeeds, halved in from then on.
        halvings: how often the multiple of what was found is halved in.
        targeted: whether a class is to be reached.
    """

    confidence: float = 0.0
    searches: int = 5
    most_steps: int = 80
    learning_rate: float = 0.0025
    first_constant: float = 0.03
    halvings: int = 6
    targeted: bool = False

    name: ClassVar[str] = "carlini_wagner"
    title: ClassVar[str] = "Carlini-Wagner L2"
    source: ClassVar[str] = "Carlini & Wagner, Towards evaluating the robustness of neural networks, IEEE S&P 2017"
    access: ClassVar[Knowledge] = "white-box"

    def __post_init__(self) -> None:
        check_positive(self, "searches", "most_steps", "learning_rate", "first_constant")
        if not 0 <= self.confidence < float("inf") or self.halvings < 0:
            raise ValueError(
                f"expected finite confidence and halvings of at least 0, got {self.confidence} and {self.halvings}"
            )

    def propose(
        self,
        classifier: Classifier,
        pixels: Tensor,
        targets: Tensor,
        threat: Threat | None,
        *,
        seeds: Tensor,  # noqa: ARG002 (the protocol's)
    ) -> ImageProposal:
        """Return the nearest images found (see `attacks.base.ImageAttack`); `seeds` play no part.

        Raises:
            PlanError: the threat bounds another norm than the one that is kept small.
        """
        if threat is not None and threat.norm != "l2":
            raise PlanError(f"{self.name}: expected an l2 threat or none, got {threat.text} (use pgd or deepfool)")
        task = ImageTask.of(classifier, pixels, targets, None, targeted=self.targeted)
        found = _Found(torch.zeros_like(pixels), torch.full_like(pixels[:, 0, 0, 0], torch.inf))
        steps = self._search(task, found)
        moved = torch.isfinite(found.length) & ~found.at_once
        delta = torch.zeros_like(pixels)
        if bool(moved.any()):
            delta[moved], _ = nearest_delivered(
                task.only(moved),
                found.delta[moved],
                confidence=self.confidence,
                doublings=DOUBLINGS,
                halvings=self.halvings,
            )
        return ImageProposal(task.shown(delta), steps.cpu(), task.queries.cpu())

    def _search(self, task: ImageTask, found: "_Found") -> Tensor:
        """Fill `found` over all values of c; return the steps of each image."""
        constant = torch.full_like(found.length, self.first_constant)
        low, high = torch.zeros_like(constant), torch.full_like(constant, torch.inf)
        steps = torch.zeros_like(task.targets)
        for _ in range(self.searches):
            succeeded = torch.zeros_like(low, dtype=torch.bool)
            self._descend(task, constant[task.rows], found, succeeded, steps)
            high = torch.where(succeeded, constant, high)
            low = torch.where(succeeded, low, constant)
            constant = torch.where(torch.isfinite(high), (low + high) / 2, RAISE * constant)
            task = task.only(~found.at_once[task.rows])
            if not len(task):
                break
        return steps

    def _descend(self, task: ImageTask, constant: Tensor, found: "_Found", succeeded: Tensor, steps: Tensor) -> None:
        """Descend from the images with `constant` `[B]`; write down what is found, and who succeeded."""
        start = task.original / 255
        adam = _Adam.started(torch.atanh((2 * start - 1) * INSIDE))
        before = torch.full_like(constant, torch.inf)
        check = max(self.most_steps // 10, 1)
        for step in range(self.most_steps):
            squashed = adam.at.tanh()
            lead, slope = _lead_and_slope(task, (squashed + 1) / 2, self.confidence)
            apart = (squashed + 1) / 2 - start
            square = apart.square().flatten(1).sum(dim=1)
            succeeded[task.rows[lead > self.confidence]] = True
            found.keep(task.rows, lead > self.confidence, apart, square.sqrt())
            going = ~found.at_once[task.rows]
            if step and step % check == 0:
                loss = square + constant * (self.confidence - lead).clamp_min(0)
                going &= loss < WORTH * before
                before = loss
            gradient = (2 * apart - constant[:, None, None, None] * slope) * (1 - squashed.square()) / 2
            if not bool(going.all()):
                task, adam, start, gradient = task.only(going), adam.of(going), start[going], gradient[going]
                before, constant = before[going], constant[going]
                if not len(task):
                    break
            adam.step(gradient, self.learning_rate, step + 1)
            steps[task.rows] += 1


@dataclass(frozen=True, eq=False)
class _Found:
    """The smallest perturbations so far, in levels (not rounded), and their L2 lengths in [0, 1] pixels."""

    delta: Tensor
    length: Tensor

    def keep(self, rows: Tensor, reached: Tensor, apart: Tensor, length: Tensor) -> None:
        better = reached & (length < self.length[rows])
        self.delta[rows[better]] = 255 * apart[better]
        self.length[rows[better]] = length[better]

    @property
    def at_once(self) -> Tensor:
        """Whether an image has its goal without any change that could be delivered, bool `[B]`."""
        return self.length < 0.5 / 255


@dataclass(frozen=True, eq=False)
class _Adam:
    """Where each image is, and its moments; every image on its own, all at the same step."""

    at: Tensor
    first: Tensor
    second: Tensor

    @classmethod
    def started(cls, at: Tensor) -> "_Adam":
        return cls(at, torch.zeros_like(at), torch.zeros_like(at))

    def of(self, chosen: Tensor) -> "_Adam":
        return _Adam(self.at[chosen], self.first[chosen], self.second[chosen])

    def step(self, gradient: Tensor, rate: float, count: int) -> None:
        """Move in place against `gradient`; `count` is 1 at the first step."""
        self.first.lerp_(gradient, 1 - DECAYS[0])
        self.second.mul_(DECAYS[1]).addcmul_(gradient, gradient, value=1 - DECAYS[1])
        spread = (self.second / (1 - DECAYS[1] ** count)).sqrt_().add_(TINY)
        self.at.addcdiv_(self.first, spread, value=-rate / (1 - DECAYS[0] ** count))


def _lead_and_slope(task: ImageTask, pixels: Tensor, confidence: float) -> tuple[Tensor, Tensor]:
    """Return each image's lead and the gradient of min(lead, confidence) in the pixels."""
    with torch.enable_grad():
        at = pixels.requires_grad_()
        lead = task.lead(task.logits(at))
        short = lead.clamp_max(confidence).sum()
    if not bool((lead < confidence).any()):
        return lead.detach(), torch.zeros_like(at)
    (slope,) = torch.autograd.grad(short, at)
    return lead.detach(), slope
