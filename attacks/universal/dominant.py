"""Dominant-label UAP: see in which class images end under one perturbation, then lead those of all others there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import ClassVar

import torch
from torch import Tensor

from attacks.base import Proposal, Tiers, check_choice, check_positive, images_to, in_groups, refuse_target
from attacks.threat import Threat
from attacks.universal.adam import Decay, Run, Shown, adam_proposals
from attacks.universal.ensemble import Member, labelled
from attacks.universal.losses import lead_of_others, lead_of_target
from attacks.universal.views import AUGMENTS, Augment
from wolfhound.classifier import Classifier
from wolfhound.errors import PlanError
from wolfhound.images import ImageSet
from wolfhound.progress import Advance

DESTINATION = "destination"
"""Where a proposal keeps the class that images are led to, once it is chosen."""


@dataclass(frozen=True)
class DominantUniversal:
    """v <- project(v + a * Adam(mean gradient of min(lead of class c, confidence) over images of other classes)).

    Universal perturbations send most images to a few dominant labels (Moosavi-Dezfooli et al., "Universal Adversarial
    Perturbations", CVPR 2017, section 5). With few classes that bounds the fooling rate: images that were of such a
    class stay in it, and what moves them costs more of the others. This method, ours, makes the most of that. It begins
    as DF-UAP (Zhang et al., CVPR 2020) with a small confidence, under which images end in several classes; the class in
    which most images of others end is c. From there on every image that was not in c before is led to c, by its lead
    over the highest other logit, and images of c are given up (ADR 0100).

    Attributes:
        passes: how often every crafting image is used, `explored` of it before c is chosen.
        explored: share of the passes, at least one of them, before c is chosen.
        images_per_update: images in the mean of one update.
        step: Adam's learning rate as a share of epsilon.
        decay: "cosine" lets the steps shrink to zero over all passes; "none" keeps their length.
        confidence: the lead (in logits) beyond which an image no longer counts.
        augment: "none", "flips", "shifts", "crops" or "mixes", "auto" by the images' size (see
            `attacks.universal.views`). Of a mixed image that shows c nothing is asked either.
    """

    passes: int = 40
    explored: float = 0.25
    images_per_update: int = 16
    step: float = 0.13
    decay: Decay = "cosine"
    confidence: float = 3.0
    augment: Augment = "mixes"

    name: ClassVar[str] = "dominant_uap"
    title: ClassVar[str] = "Dominant-label UAP"
    source: ClassVar[str] = "Wolfhound, after Zhang et al., CVPR 2020, and Moosavi-Dezfooli et al., CVPR 2017"
    tiers: ClassVar[Tiers] = {"quick": {"passes": 8}, "nightly": {}, "certification": {"passes": 100}}
    gradients_exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive(self, "passes", "explored", "images_per_update", "step", "confidence")
        check_choice(self, "decay", ("none", "cosine"))
        check_choice(self, "augment", AUGMENTS)
        if self.passes < 2 or self.explored >= 1:
            raise PlanError(
                f"{self.name}: expected at least 2 passes, and explored below 1, as a class is chosen after the first, "
                f"got passes {self.passes} and explored {self.explored}"
            )

    @property
    def first_passes(self) -> int:
        """Return the passes before a class is chosen."""
        return min(self.passes - 1, max(1, round(self.explored * self.passes)))

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
            PlanError: the threat has a target; the class is chosen here.
        """
        refuse_target(self.name, threat)
        members = labelled(classifiers, images, threat, chunk=chunk)
        shown = Shown.of(images, self.augment, generator=generator)
        last = resume
        if last is None or last.passes < self.first_passes:
            run = Run(threat, generator, chunk, advance, last)
            anywhere = partial(lead_of_others, most=self.confidence)
            for last in adam_proposals(anywhere, members, shown, run, options=self):
                yield last
                if last.passes == self.first_passes:
                    break
        assert last is not None
        chosen = last.state.get(DESTINATION)
        destination = dominant(members, images, last.delta, chunk=chunk) if chosen is None else int(chosen)
        run = Run(threat, generator, chunk, advance if last is resume else _from_second_call(advance), last)
        there = partial(led, destination=destination, most=self.confidence)
        for proposal in adam_proposals(there, members, shown, run, options=self):
            yield replace(proposal, state={**proposal.state, DESTINATION: torch.tensor(destination)})


def _from_second_call(advance: Advance) -> Advance:
    """Return `advance` without its first call, by which a loop that is taken up counts what was counted already."""
    calls = count()
    return lambda steps: advance(steps if next(calls) else 0)


def led(classifier: Classifier, shown: Tensor, labels: Tensor, *, destination: int, most: float) -> Tensor:
    """Return min(z_destination - max_{k != destination} z_k, most) for each image, `[B]`; 0 where that is its label."""
    lead = lead_of_target(classifier, shown, torch.full_like(labels, destination), most=most)
    return torch.where(labels == destination, torch.zeros_like(lead), lead)


def dominant(members: Sequence[Member], images: ImageSet, delta: Tensor, *, chunk: int) -> int:
    """Return the class in which `delta` `[3,H,W]` lets most images of other classes end, over all networks, whose
    members know their clean predictions.

    Of classes in which equally many end it is the one that the clean images show least, and of those the first.
    """
    arrived = stood = torch.zeros((), dtype=torch.int64)
    for member in members:
        for part in in_groups(torch.arange(len(images)), chunk):
            pixels = images_to(member.classifier, images, part)
            with torch.no_grad():
                logits = member.classifier.logits((pixels + delta.to(pixels)).clamp(0, 1))
            before, after, classes = member.known[part.to(member.known.device)], logits.argmax(dim=1), logits.shape[1]
            arrived = arrived + torch.bincount(after[after != before], minlength=classes).cpu()
            stood = stood + torch.bincount(before, minlength=classes).cpu()
    return int((arrived * (stood.sum() + 1) - stood).argmax())
