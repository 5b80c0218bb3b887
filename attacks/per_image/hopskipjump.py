"""HopSkipJump: along the boundary towards the original, from the predicted labels alone.

Chen, Jordan & Wainwright, "HopSkipJumpAttack: a query-efficient decision-based attack", IEEE S&P 2020, algorithm 2,
with the constants of the authors' code.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from attacks.base import ImageProposal, check_choice, check_positive
from attacks.per_image.starts import StartImages
from attacks.per_image.trial import Trial, generators
from attacks.threat import Knowledge, Norm, Threat
from wolfhound.classifier import Classifier

_AT_ONCE = 50
"""How many neighbours of one image go through the network at a time, and are drawn at a time."""

HALVINGS = 40


@dataclass(frozen=True)
class HopSkipJump:
    """Estimate the boundary's normal from labels, jump along it, and come back to the boundary nearer to the original.

    Each iteration t asks about first_evaluations * sqrt(t) random neighbours of the present boundary point, whose
    signed mean is the normal; jumps along it (linf: along its sign) by the distance over sqrt(t), halved until the jump
    succeeds; and searches by bisection from there towards the original (L2: on the line between them; linf: by clipping
    to ever smaller cubes). With a threat, an image stops as soon as its boundary point lies within epsilon and, moved
    out to epsilon along its own direction and rounded to 8 bit, succeeds. Without one, all iterations are spent, and
    the last point is moved out as little as survives rounding.

    An untargeted attack starts from random pictures, a targeted one from pictures labelled with its target (`starts`);
    where the network takes none of them for the target, the image is given up: it stays as it is and takes no step.

    Attributes:
        iterations: how often the normal is estimated.
        first_evaluations: neighbours asked about in the first iteration.
        most_evaluations: neighbours asked about in any iteration at most.
        gamma: the bisection ends within gamma / d^(3/2) of the line (L2) or gamma / d^2 of the distance (linf), for
            images of d numbers.
        most_starts: pictures tried to start from.
        norm: what is kept small where there is no threat; the threat's own norm otherwise.
        targeted: whether the classes given are to be reached.
        starts: the pictures to start from.
    """

    iterations: int = 40
    first_evaluations: int = 100
    most_evaluations: int = 10_000
    gamma: float = 1.0
    most_starts: int = 200
    norm: Norm = "l2"
    targeted: bool = False
    starts: StartImages = field(default_factory=StartImages)

    name: ClassVar[str] = "hopskipjump"
    title: ClassVar[str] = "HopSkipJump"
    source: ClassVar[str] = "Chen et al., HopSkipJumpAttack, IEEE S&P 2020"
    access: ClassVar[Knowledge] = "black-box label"

    def __post_init__(self) -> None:
        check_choice(self, "norm", ("linf", "l2"))
        check_positive(self, "iterations", "first_evaluations", "most_evaluations", "gamma", "most_starts")

    def propose(
        self, classifier: Classifier, pixels: Tensor, targets: Tensor, threat: Threat | None, *, seeds: Tensor
    ) -> ImageProposal:
        """See `attacks.base.ImageAttack`. An image that succeeds when clean takes no step and stays as it is.

        Raises:
            DataError: `starts` are pictures of another size, or none of them is labelled with a class to reach.
        """
        trial = Trial(classifier, pixels, targets, threat, targeted=self.targeted)
        norm: Norm = self.norm if threat is None else threat.norm
        trial.begin()
        sources = generators(seeds)
        rows, at = self._started(trial, trial.still(), sources)
        at, reach = self._to_boundary(trial, at, rows, norm)
        for iteration in range(1, self.iterations + 1):
            if threat is not None:
                rows, at, reach = _without_found(trial, at, rows, reach)
            if not len(rows):
                return trial.proposal()
            trial.step(rows)
            normal = self._normals(trial, at, rows, reach, iteration, norm, sources)
            jumped = self._jumped(trial, at, rows, Threat(norm, 0.0).steepest(normal), iteration, norm)
            at, reach = self._to_boundary(trial, jumped, rows, norm)
        if threat is not None:
            rows, at, _ = _without_found(trial, at, rows, reach)
            trial.offer(at, rows)
        else:
            trial.push_out(at, rows)
        return trial.proposal()

    def _started(self, trial: Trial, rows: Tensor, sources: Sequence[torch.Generator]) -> tuple[Tensor, Tensor]:
        """Return the rows for which some picture succeeds, and those pictures."""
        found = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        at = trial.pixels[rows]
        pictures = [self._pictures(trial, row, sources[row]) for row in rows.tolist()]
        for _ in range(self.most_starts):
            left = {i: next(pictures[i], None) for i in torch.nonzero(~found)[:, 0].tolist()}
            drawn = {i: picture for i, picture in left.items() if picture is not None}
            if not drawn:
                break
            asked = torch.tensor(list(drawn), device=rows.device)
            tried = torch.stack(list(drawn.values())).to(at)
            success = trial.succeeds(trial.logits(tried, rows[asked]), rows[asked])
            at[asked[success]] = tried[success]
            found[asked[success]] = True
        return rows[found], at[found]

    def _pictures(self, trial: Trial, row: int, source: torch.Generator) -> Iterator[Tensor]:
        target = int(trial.classes[row]) if self.targeted else None
        return self.starts.pictures(trial.pixels.shape[-2:], source, target=target)

    def _to_boundary(self, trial: Trial, outside: Tensor, rows: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
        """Return the nearest point to the original that still succeeds on the way from `outside`, and the way's length.

        Only points known to succeed are returned.
        """
        clean = trial.pixels[rows]
        reach = Threat(norm, 0.0).size(outside - clean)
        numbers = clean[0].numel() if len(clean) else 1
        precision = self.gamma / numbers ** (1.5 if norm == "l2" else 2)
        high = (torch.ones_like(reach) if norm == "l2" else reach).to(clean.dtype)
        low, nearest = torch.zeros_like(high), outside
        for _ in range(math.ceil(math.log2(1 / precision)) if precision < 1 else 0):
            if not len(rows):
                break
            middle = (low + high) / 2
            tried = _between(clean, outside, middle[:, None, None, None], norm)
            success = trial.succeeds(trial.logits(tried, rows), rows)
            low, high = torch.where(success, low, middle), torch.where(success, middle, high)
            nearest = torch.where(success[:, None, None, None], tried, nearest)
        return nearest, reach

    def _normals(
        self,
        trial: Trial,
        at: Tensor,
        rows: Tensor,
        reach: Tensor,
        iteration: int,
        norm: Norm,
        sources: Sequence[torch.Generator],
    ) -> Tensor:
        """Return the estimated normal of the boundary at each point, pointing to where the attack succeeds."""
        evaluations = min(int(self.first_evaluations * math.sqrt(iteration)), self.most_evaluations)
        share = self.gamma / at[0].numel()  # sqrt(d) times the bisection's d^(-3/2), or d times its d^(-2)
        radii = [0.1 if iteration == 1 else share * float(length) for length in reach]
        found = [
            _normal(trial, point, int(row), radius, evaluations, norm, sources[int(row)])
            for point, row, radius in zip(at, rows, radii, strict=True)
        ]
        return torch.stack(found)

    def _jumped(self, trial: Trial, at: Tensor, rows: Tensor, direction: Tensor, iteration: int, norm: Norm) -> Tensor:
        """Return the points after the longest jump out of the halved ones that succeeds; where none does, `at`."""
        jumped = at.clone()
        length = (Threat(norm, 0.0).size(at - trial.pixels[rows]) / math.sqrt(iteration)).to(at.dtype)
        left = torch.arange(len(rows), device=rows.device)
        for _ in range(HALVINGS):
            if not len(left):
                break
            tried = (at[left] + length[left, None, None, None] * direction[left]).clamp_(0, 1)
            success = trial.succeeds(trial.logits(tried, rows[left]), rows[left])
            jumped[left[success]] = tried[success]
            left = left[~success]
            length = length / 2
        return jumped


def _normal(
    trial: Trial, at: Tensor, row: int, radius: float, evaluations: int, norm: Norm, source: torch.Generator
) -> Tensor:
    """Return the mean of random directions around one point, signed by success less its mean (equations 9 and 16)."""
    signed, plain, positive = torch.zeros_like(at), torch.zeros_like(at), 0
    for start in range(0, evaluations, _AT_ONCE):
        shape = (min(_AT_ONCE, evaluations - start), *at.shape)
        drawn = torch.randn(shape, generator=source) if norm == "l2" else torch.rand(shape, generator=source) * 2 - 1
        unit = (drawn / drawn.flatten(1).norm(dim=1)[:, None, None, None]).to(at)
        tried = (at + radius * unit).clamp_(0, 1)
        rows = torch.full((len(tried),), row, device=at.device)
        success = trial.succeeds(trial.logits(tried, rows), rows)
        moved = (tried - at) / radius
        signed += (moved * torch.where(success, 1.0, -1.0).to(at)[:, None, None, None]).sum(dim=0)
        plain += moved.sum(dim=0)
        positive += int(success.sum())
    if positive in (0, evaluations):
        return signed
    return signed - (2 * positive / evaluations - 1) * plain


def _between(clean: Tensor, outside: Tensor, share: Tensor, norm: Norm) -> Tensor:
    """Return the point at `share` of the line to `outside` (L2), or `outside` clipped to that distance (linf)."""
    if norm == "l2":
        return (1 - share) * clean + share * outside
    return torch.minimum(torch.maximum(outside, clean - share), clean + share)


def _without_found(trial: Trial, at: Tensor, rows: Tensor, reach: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Keep what succeeds within the threat; return the rows that go on and where they are."""
    going = ~trial.settle_at_epsilon(at, rows, torch.ones_like(rows, dtype=torch.bool))
    return rows[going], at[going], reach[going]
