"""SGA-UAP: the gradients of many small inner steps, averaged, make one outer step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from attacks.base import Proposal, Tiers, check_choice, check_positive
from attacks.threat import Threat
from attacks.universal.ensemble import Losses, Member, labelled, mean_gradient
from attacks.universal.losses import clipped_cross_entropy
from attacks.universal.minibatches import State, minibatch_proposals, starting_point
from attacks.universal.sgd import to_target
from attacks.universal.views import AUGMENTS, Augment, Viewed
from wolfhound.classifier import Classifier
from wolfhound.images import ImageSet
from wolfhound.progress import Advance


@dataclass(frozen=True)
class SgaUniversal:
    """v <- project(v + a * direction(mean of the inner gradients)), taken along inner steps that start at v.

    Liu et al., "Enhancing Generalization of Universal Adversarial Perturbation through Gradient Aggregation", ICCV
    2023, algorithm 1. From the images of one outer update, `rounds` * their number / `inner_images` minibatches are
    drawn; each moves a copy of v by one step, and the mean of their gradients moves v. The direction is the sign for
    linf and the normalised gradient for L2; what ascends is min(cross-entropy, clip), or with a target class minus the
    cross-entropy to it.

    Attributes:
        passes: how often every crafting image is in an outer update (the paper: 20, with 10,000 images).
        images_per_update: images of an outer update (the paper: 250, of which a few hundred make too few updates: with
            300 crafting images on CIFAR-10 ResNet-20, linf 10/255, 250 and a step of 0.1 fool 35 % of held-out images
            after 2,400 gradients, 30 and a step of 0.2 fool 84 % after 1,200; random sign noise 40 %).
        inner_images: images of an inner step (the paper: 10).
        rounds: how often, on average, an inner step uses each image of the outer update (the paper: 4).
        step: the length of an inner and of an outer step as a share of epsilon (the paper: 0.1).
        clip: cross-entropy (nats) above which an image no longer counts (the paper: 9).
        augment: "none", as in the paper, "flips", "shifts", "crops" or "mixes" (see `views`), drawn anew for each
            inner step.
        labels: "predicted" on the clean image, or those "given" with the image set.
    """

    passes: int = 5
    images_per_update: int = 30
    inner_images: int = 10
    rounds: int = 4
    step: float = 0.2
    clip: float = 9.0
    augment: Augment = "flips"
    labels: Literal["predicted", "given"] = "predicted"

    name: ClassVar[str] = "sga_uap"
    title: ClassVar[str] = "SGA-UAP"
    source: ClassVar[str] = "Liu et al., Enhancing Generalization of UAP through Gradient Aggregation, ICCV 2023"
    tiers: ClassVar[Tiers] = {"quick": {"passes": 2}, "nightly": {}, "certification": {"passes": 20}}
    gradients_exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive(self, "passes", "images_per_update", "inner_images", "rounds", "step", "clip")
        check_choice(self, "augment", AUGMENTS)
        check_choice(self, "labels", ("predicted", "given"))

    def steps(self, images: int) -> int:
        """Return the images that all passes visit."""
        return self.passes * images

    def gradients(self, images: int) -> int:
        """Return the gradients of all inner steps of all passes."""
        full, rest = divmod(images, self.images_per_update)
        return self.passes * (full * self._inner_gradients(self.images_per_update) + self._inner_gradients(rest))

    def _inner_gradients(self, images: int) -> int:
        """Return the gradients of one outer update over that many images."""
        size = min(self.inner_images, images)
        return size * (self.rounds * images // size) if size else 0

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
        """Yield the perturbation after every outer update (see `attacks.base.UniversalAttack`)."""
        members = labelled(classifiers, images, threat, labels=self.labels, chunk=chunk)
        losses = partial(clipped_cross_entropy, clip=self.clip) if threat.target is None else to_target

        def update(state: State, positions: Tensor) -> tuple[State, int]:
            inner = self._inner(losses, members, images, positions, state["delta"], threat, generator, chunk=chunk)
            moved = threat.project(state["delta"] + self.step * threat.epsilon * threat.steepest(inner))
            return {"delta": moved}, self._inner_gradients(len(positions)) * len(members)

        yield from minibatch_proposals(
            update,
            starting_point(classifiers, images.size, resume),
            len(images),
            passes=self.passes,
            images_per_update=self.images_per_update,
            generator=generator,
            advance=advance,
        )

    def _inner(
        self,
        losses: Losses,
        members: Sequence[Member],
        images: ImageSet,
        positions: Tensor,
        delta: Tensor,
        threat: Threat,
        generator: torch.Generator,
        *,
        chunk: int,
    ) -> Tensor:
        """Return the mean of the gradients along the inner steps from `delta`."""
        total = torch.zeros_like(delta)
        size = min(self.inner_images, len(positions))
        rounds = self.rounds * len(positions) // size
        for _ in range(rounds):
            chosen = positions[torch.randperm(len(positions), generator=generator)[:size]]
            viewed = Viewed.drawn(images, chosen, self.augment, generator=generator)
            gradient = mean_gradient(losses, members, viewed, chosen, delta, chunk=chunk)
            delta = threat.project(delta + self.step * threat.epsilon * threat.steepest(gradient))
            total += gradient
        return total / rounds
