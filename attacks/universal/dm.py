"""DM-UAP: each update ascends at the weights and images on which it is hardest to fool the network."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from attacks.base import Proposal, Tiers, check_choice, check_positive, in_groups
from attacks.threat import Threat
from attacks.universal.adam import UPDATES, direction, moments, pixel_scale
from attacks.universal.ensemble import Losses, Member, Readable, labelled
from attacks.universal.losses import clipped_cross_entropy
from attacks.universal.minibatches import State, minibatch_proposals, starting_point
from attacks.universal.sgd import to_target
from attacks.universal.views import AUGMENTS, Augment, Viewed
from wolfhound.classifier import Classifier
from wolfhound.images import ImageSet
from wolfhound.progress import Advance

IMAGE_STRIDE = 1.25
"""Length of all steps on an image together, in radii: the paper's 10 steps are an eighth of the radius long."""


@dataclass(frozen=True)
class DmUniversal:
    """max over v of min over the weights and min over the images of the clipped cross-entropy, near the given ones.

    Zhang et al., "Improving Generalization of Universal Adversarial Perturbation via Dynamic Maximin Optimization",
    AAAI 2025, algorithm 1, with the settings of the authors' code. For each minibatch of clean images, `weight_steps`
    normalised descent steps on the weights lower the label-smoothed cross-entropy, then `image_steps` L2 descent steps
    on the images lower the cross-entropy; at that pair, where the network is surer of its prediction, one Adam step on
    v ascends. Both radii grow by an equal part each pass. Then the weights are as they were, bit for bit.

    Departures:

    1. The network stays in evaluation mode throughout; the authors' code descends on the weights in training mode,
       where normalisation statistics of the minibatch come in.
    2. Radii are relative: `weight_radius` to the L2 length of all weights together, `image_radius` is a root mean
       square a number; the paper's 4 and 25 are for networks of ImageNet size.
    3. x + v is clipped to [0, 1], as it is when it is judged.
    4. Adam, not AdamW: v has no prior that a weight decay would express.

    With a target class, the pair is still the one that favours the clean prediction, and v ascends minus the
    cross-entropy to the target there.

    Attributes:
        passes: how often every crafting image is used (the paper: 20).
        images_per_update: images of one update (the paper: 125 of 500).
        step: Adam's learning rate as a share of epsilon (the paper: 0.1 at 10/255, a share of 2.55: each update throws
            most pixels to a bound).
        weight_radius: how far the weights go in the last pass, as a share of their L2 length.
        weight_steps: descent steps on the weights (the paper: 10).
        image_radius: how far an image goes in the last pass, root mean square on the pixel scale (the paper: 25 in L2
            at 224x224, which is 0.064).
        image_steps: descent steps on the images (the paper: 10), together 1.25 radii long.
        smoothing: label smoothing of the loss that the weights descend (the paper: 0.2).
        clip: cross-entropy (nats) above which an image no longer counts for v (the paper: 9).
        augment: "none", as in the paper, "flips", "shifts", "crops" or "mixes", "auto" by the images' size (see
            `views`), drawn anew for each update.
    """

    passes: int = 20
    images_per_update: int = 32
    step: float = 0.5
    weight_radius: float = 0.03
    weight_steps: int = 3
    image_radius: float = 0.064
    image_steps: int = 3
    smoothing: float = 0.2
    clip: float = 9.0
    augment: Augment = "auto"

    name: ClassVar[str] = "dm_uap"
    title: ClassVar[str] = "DM-UAP"
    source: ClassVar[str] = "Zhang et al., Improving Generalization of UAP via Dynamic Maximin Optimization, AAAI 2025"
    tiers: ClassVar[Tiers] = {"quick": {"passes": 5}, "nightly": {}, "certification": {"passes": 60}}
    gradients_exact: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_positive(self, "passes", "images_per_update", "step", "clip", "weight_steps", "image_steps")
        check_choice(self, "augment", AUGMENTS)
        if self.weight_radius < 0 or self.image_radius < 0 or not 0 <= self.smoothing < 1:
            raise ValueError(
                "expected radii of at least 0 and smoothing in [0, 1), "
                f"got {self.weight_radius}, {self.image_radius} and {self.smoothing}"
            )

    def steps(self, images: int) -> int:
        """Return the images that all passes visit."""
        return self.passes * images

    def gradients(self, images: int) -> int:
        """Return the gradients of all passes: in weights, in images and in v."""
        return self.passes * images * self._per_image

    @property
    def _per_image(self) -> int:
        return self.weight_steps + self.image_steps + 1

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
        members = labelled(classifiers, images, replace(threat, target=None), chunk=chunk)
        first = classifiers[0]
        start = torch.zeros(3, *images.size, device=first.device, dtype=first.dtype)
        per_pass = math.ceil(len(images) / self.images_per_update)

        def update(state: State, positions: Tensor) -> tuple[State, int]:
            delta, ramp = state["delta"], (int(state[UPDATES]) // per_pass + 1) / self.passes
            viewed = Viewed.drawn(images, positions, self.augment, generator=generator)
            gradient = torch.zeros_like(delta)
            for member in members:
                gradient += self._gradient(member, viewed, positions, delta, threat, ramp=ramp, chunk=chunk)
            rise, after = direction(state, gradient / (len(positions) * len(members)))
            moved = delta + self.step * pixel_scale(threat, delta.numel()) * rise
            return {"delta": threat.project(moved), **after}, self._per_image * len(positions) * len(members)

        yield from minibatch_proposals(
            update,
            starting_point(classifiers, images.size, resume, **moments(start)),
            len(images),
            passes=self.passes,
            images_per_update=self.images_per_update,
            generator=generator,
            advance=advance,
        )

    def _gradient(
        self,
        member: Member,
        images: Readable,
        positions: Tensor,
        delta: Tensor,
        threat: Threat,
        *,
        ramp: float,
        chunk: int,
    ) -> Tensor:
        """Return the gradient at `delta` of the summed loss at the hardest pair within `ramp` times the radii."""
        losses = partial(clipped_cross_entropy, clip=self.clip) if threat.target is None else to_target
        parts = list(_parts(member, images, positions, chunk=chunk))  # labelled before the weights move
        with borrowed_weights(member.classifier.module) as weights:
            self._descend_weights(weights, member.classifier, parts, radius=ramp * self.weight_radius)
            total = torch.zeros_like(delta)
            for pixels, labels in parts:
                hardest = self._descended(member.classifier, pixels, labels, radius=ramp * self.image_radius)
                wanted = labels if threat.target is None else torch.full_like(labels, threat.target)
                total += _ascent(losses, member.classifier, hardest, wanted, delta)
        return total

    def _descend_weights(
        self,
        weights: Sequence[Tensor],
        classifier: Classifier,
        parts: Sequence[tuple[Tensor, Tensor]],
        *,
        radius: float,
    ) -> None:
        """Move `weights` in place by `weight_steps` normalised steps down the smoothed loss of clean images."""
        length = radius / self.weight_steps * float(_norm(weights))
        for _ in range(self.weight_steps):
            total = [torch.zeros_like(weight) for weight in weights]
            for pixels, labels in parts:
                gradient = self._weight_gradient(weights, classifier, pixels, labels)
                total = [one + other for one, other in zip(total, gradient, strict=True)]
            scale = length / float(_norm(total).clamp_min(torch.finfo(total[0].dtype).tiny))
            with torch.no_grad():
                for weight, slope in zip(weights, total, strict=True):
                    weight.sub_(scale * slope)

    def _weight_gradient(
        self, weights: Sequence[Tensor], classifier: Classifier, pixels: Tensor, labels: Tensor
    ) -> Sequence[Tensor]:
        with torch.enable_grad():
            loss = functional.cross_entropy(
                classifier.logits(pixels), labels, label_smoothing=self.smoothing, reduction="sum"
            )
            return torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)

    def _descended(self, classifier: Classifier, pixels: Tensor, labels: Tensor, *, radius: float) -> Tensor:
        """Return `pixels` moved down the cross-entropy within the L2 ball whose root mean square is `radius`."""
        ball = Threat("l2", radius * math.sqrt(pixels[0].numel()))
        current = pixels
        for _ in range(self.image_steps):
            with torch.enable_grad():
                at = current.detach().requires_grad_()
                loss = functional.cross_entropy(classifier.logits(at), labels, reduction="sum")
                (gradient,) = torch.autograd.grad(loss, at)
            moved = current - IMAGE_STRIDE * ball.epsilon / self.image_steps * ball.steepest(gradient)
            current = (pixels + ball.project(moved - pixels)).clamp(0, 1)
        return current


