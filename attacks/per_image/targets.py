"""Which class each image is pushed to, from which start, and how often each class was pushed to each other one."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from attacks.base import ImageAttack
from attacks.judge import predictions, uint8_batches
from attacks.per_image.driver import attack_images, blank_images, noise_images, random_targets
from attacks.threat import Threat
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import DataError, PlanError
from wolfhound.evidence import RateTable
from wolfhound.images import ImageSet, PixelFile
from wolfhound.metrics import NOT_ALREADY_TARGET
from wolfhound.progress import Progress, silent
from wolfhound.statistics import Rate

RULES = ("random", "least likely", "second best")
"""Targets that differ from image to image: any class but the label; the lowest logit; the highest but the first."""

Start = Literal["noise", "blank"]
Source = Literal["label", "clean"]


def chosen_targets(
    rule: str | int,
    classifier: Classifier,
    images: ImageSet,
    *,
    generator: torch.Generator,
    batch_size: int = 64,
) -> NDArray[np.int64]:
    """Return the class that each image is to be pushed to, int64 `[N]`.

    `rule` is one of `RULES`, a class name or a class index. "second best" and "least likely" are never the class that
    the network sees in the clean image, "random" is never the label. (The least likely class: Kurakin et al.,
    "Adversarial examples in the physical world", ICLR 2017 workshop, section 2.)

    Raises:
        PlanError: no such rule, name or index, or a rule that is also the name of a class.
        DataError: fewer than two classes.
    """
    names = classifier.class_names
    fixed = fixed_target(rule, names)
    if fixed is not None:
        return _constant(fixed, len(images))
    if len(names) < 2:
        raise DataError(f"expected at least two classes to choose a target from, got {len(names)}")
    if rule == "random":
        return random_targets(images.labels, classes=len(names), generator=generator)
    return _by_rank(classifier, images, rank=1 if rule == "second best" else len(names) - 1, batch_size=batch_size)


def fixed_target(rule: str | int, names: Sequence[str]) -> int | None:
    """Return the index of the class that `rule` names, or None where it is a rule that differs from image to image.

    Raises:
        PlanError: no such rule, name or index, or a rule that is also the name of a class.
    """
    if isinstance(rule, int):
        return _checked_index(rule, names)
    if rule in RULES and rule in names:
        raise PlanError(f"expected a target that is one thing, got {rule!r}, a rule and a class (give its index)")
    if rule in names:
        return list(names).index(rule)
    if rule not in RULES:
        raise PlanError(f"expected a target out of {', '.join(RULES)}, a class name or an index, got {rule!r}")
    return None


def _constant(index: int, count: int) -> NDArray[np.int64]:
    return np.full(count, index, dtype=np.int64)


def _checked_index(index: int, names: Sequence[str]) -> int:
    if isinstance(index, bool) or not 0 <= index < len(names):
        raise PlanError(f"expected a target class index in [0, {len(names)}), got {index!r}")
    return index


def _by_rank(classifier: Classifier, images: ImageSet, *, rank: int, batch_size: int) -> NDArray[np.int64]:
    """Return the class of each clean image with that rank among the logits, 0 the highest."""
    parts = []
    with frozen(classifier.module), torch.no_grad():
        for _, batch in uint8_batches(images, batch_size):
            logits = classifier.logits(batch.to(classifier.device).to(classifier.dtype).div_(255))
            order = logits.argsort(dim=1, descending=True, stable=True)  # the first, as argmax has it
            parts.append(order[:, rank].cpu().numpy())
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def start_images(
    start: Start,
    classifier: Classifier,
    count: int,
    size: tuple[int, int],
    *,
    folder: Path,
    generator: torch.Generator,
) -> ImageSet:
    """Return `count` images of noise or of blank grey to start from, written below `folder`.

    Blank images rise in level from black to white, so that no two are alike. Their labels are what the network sees in
    them, as they have no others.
    """
    if start == "noise":
        pixels = noise_images(count, size, generator=generator)
    else:
        levels = np.linspace(0, 255, count + 2)[1:-1].round().astype(int)
        pixels = torch.cat([blank_images(1, size, level=int(level)) for level in levels])
    with frozen(classifier.module):
        labels = np.concatenate([predictions(classifier, pixels[i : i + 64]) for i in range(0, count, 64)])
    path = folder / f"{start}-{count}-{size[0]}x{size[1]}.raw"
    array = pixels.numpy()
    array.tofile(path)
    return ImageSet(
        name=f"{start} images",
        pixels=PixelFile(path, array.shape),
        rows=np.arange(count, dtype=np.int64),
        labels=labels,
        class_names=classifier.class_names,
        hashes=tuple(hashlib.sha256(image.tobytes()).hexdigest() for image in array),
    )


@dataclass(frozen=True, eq=False)
class PairTable:
    """How often images of each source class were pushed to each target class.

    Attributes:
        classes: the class names of rows and columns.
        successes: int64 `[sources,targets]`.
        totals: attacked images that were not predicted as the target when clean, int64 `[sources,targets]`.
    """

    classes: tuple[str, ...]
    successes: NDArray[np.int64]
    totals: NDArray[np.int64]

    def rate(self, source: str, target: str) -> Rate:
        """Return one cell; 0 of 0 where no such image was attacked."""
        at = self.classes.index(source), self.classes.index(target)
        return Rate(self.successes[at], self.totals[at], NOT_ALREADY_TARGET)

    @property
    def overall(self) -> Rate:
        """The rate over all pairs."""
        return Rate(self.successes.sum(), self.totals.sum(), NOT_ALREADY_TARGET)

    def table(self, name: str, title: str, *, note: str = "") -> RateTable:
        """Return the table for a report; cells that nothing was counted in are empty."""
        cells = tuple(
            tuple(rate if (rate := self.rate(source, target)).measured else None for target in self.classes)
            for source in self.classes
        )
        return RateTable(name, title, "source class", "target class", self.classes, self.classes, cells, note=note)


def count_pairs(ledger: pd.DataFrame, class_names: tuple[str, ...], *, source: Source = "label") -> PairTable:
    """Return the counts of a targeted ledger (of `attacks.per_image.driver`) by source and target class.

    `source` is the column that says which class an image comes from: its label, or the clean prediction (for images
    without a true label). Images that already were their target when clean are counted nowhere.
    """
    counted = ledger[ledger["clean"] != ledger["target"]]
    rows, columns = counted[source].to_numpy(dtype=np.int64), counted["target"].to_numpy(dtype=np.int64)
    reached = (counted["adversarial"] == counted["target"]).to_numpy()
    successes = np.zeros((len(class_names), len(class_names)), dtype=np.int64)
    totals = np.zeros_like(successes)
    np.add.at(totals, (rows, columns), 1)
    np.add.at(successes, (rows[reached], columns[reached]), 1)
    return PairTable(class_names, successes, totals)


def attack_every_class(
    attack: ImageAttack,
    classifier: Classifier,
    images: ImageSet,
    threat: Threat | None,
    *,
    generator: torch.Generator,
    classes: Sequence[int] | None = None,
    batch_size: int = 64,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Return the ledgers of pushing every image to every class of `classes` (None: all) but its label, as one.

    That is a run of the attack for each image and class: with many classes, name the few that matter.

    Raises:
        PlanError: the attack does not reach classes, or a class index is outside the classes.
        DataError: there is nothing to attack.
    """
    if not attack.targeted:
        raise PlanError(f"{attack.name}: expected an attack that reaches a class, got one that leaves its own")
    chosen = range(len(classifier.class_names)) if classes is None else classes
    parts = []
    for target in chosen:
        index = _checked_index(target, classifier.class_names)
        others = np.flatnonzero(images.labels != index)
        if len(others):
            part = attack_images(
                attack,
                classifier,
                images.subset(others),
                _constant(index, len(others)),
                threat,
                generator=generator,
                batch_size=batch_size,
                progress=progress,
            )
            parts.append(part.ledger)
    if not parts:
        raise DataError(f"{images.name}: expected an image of another class than the targets, got none")
    return pd.concat(parts, ignore_index=True)
