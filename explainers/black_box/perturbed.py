"""Scores of perturbed copies of an image, for the explainers that ask the classifier and never its gradient."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from explainers.base import Targets
from wolfhound.classifier import Classifier, frozen
from wolfhound.folding import folded
from wolfhound.memory_layout import in_channels_last

Score = Callable[[Tensor], Tensor]
"""Takes logits `[B,K]` to what is measured of each image, `[B,...]`."""


MANY = 64
"""Forward passes of one image from which on a faster copy pays."""

TRIED = 2
"""Images on which that copy has to give the same scores."""


def for_many_passes(classifier: Classifier, sample: Tensor, *, passes: int) -> Classifier:
    """Return the classifier to ask: where passes are many, a copy that gives the same scores faster.

    Channels-last layout and folded batch norms, each only where it changes nothing on `sample`.
    """
    if passes < MANY:
        return classifier
    return folded(in_channels_last(classifier, sample, gradients=False).classifier, sample)


@contextmanager
def asking(classifier: Classifier) -> Iterator[None]:
    """Hold the classifier frozen and without a graph; everything is as before afterwards, also after an exception."""
    with torch.inference_mode(False), torch.no_grad(), frozen(classifier.module):
        yield


def plain_copy(pixels: Tensor) -> Tensor:
    """The caller's pixels outside any graph or inference mode."""
    return pixels.clone() if pixels.is_inference() else pixels.detach()


def measure(classifier: Classifier, made: Callable[[slice], Tensor], score: Score, *, total: int, batch: int) -> Tensor:
    """Return `score` of `total` perturbed images, float64 on the CPU; `made(rows)` composes some of them on demand.

    Raises:
        ValueError: a score that is not finite.
    """
    found: list[Tensor] = []
    asked = classifier
    for start in range(0, total, batch):
        images = made(slice(start, min(start + batch, total)))
        if not found:
            asked = for_many_passes(classifier, images[:TRIED], passes=total)
        found.append(score(asked.logits(images).double()).cpu())
    scores = torch.cat(found)
    if not bool(torch.isfinite(scores).all()):
        raise ValueError(
            f"expected finite scores of {classifier.name}, got NaN or infinity (does it give finite logits for images "
            "of which parts are covered?)"
        )
    return scores


def probability_of(targets: Targets) -> Score:
    """The probability of each image's class, or its lead over the contrasted class's, `[B]`, of logits `[B,K]`."""
    return lambda logits: targets.scores(logits.softmax(dim=1))


def repeated(targets: Targets, image: int, count: int) -> Targets:
    """The target of one image of a batch, for `count` perturbed copies of it."""
    one = targets.rows(slice(image, image + 1))
    return Targets(one.classes.repeat(count), None if one.against is None else one.against.repeat(count))
