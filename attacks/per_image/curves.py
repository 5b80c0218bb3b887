"""Accuracy against epsilon, from the smallest successful size of each image, so that it can only fall."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from attacks.base import ImageAttack
from attacks.judge import predict
from attacks.per_image.driver import attack_images
from attacks.threat import LARGEST_L2, Norm, Threat
from wolfhound.classifier import Classifier
from wolfhound.errors import DataError, PlanError
from wolfhound.images import ImageSet
from wolfhound.metrics import HELD_OUT
from wolfhound.progress import Progress, silent
from wolfhound.statistics import Rate

FINEST: Mapping[Norm, float] = MappingProxyType({"linf": 1 / 255, "l2": 1 / 64})
"""The distance between neighbouring epsilons of a search: one level in linf."""

_ROUND_OFF = 1e-9


@dataclass(frozen=True, eq=False)
class SizeCurve:
    """The smallest size at which each image was seen to be fooled, and the curves that follow from it.

    An upper bound for every image: an attack that finds nothing smaller proves nothing. So the true accuracy is at most
    what the curve says.

    Attributes:
        norm: how sizes are measured.
        sizes: smallest successful size on the pixel scale, float64 `[N]`; 0 for an image that has the attack's goal
            when clean (for an attack that leaves the label: one that is wrong), infinite for one never fooled.
        denominator: what the images are called.
    """

    norm: Norm
    sizes: NDArray[np.float64]
    denominator: str = HELD_OUT

    def __post_init__(self) -> None:
        if self.sizes.ndim != 1 or np.isnan(self.sizes).any() or (self.sizes < 0).any():
            raise ValueError(f"expected sizes [N] of at least 0, got {self.sizes}")

    def accuracy(self, epsilon: float) -> Rate:
        """Return the share of images that no perturbation of at most `epsilon` was seen to fool."""
        return Rate(int((self.sizes > epsilon + _ROUND_OFF).sum()), len(self.sizes), self.denominator)

    @property
    def steps(self) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The whole curve: the epsilons at which it falls, rising, and how many images are left from each on.

        Its first epsilon is 0. The last count is 0 unless some image was never fooled.
        """
        falls = np.unique(np.concatenate([[0.0], self.sizes[np.isfinite(self.sizes)]]))
        left = len(self.sizes) - np.searchsorted(np.sort(self.sizes), falls, side="right")
        return falls, left.astype(np.int64)

    @property
    def zero_at(self) -> float:
        """The least epsilon at which no image is left; infinite where some image was never fooled.

        Raises:
            ValueError: there is no image.
        """
        self._check_any()
        return float(self.sizes.max())

    @property
    def median_size(self) -> float:
        """The median over the images that do not have the goal when clean; infinite where fewer than half were fooled.

        Raises:
            ValueError: there is no such image.
        """
        needing = np.sort(self.sizes[self.sizes > 0])
        if not len(needing):
            raise ValueError("expected an image that has to be perturbed, got none")
        middle = needing[(len(needing) - 1) // 2 : len(needing) // 2 + 1]
        return float(middle.mean())

    def frame(self, epsilons: Sequence[float]) -> pd.DataFrame:
        """Return a row an epsilon: epsilon, right (count), total, percent, low_95, high_95 (Wilson, percent).

        Raises:
            ValueError: there is no image.
        """
        self._check_any()
        records = []
        for epsilon in epsilons:
            rate = self.accuracy(epsilon)
            bounds = rate.interval()
            records.append(
                {
                    "epsilon": epsilon,
                    "right": rate.successes,
                    "total": rate.total,
                    "percent": rate.percent,
                    "low_95": 100 * bounds.low,
                    "high_95": 100 * bounds.high,
                }
            )
        return pd.DataFrame.from_records(records)

    def _check_any(self) -> None:
        if not len(self.sizes):
            raise ValueError("expected at least one image, got none")


def curve_of_ledger(ledger: pd.DataFrame, norm: Norm, *, denominator: str = HELD_OUT) -> SizeCurve:
    """Return the curve of an attack that keeps the perturbation small, from its ledger without a threat.

    The sizes are those of the delivered 8-bit images. An image that had its goal when clean has size 0.
    """
    sizes = np.where(ledger["success"], ledger[norm].to_numpy(dtype=np.float64), np.inf)
    return SizeCurve(norm, sizes, denominator)


def curve_by_bisection(
    attack: ImageAttack,
    classifier: Classifier,
    images: ImageSet,
    targets: NDArray[np.int64],
    norm: Norm,
    *,
    generator: torch.Generator,
    finest: float | None = None,
    largest: float | None = None,
    batch_size: int = 64,
    progress: Progress = silent,
) -> SizeCurve:
    """Return the curve of an attack that needs an epsilon, from a search over epsilon for each image.

    Epsilons are whole multiples of `finest` (None: see `FINEST`): 1, 2, 4 and so on until the image is fooled or
    `largest` (None: 1 in linf, the diagonal of the pixel cube in L2) is passed, then halved in between the last that
    failed and the first that did not. Images at the same epsilon are attacked together. An image's size is that of the
    smallest perturbation that fooled it, which may be below its epsilon, and at most `finest` above what a finer
    search would say; it is 0 where the image has its goal when clean, for which no attack is run.

    Raises:
        PlanError: `finest` and `largest` leave no epsilon.
        DataError: targets that do not fit the images or classes.
    """
    if targets.shape != (len(images),):
        raise DataError(f"expected {len(images)} targets, one an image, got shape {list(targets.shape)}")
    ladder = _Ladder.of(len(images), norm, FINEST[norm] if finest is None else finest, largest, images.size)
    clean = predict(classifier, images, batch_size=batch_size, progress=progress)
    ladder.leave_out(np.flatnonzero((clean == targets) == attack.targeted))
    while True:
        asked = ladder.next_multiples()
        if not (asked > 0).any():
            return SizeCurve(norm, ladder.sizes)
        for multiple in np.unique(asked[asked > 0]).tolist():
            rows = np.flatnonzero(asked == multiple)
            found = attack_images(
                attack,
                classifier,
                images.subset(rows),
                targets[rows],
                Threat(norm, min(multiple * ladder.finest, ladder.most)),
                generator=generator,
                batch_size=batch_size,
                progress=progress,
            )
            ladder.note(rows, multiple, found.ledger)


def most_runs(norm: Norm, size: tuple[int, int]) -> int:
    """Return how often `curve_by_bisection` attacks one image of that size (height, width) at most.

    With `top` multiples of the finest epsilon: ceil(log2(top)) + 1 times while it rises, and as often, but for twice,
    while it halves. Rounded up to twice the bits of `top`.

    >>> most_runs("linf", (224, 224))
    16
    """
    return 2 * _Ladder.of(1, norm, FINEST[norm], None, size).top.bit_length()


@dataclass(frozen=True, eq=False)
class _Ladder:
    """For each image the largest multiple that failed, the smallest that did not, and the smallest size that fooled."""

    norm: Norm
    finest: float
    most: float
    top: int
    failed: NDArray[np.int64]
    fooled: NDArray[np.int64]
    sizes: NDArray[np.float64]

    @classmethod
    def of(cls, count: int, norm: Norm, finest: float, largest: float | None, size: tuple[int, int]) -> "_Ladder":
        diagonal = min(math.sqrt(3 * size[0] * size[1]), LARGEST_L2)
        most = (1.0 if norm == "linf" else diagonal) if largest is None else largest
        if not 0 < finest <= most:
            raise PlanError(f"expected 0 < finest <= largest, got {finest} and {most}")
        top = math.ceil(most / finest * (1 - _ROUND_OFF))
        open_end = np.full(count, top + 1)
        return cls(norm, finest, most, top, np.zeros(count, dtype=np.int64), open_end, np.full(count, np.inf))

    def leave_out(self, rows: NDArray[np.int64]) -> None:
        """Give the images at `rows`, which need no perturbation, size 0."""
        self.fooled[rows] = 0
        self.sizes[rows] = 0.0

    def next_multiples(self) -> NDArray[np.int64]:
        """Return the multiple that each image is to be tried at, 0 where it is done."""
        rising = np.clip(2 * self.failed, 1, self.top)
        between = (self.failed + self.fooled) // 2
        wanted: NDArray[np.int64] = np.where(self.fooled > self.top, rising, between)
        wanted[self.fooled - self.failed <= 1] = 0
        return wanted

    def note(self, rows: NDArray[np.int64], multiple: int, ledger: pd.DataFrame) -> None:
        """Write down what happened to the images at `rows` at that multiple."""
        success, size = ledger["success"].to_numpy(), ledger[self.norm].to_numpy(dtype=np.float64)
        self.failed[rows[~success]] = multiple
        won = rows[success]
        reached = np.ceil(size[success] / self.finest * (1 - _ROUND_OFF)).astype(np.int64)
        self.fooled[won] = np.maximum(reached, self.failed[won] + 1)
        self.sizes[won] = np.minimum(self.sizes[won], size[success])
