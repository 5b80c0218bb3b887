"""Which of the usual preprocessings a network was most likely trained with."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from flows.draft_wanted import Ask
from wolfhound.classifier import Classifier, Preprocessing, frozen
from wolfhound.images import ImageSet
from wolfhound.statistics import mcnemar_exact

LOOKED_AT = 96
"""Images on which preprocessings are compared."""

SURE = 0.05
"""Two-sided exact McNemar p below which one preprocessing is said to be better than another."""

USUAL = {
    "ImageNet's": Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "none (pixels in [0, 1])": Preprocessing(),
    "0.5 and 0.5 (pixels in [-1, 1])": Preprocessing((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "none (pixels in 0..255)": Preprocessing(std=(1 / 255, 1 / 255, 1 / 255)),
    "CIFAR-10's": Preprocessing((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)),
}
"""The usual ones, the commoner first."""


@dataclass(frozen=True)
class _Tried:
    """On which images a network is right under one preprocessing, and how sure: its mean log-probability."""

    words: str
    right: NDArray[np.bool_]
    sure: float

    @property
    def count(self) -> int:
        return int(self.right.sum())


def likely_preprocessing(
    network: Classifier, images: ImageSet, *, ask: Ask | None
) -> tuple[Preprocessing, str, tuple[str, ...]]:
    """Return the usual preprocessing with which the network is right most often, in words how it was found, and notes.

    Where others are as good within the noise, nobody can know from so few images; `ask` is asked, and without it the
    commonest of them is taken, and a note says so.
    """
    sample = images.subset(np.argsort(np.array(images.hashes))[: min(LOOKED_AT, len(images))])
    tried = [_try(network, sample, words) for words in USUAL]
    best = max(tried, key=lambda each: (each.count, each.sure))
    alike = [each.words for each in tried if each is best or _as_good(each, best)]
    ranked = sorted(tried, key=lambda each: -each.count)
    shown = f"of {len(sample)} images right: " + "; ".join(f"{each.words}: {each.count}" for each in ranked)
    if len(alike) == 1:
        return USUAL[best.words], f"the best of the usual ones, {shown}", ()
    if ask is not None:
        chosen = ask(f"Which preprocessing? These are as good as one another ({shown})", alike, "--mean and --std")
        return USUAL[chosen], f"as you said, {shown}", ()
    others = ", ".join(words for words in alike if words != alike[0])
    note = f"preprocessing {alike[0]} is a guess: {others} cannot be told from it here (say --mean and --std)"
    return USUAL[alike[0]], f"the commonest of those that cannot be told apart, {shown}", (note,)


def _as_good(other: _Tried, best: _Tried) -> bool:
    """Whether the images do not tell the other from the best one."""
    lost, won = int((best.right & ~other.right).sum()), int((other.right & ~best.right).sum())
    return mcnemar_exact(lost, won) >= SURE


def _try(network: Classifier, images: ImageSet, words: str) -> _Tried:
    usual = USUAL[words]
    preprocessing = Preprocessing(usual.mean, usual.std, network.preprocessing.input_size)
    right, sure = np.zeros(len(images), dtype=bool), 0.0
    with frozen(network.module), torch.no_grad():
        for positions, pixels in images.batches(32):
            logits = network.module(preprocessing.apply(pixels.to(network.dtype)))
            labels = torch.from_numpy(images.labels[positions])
            right[positions] = (logits.argmax(dim=1) == labels).numpy()
            sure -= float(torch.nn.functional.cross_entropy(logits.double(), labels, reduction="sum"))
    return _Tried(words, right, sure / len(images))
