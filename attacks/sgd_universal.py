"""SGD-UAP: one perturbation that ascends the clipped cross-entropy of minibatch after minibatch."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from attacks.base import Proposal, check_choice, check_positive, clean_labels, images_to, in_groups
from attacks.threat import Threat
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
        step: the length of an update as a share of epsilon.
        clip: cross-entropy (nats) above which an image no longer counts, so that no single one dominates (9 to 12 in
            the literature).
        labels: "predicted" on the clean image, or those "given" with the image set.
    """

    passes: int = 10
    images_per_update: int = 32
    step: float = 0.2
    clip: float = 12.0
    labels: Literal["predicted", "given"] = "predicted"

    name: ClassVar[str] = "sgd_uap"
    title: ClassVar[str] = "SGD-UAP"
    source: ClassVar[str] = "Shafahi et al., Universal Adversarial Training, AAAI 2020"

    def __post_init__(self) -> None:
        check_positive(self, "passes", "images_per_update", "step", "clip")
        check_choice(self, "labels", ("predicted", "given"))

    def steps(self, images: int) -> int:
        """Return the images that all passes visit."""
        return self.passes * images

    def proposals(
        self,
        classifier: Classifier,
        images: ImageSet,
        threat: Threat,
        *,
        generator: torch.Generator,
        chunk: int,
        advance: Advance,
        resume: Proposal | None = None,
    ) -> Iterator[Proposal]:
        """Yield the perturbation after every pass (see `attacks.base.UniversalAttack`)."""
        start = resume or Proposal(torch.zeros(3, *images.size), passes=0, gradients=0)
        delta = start.delta.to(classifier.device, classifier.dtype)
        labels = self._labels(classifier, images, threat, chunk)
        advance(start.passes * len(images))
        for done in range(start.passes, self.passes):
            for group in in_groups(torch.randperm(len(images), generator=generator), self.images_per_update):
                gradient = torch.zeros_like(delta)
                for part in in_groups(group, chunk):
                    pixels = images_to(classifier, images, part)
                    gradient += self.gradient(classifier, pixels, labels[part], delta, threat)
                delta = threat.project(delta + self.step * threat.epsilon * threat.steepest(gradient))
                advance(len(group))
            yield Proposal(delta.clone(), passes=done + 1, gradients=(done + 1) * len(images))

    def gradient(self, classifier: Classifier, pixels: Tensor, labels: Tensor, delta: Tensor, threat: Threat) -> Tensor:
        """Return the gradient of the batch's summed loss at `delta` `[3,H,W]`: where the perturbation should go."""
        with torch.enable_grad():
            at = delta.detach().requires_grad_()
            logits = classifier.logits((pixels + at).clamp(0, 1))
            losses = functional.cross_entropy(logits, labels, reduction="none")
            ascended = losses.clamp(max=self.clip).sum() if threat.target is None else -losses.sum()
            (gradient,) = torch.autograd.grad(ascended, at)
        return gradient

    def _labels(self, classifier: Classifier, images: ImageSet, threat: Threat, chunk: int) -> Tensor:
        if threat.target is not None:
            labels = torch.full((len(images),), threat.target)
        elif self.labels == "given":
            labels = torch.from_numpy(images.labels.copy())
        else:
            labels = clean_labels(classifier, images, chunk=chunk)
        return labels.to(classifier.device)
