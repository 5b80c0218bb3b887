"""Square attack: random search over square patches, from scores alone.

Andriushchenko, Croce, Flammarion & Hein, "Square Attack: a query-efficient black-box adversarial attack via random
search", ECCV 2020: algorithm 1 with the distributions of algorithms 2 (linf) and 3 (L2).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from attacks.base import ImageProposal, check_positive
from attacks.per_image.square_patches import NUMBERS, changed, first_change
from attacks.per_image.trial import Trial, generators
from attacks.threat import Knowledge, Threat
from wolfhound.classifier import Classifier

_SCHEDULE = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""After these of 10,000 iterations the patch's share of the pixels halves (section 4.1 and the authors' code)."""

_BLOCK = 100
"""How many iterations' random numbers are drawn at once from each image's generator; no result depends on it."""


@dataclass(frozen=True)
class Square:
    """Change one square patch at a time and keep the change where the score says that it helped.

    The score is the lead of the class to leave over the highest other logit; where a class is to be reached, the
    cross-entropy of it, as in the authors' code. Departure: each image draws its own patches from its own seed (the
    authors' code takes one place for the whole batch), so that images do not depend on their batch.

    Attributes:
        most_queries: candidates that the network is asked about for each image. The questions whether the clean image
            and a success as delivered hold come on top, and are counted as queries too.
        share: the patch's share of the pixels at the start.
        rescaled: whether the schedule of shrinking patches is squeezed into `most_queries`; the standard ensemble
            leaves it at the 10,000 queries that it was made for.
        targeted: whether the classes given are to be reached.
    """

    most_queries: int = 5000
    share: float = 0.8
    rescaled: bool = False
    targeted: bool = False

    name: ClassVar[str] = "square"
    title: ClassVar[str] = "Square attack"
    source: ClassVar[str] = "Andriushchenko et al., Square Attack, ECCV 2020"
    access: ClassVar[Knowledge] = "black-box score"

    def __post_init__(self) -> None:
        check_positive(self, "most_queries", "share")
        if self.share > 1:
            raise ValueError(f"expected share at most 1, got {self.share}")

    def propose(
        self, classifier: Classifier, pixels: Tensor, targets: Tensor, threat: Threat | None, *, seeds: Tensor
    ) -> ImageProposal:
        """See `attacks.base.ImageAttack`. An image that succeeds when clean takes no step and stays as it is."""
        trial = Trial(classifier, pixels, targets, threat, targeted=self.targeted)
        trial.begin()
        rows, sources = trial.still(), generators(seeds)
        if not len(rows):
            return trial.proposal()
        best = first_change(trial.pixels[rows], trial.bound, [sources[row] for row in rows.tolist()])
        rows, best, lowest = self._asked(trial, best, rows)
        lowest = lowest.to(best)
        for taken in range(1, self.most_queries):
            if not len(rows):
                break
            if (taken - 1) % _BLOCK == 0:
                drawn = _numbers(sources, rows)
            tried = self._tried(trial, best, rows, drawn[rows, (taken - 1) % _BLOCK].to(best), taken)
            trial.step(rows)
            logits = trial.logits(tried, rows)
            score, hopeful = self._score(trial, logits, rows), trial.succeeds(logits, rows)
            better = torch.nonzero(score < lowest)[:, 0]
            if len(better):  # few are, so that these are copied and not all
                best[better], lowest[better] = tried[better], score[better]
            if bool(hopeful.any()):
                going = ~trial.settle(tried, rows, hopeful)
                rows, best, lowest = rows[going], best[going], lowest[going]
        trial.offer(best, rows)
        return trial.proposal()

    def _asked(self, trial: Trial, at: Tensor, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = trial.logits(at, rows)
        going = ~trial.settle(at, rows, trial.succeeds(logits, rows))
        return rows[going], at[going], self._score(trial, logits, rows)[going]

    def _tried(self, trial: Trial, best: Tensor, rows: Tensor, numbers: Tensor, taken: int) -> Tensor:
        height, width = best.shape[-2:]
        iteration = taken * 10_000 // self.most_queries if self.rescaled else taken
        side = math.sqrt(patch_share(self.share, iteration) * height * width)
        return changed(best, trial.pixels[rows], trial.bound, side, numbers)

    def _score(self, trial: Trial, logits: Tensor, rows: Tensor) -> Tensor:
        """Return what is to be lowered, `[b]`."""
        if self.targeted:
            return functional.cross_entropy(logits, trial.classes[rows], reduction="none")
        return trial.lead(logits, rows)


def patch_share(share: float, iteration: int) -> float:
    """Return the patch's share of the pixels at an iteration of a schedule of 10,000.

    >>> [patch_share(0.8, i) for i in (1, 10, 11, 300, 9000)]
    [0.8, 0.8, 0.4, 0.1, 0.0015625]
    """
    return float(share / 2 ** sum(iteration > passed for passed in _SCHEDULE))


def _numbers(sources: Sequence[torch.Generator], rows: Tensor) -> Tensor:
    """Return uniform numbers in [0, 1) for the next iterations of each of `rows`, `[B, _BLOCK, NUMBERS]`."""
    drawn = torch.zeros((len(sources), _BLOCK, NUMBERS), device=rows.device)
    for row in rows.tolist():
        drawn[row] = torch.rand((_BLOCK, NUMBERS), generator=sources[row]).to(drawn)
    return drawn
