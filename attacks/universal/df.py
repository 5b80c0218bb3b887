"""DF-UAP: one perturbation that ascends the bounded logit margin by Adam."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch

from attacks.base import Proposal, Tiers, check_choice, check_positive
from attacks.threat import Threat
from attacks.universal.adam import Decay, Run, Shown, adam_proposals
from attacks.universal.ensemble import labelled
from attacks.universal.losses import lead_of_others, lead_of_target
from attacks.universal.views import AUGMENTS, Augment
from wolfhound.classifier import Classifier
from wolfhound.images import ImageSet
from wolfhound.progress import Advance


@dataclass(frozen=True)
class DfUniversal:
    """v <- project(v + a * Adam(mean gradient of min(max_other z - z_label, confidence))).

    Zhang et al., "Understanding Adversarial Examples from the Mutual Influence of Images and Perturbations", CVPR 2020
    (the untargeted loss of its universal attack). With a target class, its lead over the highest other logit is
    ascended instead, bounded likewise.

    Departures, for a few hundred crafting images where the paper has a data set:

    1. They are varied anew each time they are used, and keep the label of the whole image. SqueezeNet 1.1, linf 10/255,
       320 photographs: without, 99 % of them and 77 % of 100 held-out ones are fooled after 5,800 gradients; with crops
       92 % and 93 % after 3,200.
    2. Smaller minibatches make more updates of the same gradients, and steps that shrink settle the last iterate.

    Attributes:
        passes: how often every crafting image is used (the paper: 2,000 updates of 32 images).
        images_per_update: images in the mean of one update (the paper: 32).
        step: Adam's learning rate as a share of epsilon (the paper: 0.005 at 10/255, a share of 0.13).
        decay: "cosine" lets the steps shrink to zero; "none" keeps their length, as the paper does.
        confidence: the lead (in logits) beyond which an image no longer counts (the paper: 10).
        augment: "none", "flips", "shifts", "crops" or "mixes" (see `attacks.universal.views`); "auto" is
            shifts for small images, where crops lose more than they bring, and crops for larger ones.
        labels: "predicted" on the clean image, or those "given" with the image set.
    """

    passes: int = 20
    images_per_update: int = 16
    step: float = 0.13
    decay: Decay = "cosine"
    confidence: float = 10.0
    augment: Augment = "auto"
    labels: Literal["predicted", "given"] = "predicted"

    name: ClassVar[str] = "df_uap"
    title: ClassVar[str] = "DF-UAP"
    source: ClassVar[str] = "Zhang et al., Understanding Adversarial Examples from the Mutual Influence, CVPR 2020"
    tiers: ClassVar[Tiers] = {"quick": {"passes": 5}, "nightly": {}, "certification": {"passes": 60}}
    gradients_exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive(self, "passes", "images_per_update", "step", "confidence")
        check_choice(self, "decay", ("none", "cosine"))
        check_choice(self, "augment", AUGMENTS)
        check_choice(self, "labels", ("predicted", "given"))

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
        lead = lead_of_others if threat.target is None else lead_of_target
        shown = Shown.of(images, self.augment, generator=generator)
        run = Run(threat, generator, chunk, advance, resume)
        yield from adam_proposals(partial(lead, most=self.confidence), members, shown, run, options=self)
