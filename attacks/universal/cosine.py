"""Cosine-UAP: one perturbation that turns the logits away from the clean ones; it needs no labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.base import Proposal, Tiers, check_choice, check_positive, images_to, in_groups, refuse_target
from attacks.threat import Threat
from attacks.universal.adam import Decay, Run, Shown, adam_proposals, moments, pixel_scale
from attacks.universal.ensemble import Member
from attacks.universal.losses import turned_away
from attacks.universal.views import AUGMENTS, Augment
from wolfhound.classifier import Classifier
from wolfhound.images import ImageSet
from wolfhound.progress import Advance

START = 0.1
"""The largest value of the noise to start from, as a share of a perturbation of full size."""


@dataclass(frozen=True)
class CosineUniversal:
    """v <- project(v + a * Adam(mean gradient of -cos(f(x), f(clip(x + v))))), f the logits.

    Zhang et al., "Data-free Universal Adversarial Perturbation and Black-box Attack", ICCV 2021: where the
    perturbation's own logits dominate those of every image, all images get the same prediction.

    Departure: v starts as faint noise, not at 0, where the gradient vanishes but for round-off.

    Attributes:
        passes: how often every crafting image is used (the paper: 2,000 updates of 32 images).
        images_per_update: images in the mean of one update (the paper: 32).
        step: Adam's learning rate as a share of epsilon (the paper: 0.005 at 10/255, a share of 0.13).
        decay: "cosine" lets the steps shrink to zero; "none" keeps their length, as the paper does.
        augment: "none", "flips", "shifts", "crops" or "mixes", "auto" by the images' size (see `views`); the clean
            logits stay those of the whole image, or are those of what mixed images show.
    """

    passes: int = 20
    images_per_update: int = 16
    step: float = 0.13
    decay: Decay = "cosine"
    augment: Augment = "auto"

    name: ClassVar[str] = "cosine_uap"
    title: ClassVar[str] = "Cosine-UAP"
    source: ClassVar[str] = "Zhang et al., Data-free Universal Adversarial Perturbation and Black-box Attack, ICCV 2021"
    tiers: ClassVar[Tiers] = {"quick": {"passes": 5}, "nightly": {}, "certification": {"passes": 60}}
    gradients_exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive(self, "passes", "images_per_update", "step")
        check_choice(self, "decay", ("none", "cosine"))
        check_choice(self, "augment", AUGMENTS)

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
        """Yield the perturbation after every update (see `attacks.base.UniversalAttack`).

        Raises:
            PlanError: the threat has a target; the logits are turned away from the clean ones and to nothing.
        """
        refuse_target(self.name, threat)
        members = [
            Member(classifier, clean_logits(classifier, images, chunk=chunk), classifier.logits)
            for classifier in classifiers
        ]
        shown = Shown.of(images, self.augment, generator=generator)
        start = resume or faint_noise(classifiers[0], images.size, threat, generator=generator)
        run = Run(threat, generator, chunk, advance, start)
        yield from adam_proposals(turned_away, members, shown, run, options=self)


def faint_noise(
    classifier: Classifier, size: tuple[int, int], threat: Threat, *, generator: torch.Generator
) -> Proposal:
    """Return uniform noise of `START` times the full size: at 0 the cosine is at its top, where it has no slope."""
    drawn = (2 * torch.rand(3, *size, generator=generator) - 1).to(classifier.device, classifier.dtype)
    noise = threat.project(START * pixel_scale(threat, drawn.numel()) * drawn)
    return Proposal(noise, passes=0, gradients=0, state=moments(noise))


def clean_logits(classifier: Classifier, images: ImageSet, *, chunk: int) -> Tensor:
    """Return the logits of each clean image, `[N,K]` on the classifier's device."""
    with torch.no_grad():
        parts = in_groups(torch.arange(len(images)), chunk)
        return torch.cat([classifier.logits(images_to(classifier, images, part)) for part in parts])
