"""Universal patch: one opaque sticker that changes the prediction of most images it is put on."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from attacks.base import Proposal, Tiers, check_choice, check_positive, in_groups
from attacks.threat import Threat
from attacks.universal.adam import UPDATES, Decay, share_of_step
from attacks.universal.ensemble import Losses, Member, Readable, labelled
from attacks.universal.losses import lead_of_others, lead_of_target
from attacks.universal.minibatches import State, minibatch_proposals, starting_point
from attacks.universal.views import AUGMENTS, Augment, Viewed
from wolfhound.classifier import Classifier
from wolfhound.errors import PlanError
from wolfhound.images import ImageSet
from wolfhound.progress import Advance

COLOURS = "colours"
"""The sticker's colours in [0, 1] before they are rounded to black and full, `[3,S,S]`."""


@dataclass(frozen=True)
class PatchUniversal:
    """p <- clip(p + a * sign(mean gradient of the bounded lead of the others)), p the colours of an opaque sticker.

    Brown et al., "Adversarial Patch", 2017 (arXiv 1712.09665), section 2: the sticker replaces what is below it, and
    its colours ascend the mean over crafting images and over the places where it may lie. With a target class, the
    target's lead is ascended instead. The threat states its share of the area and the place where it is judged.

    Departures:

    1. Each channel of each pixel is black or full, so that the patch can be delivered like any other perturbation:
       added and clipped, it hides what is below. The gradient at the rounded colours moves the colours in between.
    2. Neither rotated nor scaled: it is judged as it is crafted, in a square that the threat fixes.
    3. The bounded margin and sign steps, which do not depend on the network's scale, in place of the log-probability.

    Attributes:
        passes: how often every crafting image is used.
        images_per_update: images in the mean of one update.
        step: how far a colour moves in one update, on the [0, 1] scale.
        decay: "cosine" lets the steps shrink to zero; "none" keeps their length.
        confidence: the lead (in logits) beyond which an image no longer counts.
        positions: "given" crafts for the threat's place, "random" for a place anywhere, drawn anew for every image.
        augment: "none", "flips", "shifts", "crops" or "mixes" (see `attacks.universal.views`).
    """

    passes: int = 20
    images_per_update: int = 16
    step: float = 0.1
    decay: Decay = "cosine"
    confidence: float = 10.0
    positions: Literal["given", "random"] = "given"
    augment: Augment = "none"

    name: ClassVar[str] = "patch_uap"
    title: ClassVar[str] = "Universal patch"
    source: ClassVar[str] = "Brown et al., Adversarial Patch, 2017"
    tiers: ClassVar[Tiers] = {"quick": {"passes": 5}, "nightly": {}, "certification": {"passes": 60}}
    gradients_exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive(self, "passes", "images_per_update", "step", "confidence")
        check_choice(self, "decay", ("none", "cosine"))
        check_choice(self, "positions", ("given", "random"))
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
            PlanError: the threat is no patch.
        """
        if threat.norm != "patch":
            raise PlanError(f"{self.name}: expected a threat of norm patch, got {threat.text}")
        members = labelled(classifiers, images, threat, chunk=chunk)
        total = self.passes * math.ceil(len(images) / self.images_per_update)
        box = threat.box(images.size)
        start = {} if resume else self._start(classifiers[0], box[2], generator)

        def update(state: State, positions: Tensor) -> tuple[State, int]:
            viewed = Viewed.drawn(images, positions, self.augment, generator=generator)
            corners = self.corners(len(positions), images.size, box, generator=generator)
            sticker = Sticker(state[COLOURS].round(), corners)
            rise = sticker.gradient(self._lead(threat), members, viewed, positions, chunk=chunk).sign()
            length = self.step * share_of_step(self.decay, int(state[UPDATES]), total)
            colours = (state[COLOURS] + length * rise).clamp(0, 1)
            after = {"delta": opaque(colours, box, like=state["delta"]), COLOURS: colours, UPDATES: state[UPDATES] + 1}
            return after, len(positions) * len(members)

        yield from minibatch_proposals(
            update,
            starting_point(classifiers, images.size, resume, **start),
            len(images),
            passes=self.passes,
            images_per_update=self.images_per_update,
            generator=generator,
            advance=advance,
        )

    def _lead(self, threat: Threat) -> Losses:
        return partial(lead_of_others if threat.target is None else lead_of_target, most=self.confidence)

    def _start(self, classifier: Classifier, side: int, generator: torch.Generator) -> dict[str, Tensor]:
        drawn = torch.rand(3, side, side, generator=generator).to(classifier.device, classifier.dtype)
        return {COLOURS: drawn, UPDATES: torch.zeros((), dtype=torch.int64, device=classifier.device)}

    def corners(
        self, count: int, size: tuple[int, int], box: tuple[int, int, int], *, generator: torch.Generator
    ) -> Tensor:
        """Return the top and left edge of the sticker on each of `count` images, int64 `[count,2]`."""
        top, left, side = box
        if self.positions == "given":
            return torch.tensor([top, left]).expand(count, 2)
        free = torch.tensor([size[0] - side + 1, size[1] - side + 1])
        return (torch.rand(count, 2, generator=generator) * free).long()


def opaque(colours: Tensor, box: tuple[int, int, int], *, like: Tensor) -> Tensor:
    """Return the perturbation `[3,H,W]` of -1 and +1 that puts `colours` `[3,S,S]` into `box` (top, left, side)."""
    top, left, side = box
    delta = torch.zeros_like(like)
    delta[:, top : top + side, left : left + side] = 2 * colours.round() - 1
    return delta


@dataclass(frozen=True, eq=False)
class Sticker:
    """An opaque square of `colours` `[3,S,S]` on each image of an update, at `corners` int64 `[B,2]` (top, left)."""

    colours: Tensor
    corners: Tensor

    def over(self, pixels: Tensor, rows: Tensor) -> Tensor:
        """Return `pixels` `[b,3,H,W]` with the sticker on each, where those `rows` of `corners` say."""
        shown = pixels.clone()
        for image, (top, left) in zip(shown, self.corners[rows].tolist(), strict=True):
            image[self._square(top, left)] = self.colours.to(pixels)
        return shown

    def gradient(
        self, losses: Losses, members: Sequence[Member], images: Readable, positions: Tensor, *, chunk: int
    ) -> Tensor:
        """Return the gradient of the summed loss in the sticker's colours, `[3,S,S]`."""
        total = torch.zeros_like(self.colours)
        for rows in in_groups(torch.arange(len(positions)), chunk):
            part = positions[rows]
            clean = images.load(part.numpy())
            pixels = self.over(clean, rows)
            for member in members:
                classifier = member.classifier
                known = member.knows(images, part, clean.to(classifier.device, classifier.dtype))
                slope = _slope(losses, classifier, pixels.to(classifier.device, classifier.dtype, copy=True), known)
                for image, (top, left) in zip(slope, self.corners[rows].tolist(), strict=True):
                    total += image[self._square(top, left)].to(total)
        return total

    def _square(self, top: int, left: int) -> tuple[slice, slice, slice]:
        side = self.colours.shape[-1]
        return slice(None), slice(top, top + side), slice(left, left + side)


def _slope(losses: Losses, classifier: Classifier, shown: Tensor, known: Tensor) -> Tensor:
    with torch.enable_grad():
        at = shown.requires_grad_()
        (slope,) = torch.autograd.grad(losses(classifier, at, known).sum(), at)
    return slope
