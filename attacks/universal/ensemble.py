"""Crafting on one network or on several: the mean over their losses, so that no method knows how many there are."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attacks.base import clean_labels, in_groups
from attacks.threat import Threat
from attacks.universal.sharing import sharing
from attacks.universal.views import Viewed
from wolfhound.classifier import Classifier, frozen
from wolfhound.images import ImageSet

Losses = Callable[[Classifier, Tensor, Tensor], Tensor]
"""(network, perturbed pixels `[B,3,H,W]` in [0, 1], what is known of them `[B,...]`) -> what to ascend, `[B]`."""


class Readable(Protocol):
    """Whatever gives the pixels at positions, float32 `[B,3,H,W]` in [0, 1]: an image set, or views of one."""

    def load(self, positions: Sequence[int] | NDArray[np.int64] | slice = ..., /) -> Tensor:
        """Return the pixels at `positions`."""
        ...


@dataclass(frozen=True, eq=False)
class Member:
    """A network that a perturbation is crafted on, and what the loss needs to know of each crafting image there.

    Attributes:
        known: `[N,...]` on the network's device, one entry a crafting image: labels, or clean logits, say.
        asked: what is known of pixels `[B,3,H,W]` on that device which no crafting image shows, `[B,...]`; None where
            it is the crafting image's in any case, as a target is.
    """

    classifier: Classifier
    known: Tensor
    asked: Callable[[Tensor], Tensor] | None = None

    def knows(self, images: Readable, part: Tensor, pixels: Tensor) -> Tensor:
        """Return what is known of the images at `part` int64 `[B]`, whose `pixels` are as `images` shows them."""
        if self.asked is not None and isinstance(images, Viewed) and images.composed:
            with torch.no_grad():
                return self.asked(pixels)
        return self.known[part.to(self.known.device)]


def labelled(
    classifiers: Sequence[Classifier],
    images: ImageSet,
    threat: Threat,
    *,
    labels: Literal["predicted", "given"] = "predicted",
    chunk: int,
) -> tuple[Member, ...]:
    """Return each network with the class that the loss is about, int64 `[N]`.

    That is the threat's target where it has one; else each network's own clean predictions, or the labels "given" with
    the image set. Of an image that is composed of two, predictions are of what it shows; a label given is that of the
    image which something was put on.
    """

    def known(classifier: Classifier) -> Tensor:
        if threat.target is not None:
            return torch.full((len(images),), threat.target)
        if labels == "given":
            return torch.from_numpy(images.labels.copy())
        return clean_labels(classifier, images, chunk=chunk)

    predicts = threat.target is None and labels == "predicted"
    return tuple(
        Member(
            classifier, known(classifier).to(classifier.device), partial(predicted, classifier) if predicts else None
        )
        for classifier in classifiers
    )


def predicted(classifier: Classifier, pixels: Tensor) -> Tensor:
    """Return the class of each image, int64 `[B]`."""
    return classifier.logits(pixels).argmax(dim=1)


def mean_gradient(
    losses: Losses, members: Sequence[Member], images: Readable, positions: Tensor, delta: Tensor, *, chunk: int
) -> Tensor:
    """Return the gradient at `delta` `[3,H,W]` of the mean loss over the images at `positions` and over the members.

    The loss of an image is that of clip(x + delta, 0, 1): a pixel that is clipped has no gradient. Each image is read
    once for all members. It takes len(positions) * len(members) gradients with respect to one image, in all processes
    together where a run is shared (see `attacks.universal.sharing`); where images are composed of two, a forward pass
    more for each, to ask what they show.
    """
    total = torch.zeros_like(delta)
    for part in in_groups(sharing().part(positions), chunk):
        pixels = images.load(part.numpy())
        for member in members:
            total += _summed_gradient(losses, member, images, pixels, part, delta)
    return sharing().total(total) / (len(positions) * len(members))


def _summed_gradient(
    losses: Losses, member: Member, images: Readable, pixels: Tensor, part: Tensor, delta: Tensor
) -> Tensor:
    classifier = member.classifier
    with torch.enable_grad():
        at = delta.detach().to(classifier.device, classifier.dtype).requires_grad_()
        placed = pixels.to(classifier.device, classifier.dtype)
        known = member.knows(images, part, placed)
        ascended = losses(classifier, (placed + at).clamp(0, 1), known).sum()
        (gradient,) = torch.autograd.grad(ascended, at)
    return gradient.to(delta)


@contextmanager
def all_frozen(classifiers: Sequence[Classifier]) -> Iterator[None]:
    """Hold every network in evaluation mode without parameter gradients (see `wolfhound.classifier.frozen`)."""
    with ExitStack() as stack:
        for classifier in classifiers:
            stack.enter_context(frozen(classifier.module))
        yield
