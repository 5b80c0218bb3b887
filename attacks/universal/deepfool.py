"""DeepFool-UAP: add up the smallest steps of the images that the perturbation does not fool yet."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.base import Proposal, Tiers, check_positive, images_to, in_groups, refuse_target
from attacks.deepfool_steps import deepfool
from attacks.threat import Threat
from attacks.universal.ensemble import Member, labelled
from attacks.universal.minibatches import State, minibatch_proposals, starting_point
from wolfhound.classifier import Classifier
from wolfhound.images import ImageSet
from wolfhound.progress import Advance

FOOLED = "fooled"
"""Images (for each network) that this pass met already fooled."""


@dataclass(frozen=True)
class DeepFoolUniversal:
    """v <- project(v + a * sum of the DeepFool steps at x+v of a group's images that v does not fool yet).

    Moosavi-Dezfooli et al., "Universal adversarial perturbations", CVPR 2017, algorithm 1.

    Departures:

    1. `images_per_update` images are taken at the same v and their steps are added, so that they share their forward
       and backward passes; 1 is the paper's order.
    2. A DeepFool step reaches no further than the boundary of its own image. The paper adds up some 50,000 of them
       (10,000 images, 5 passes), which fill the ball; a few hundred images leave v small, fooling the images it was
       crafted on and no others. So the sum of a group only gives the direction; a group of which nothing is fooled yet
       moves v by `reach` times the ball's L2 radius, others by as much as their share that is not. `reach` 0 is the
       paper's rule (a = 1). Held-out fooling at linf 10/255: CIFAR-10 ResNet-20, 200 crafting images, 4 passes: the
       paper's rule one by one or 20 at a time 53 %, with reach 1 69 % (random sign noise 41 %). SqueezeNet 1.1,
       100 crafting images: the sum times 4 35 %, with reach 1 51 % (noise 43 %).
    3. The images are clipped to [0, 1] before DeepFool starts, as they are when they are judged.
    4. On several networks, each image gives a step for each network that v does not fool it on yet.

    Attributes:
        passes: most passes over the crafting images.
        enough: a pass that meets at least this share of its images already fooled is the last (the paper: 0.8, with
            crafting images enough that the others follow).
        images_per_update: images taken at the same v. More are faster a pass and lose nothing up to about 20; beyond 50
            the steps of one group repeat one another, and a pass gains less.
        reach: how far a group moves v, in L2 radii of the ball; 0 adds the bare sum of the steps.
        candidates: classes that DeepFool looks at, the present one included.
        overshoot: share by which DeepFool goes beyond the boundary.
        steps_per_image: most DeepFool steps for one image.
    """

    passes: int = 5
    enough: float = 0.95
    images_per_update: int = 20
    reach: float = 1.0
    candidates: int = 10
    overshoot: float = 0.02
    steps_per_image: int = 10

    name: ClassVar[str] = "deepfool_uap"
    title: ClassVar[str] = "DeepFool-UAP"
    source: ClassVar[str] = "Moosavi-Dezfooli et al., Universal adversarial perturbations, CVPR 2017"
    tiers: ClassVar[Tiers] = {"quick": {"passes": 1}, "nightly": {}, "certification": {"passes": 10, "enough": 1.0}}
    gradients_exact: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_positive(self, "passes", "enough", "images_per_update", "steps_per_image")
        if self.candidates < 2 or self.overshoot < 0 or self.reach < 0:
            raise ValueError(
                "expected candidates of at least 2, overshoot and reach of at least 0, "
                f"got {self.candidates}, {self.overshoot} and {self.reach}"
            )

    def steps(self, images: int) -> int:
        """Return the images that all passes visit; an early end counts the rest as done."""
        return self.passes * images

    def gradients(self, images: int) -> int:
        """Return the most that a run can take: every image in every pass uses all its steps and candidates."""
        return self.passes * images * self.steps_per_image * (self.candidates - 1)

    def proposals(
        self,
        classifiers: Sequence[Classifier],
        images: ImageSet,
        threat: Threat,
        *,
        generator: torch.Generator,
        chunk: int,
        advance: Advance,
        resume: Proposal | None = None,
    ) -> Iterator[Proposal]:
        """Yield the perturbation after every group of images (see `attacks.base.UniversalAttack`).

        Raises:
            PlanError: the threat has a target; DeepFool leaves a class and reaches none in particular.
        """
        refuse_target(self.name, threat)
        members = labelled(classifiers, images, threat, chunk=chunk)

        def update(state: State, positions: Tensor) -> tuple[State, int]:
            delta = state["delta"]
            found = self._group(members, images, positions, delta, chunk=chunk)
            unfooled = 1 - found.fooled / (len(positions) * len(members))
            moved = threat.project(delta + self._scaled(found.step, threat, unfooled=unfooled))
            return {"delta": moved, FOOLED: state[FOOLED] + found.fooled}, found.gradients

        def end_of_pass(state: State) -> tuple[State, bool]:
            enough = float(state[FOOLED]) >= self.enough * len(images) * len(members)
            return {**state, FOOLED: torch.zeros_like(state[FOOLED])}, enough

        yield from minibatch_proposals(
            update,
            starting_point(classifiers, images.size, resume, **{FOOLED: torch.tensor(0)}),
            len(images),
            passes=self.passes,
            images_per_update=self.images_per_update,
            generator=generator,
            advance=advance,
            end_of_pass=end_of_pass,
        )

    def _group(
        self, members: Sequence[Member], images: ImageSet, positions: Tensor, delta: Tensor, *, chunk: int
    ) -> "_Steps":
        total = _Steps(torch.zeros_like(delta), 0, 0)
        for part in in_groups(positions, chunk):
            for member in members:
                total = total.plus(self._steps(member, images, part, delta))
        return total

    def _steps(self, member: Member, images: ImageSet, part: Tensor, delta: Tensor) -> "_Steps":
        classifier, labels = member.classifier, member.known[part.to(member.known.device)]
        shown = (images_to(classifier, images, part) + delta.to(classifier.device, classifier.dtype)).clamp(0, 1)
        with torch.no_grad():
            kept = classifier.logits(shown).argmax(dim=1) == labels
        already = int((~kept).sum())
        if already == len(part):
            return _Steps(torch.zeros_like(delta), already, 0)
        found = deepfool(
            classifier,
            shown[kept],
            labels[kept],
            candidates=self.candidates,
            overshoot=self.overshoot,
            max_steps=self.steps_per_image,
        )
        return _Steps(found.delta[found.crossed].sum(dim=0).to(delta), already, found.gradients)

    def _scaled(self, update: Tensor, threat: Threat, *, unfooled: float) -> Tensor:
        length = float(update.norm())
        if self.reach == 0 or length == 0:
            return update
        return update * (self.reach * unfooled * threat.l2_radius(update.numel()) / length)


@dataclass(frozen=True, eq=False)
class _Steps:
    """The sum of the steps of the images not fooled yet, how many were fooled, and the gradients taken."""

    step: Tensor
    fooled: int
    gradients: int

    def plus(self, other: "_Steps") -> "_Steps":
        return _Steps(self.step + other.step, self.fooled + other.fooled, self.gradients + other.gradients)
