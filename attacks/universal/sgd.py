"""SGD-UAP: one perturbation that ascends the clipped cross-entropy of minibatch after minibatch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from attacks.base import Proposal, Tiers, check_choice, check_positive
from attacks.threat import Threat
from attacks.universal.adam import Decay, Run, Shown, adam_proposals
from attacks.universal.ensemble import labelled, mean_gradient
from attacks.universal.minibatches import State, minibatch_proposals, starting_point
from attacks.universal.views import AUGMENTS, Augment, Viewed
from wolfhound.classifier import Classifier
from wolfhound.images import ImageSet
from wolfhound.progress import Advance


@dataclass(frozen=True)
class SgdUniversal:
    """v <- project(v + a * direction(mean gradient of min(cross-entropy, clip))), over minibatches in random order.

    Shafahi et al., "Universal Adversarial Training", AAAI 2020 (arXiv 1811.11304), section 3. The direction is the sign
    of the gradient for linf and the normalised gradient for L2. With a target class, the cross-entropy to the target
    is descended instead, unclipped: it has a lower bound of its own.

    Departures: the step does not depend on the loss's scale but is a share of epsilon; labels default to the network's
    own clean predictions, so that the loss drives what the fooling rate counts and unlabelled images serve.

    Attributes:
        passes: how often every crafting image is used.
        images_per_update: images in the mean of one update (100 to 250 in the literature, with 10,000 images; a few
            hundred crafting images need more updates a pass than that leaves).
        step: the length of an update as a share of epsilon; Adam's as a share of the root mean square of a perturbation
            of full size (see `attacks.universal.adam.pixel_scale`).
        optimiser: "steepest", the formula above, or "adam", whose steps shrink to zero along half a cosine.
        clip: cross-entropy (nats) above which an image no longer counts, so that no single one dominates (9 to 12 in
            the literature).
        augment: "none", as in the paper, "flips", "shifts", "crops" or "mixes", "auto" by the images' size (see
            `attacks.universal.views`).
        labels: "predicted" on the clean image, or those "given" with the image set.
    """

    passes: int = 10
    images_per_update: int = 32
    step: float = 0.2
    clip: float = 12.0
    augment: Augment = "none"
    optimiser: Literal["steepest", "adam"] = "steepest"
    labels: Literal["predicted", "given"] = "predicted"

    name: ClassVar[str] = "sgd_uap"
    title: ClassVar[str] = "SGD-UAP"
    source: ClassVar[str] = "Shafahi et al., Universal Adversarial Training, AAAI 2020"
    tiers: ClassVar[Tiers] = {"quick": {"passes": 3}, "nightly": {}, "certification": {"passes": 40}}
    gradients_exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive(self, "passes", "images_per_update", "step", "clip")
        check_choice(self, "augment", AUGMENTS)
        check_choice(self, "optimiser", ("steepest", "adam"))
        check_choice(self, "labels", ("predicted", "given"))

    @property
    def decay(self) -> Decay:
        """Adam's steps shrink."""
        return "cosine"

    def steps(self, images: int) -> int:
        """Return the images that all passes visit."""
        return self.passes * images

    def gradients(self, images: int) -> int:
        """Return one gradient an image and pass."""
        return self.passes * images

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
        """Yield the perturbation after every update (see `attacks.base.UniversalAttack`)."""
        members = labelled(classifiers, images, threat, labels=self.labels, chunk=chunk)
        losses = self.losses if threat.target is None else to_target
        if self.optimiser == "adam":
            shown = Shown.of(images, self.augment, generator=generator)
            run = Run(threat, generator, chunk, advance, resume)
            yield from adam_proposals(losses, members, shown, run, options=self)
            return

        def update(state: State, positions: Tensor) -> tuple[State, int]:
            delta, viewed = state["delta"], Viewed.drawn(images, positions, self.augment, generator=generator)
            gradient = mean_gradient(losses, members, viewed, positions, delta, chunk=chunk)
            moved = threat.project(delta + self.step * threat.epsilon * threat.steepest(gradient))
            return {"delta": moved}, len(positions) * len(members)

        yield from minibatch_proposals(
            update,
            starting_point(classifiers, images.size, resume),
            len(images),
            passes=self.passes,
            images_per_update=self.images_per_update,
            generator=generator,
            advance=advance,
        )

    def losses(self, classifier: Classifier, shown: Tensor, labels: Tensor) -> Tensor:
        """Return the clipped cross-entropy of each image, `[B]`."""
        return functional.cross_entropy(classifier.logits(shown), labels, reduction="none").clamp(max=self.clip)


def to_target(classifier: Classifier, shown: Tensor, targets: Tensor) -> Tensor:
    """Return what grows as each image nears its target, `[B]`: minus the cross-entropy to it."""
    return -functional.cross_entropy(classifier.logits(shown), targets, reduction="none")