@contextmanager
def borrowed_weights(module: nn.Module) -> Iterator[list[nn.Parameter]]:
    """Lend the floating parameters of `module` to be changed in place; all are restored bit for bit, come what may."""
    weights = [weight for weight in module.parameters() if weight.is_floating_point()]
    kept = [(weight, weight.detach().clone(), weight.requires_grad) for weight in weights]
    try:
        for weight in weights:
            weight.requires_grad_(True)
        yield weights
    finally:
        with torch.no_grad():
            for weight, value, required in kept:
                weight.copy_(value)
                weight.requires_grad_(required)


def _parts(member: Member, images: Readable, positions: Tensor, *, chunk: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the images at `positions` on the network's device and their labels, `chunk` at a time."""
    for part in in_groups(positions, chunk):
        pixels = images.load(part.numpy()).to(member.classifier.device, member.classifier.dtype)
        yield pixels, member.knows(images, part, pixels)


def _ascent(losses: Losses, classifier: Classifier, pixels: Tensor, labels: Tensor, delta: Tensor) -> Tensor:
    with torch.enable_grad():
        at = delta.detach().to(classifier.device, classifier.dtype).requires_grad_()
        (gradient,) = torch.autograd.grad(losses(classifier, (pixels + at).clamp(0, 1), labels).sum(), at)
    return gradient.to(delta)


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    lengths = torch.stack([tensor.detach().norm() for tensor in tensors])
    whole: Tensor = lengths.norm()
    return whole
