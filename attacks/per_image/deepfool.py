"""DeepFool as a per-image attack, away from a class or towards one, to the nearest image that can be delivered."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.base import ImageProposal, check_choice, check_positive
from attacks.deepfool_steps import nearest_boundary, strongest_rivals
from attacks.per_image.boundary import DOUBLINGS, nearest_delivered
from attacks.per_image.task import ImageTask
from attacks.threat import Knowledge, Norm, Threat
from wolfhound.classifier import Classifier


@dataclass(frozen=True)
class DeepFool:
    """Step to the nearest linearised class boundary until the goal is reached: a small perturbation, if not the least.

    Moosavi-Dezfooli et al., "DeepFool", CVPR 2016, algorithm 2 (L2) and section 2.3 (linf), overshoot 0.02, at most 50
    steps, 10 candidate classes as in the authors' code.

    Departures:

    1. Every iterate is clipped to [0, 1], overshoot included.
    2. Towards a class (the paper only leaves one), each step goes to the boundary between the target and the class that
       scores highest besides it.
    3. What is found is rounded to 8 bit, and its smallest multiple that reaches the goal as a rounded image is looked
       for by doubling and halving: rounding would lose part of the images, and the overshoot is more than they need.

    A threat does not change the search but for its norm, which goes before `norm`: it is the bound by which success is
    judged, and an image whose smallest perturbation is larger is not fooled.

    Attributes:
        norm: the size that is kept small, where there is no threat.
        candidates: classes that are looked at when one is left, that one included.
        overshoot: share by which each step goes beyond the boundary.
        most_steps: steps after which an image counts as not fooled.
        halvings: how often the multiple is halved in; the size is then exact to about 2 to that power of itself.
        targeted: whether a class is to be reached.
    """

    norm: Norm = "l2"
    candidates: int = 10
    overshoot: float = 0.02
    most_steps: int = 50
    halvings: int = 6
    targeted: bool = False

    name: ClassVar[str] = "deepfool"
    title: ClassVar[str] = "DeepFool"
    source: ClassVar[str] = "Moosavi-Dezfooli et al., DeepFool, CVPR 2016"
    access: ClassVar[Knowledge] = "white-box"

    def __post_init__(self) -> None:
        check_choice(self, "norm", ("l2", "linf"))
        check_positive(self, "most_steps")
        if self.candidates < 2 or self.overshoot < 0 or self.halvings < 0:
            raise ValueError(
                "expected candidates of at least 2, overshoot and halvings of at least 0, "
                f"got {self.candidates}, {self.overshoot} and {self.halvings}"
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
        """Return the nearest images found (see `attacks.base.ImageAttack`); `seeds` play no part."""
        task = ImageTask.of(classifier, pixels, targets, None, targeted=self.targeted)
        delta, steps, crossed = self._walk(task, self.norm if threat is None else threat.norm)
        if bool(crossed.any()):
            levels, held = nearest_delivered(
                task.only(crossed), delta[crossed], confidence=0.0, doublings=DOUBLINGS, halvings=self.halvings
            )
            delta[torch.nonzero(crossed)[:, 0][held]] = levels[held]
        return ImageProposal(task.shown(task.bounded(delta)), steps.cpu(), task.queries.cpu())

    def _walk(self, task: ImageTask, norm: Norm) -> tuple[Tensor, Tensor, Tensor]:
        """Return the perturbations in levels, overshoot included, the steps, and which of the moved images crossed."""
        total, steps = torch.zeros_like(task.original), torch.zeros_like(task.targets)
        crossed = torch.zeros_like(task.targets, dtype=torch.bool)
        current, rivals = total, torch.empty(0)
        for step in range(self.most_steps + 1):
            with torch.no_grad():
                logits = task.logits(task.shown(task.bounded(current)))
            if step == 0:
                rivals = strongest_rivals(logits, task.targets, self.candidates)
            done = task.lead(logits) > 0
            crossed[task.rows[done]] = True
            task, current, rivals = task.only(~done), current[~done], rivals[~done]
            if step == self.most_steps or not len(task):
                break
            # A second forward pass of these is cheaper than backward passes, one a rival, through those that are done.
            at, logits = task.with_graph(task.bounded(current))
            moved = nearest_boundary(self._margins(task, logits, rivals), at, norm)
            current = current + 255 * (1 + self.overshoot) * moved
            total[task.rows] = current
            steps[task.rows] += 1
        return total, steps, crossed & (steps > 0)

    def _margins(self, task: ImageTask, logits: Tensor, rivals: Tensor) -> Tensor:
        """Return what rises through 0 at each boundary, `[B,boundaries]`."""
        with torch.enable_grad():
            if self.targeted:
                return task.lead(logits)[:, None]
            return logits.gather(1, rivals) - logits.gather(1, task.targets[:, None])
