"""FAB-T: the nearest image of another class, by steps to the linearised boundary that are drawn back to the original.

Croce & Hein, "Minimally distorted adversarial examples with a fast adaptive boundary attack", ICML 2020, algorithm 1,
with the boundaries to the likeliest other classes one after the other, as in the standard ensemble (Croce & Hein,
"Reliable evaluation of adversarial robustness", ICML 2020).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attacks.base import ImageProposal, check_choice, check_positive
from attacks.per_image.apgd import likeliest_others
from attacks.per_image.hyperplane import steps_to_hyperplane
from attacks.per_image.trial import Objective, Trial
from attacks.threat import Knowledge, Norm, Threat
from wolfhound.classifier import Classifier

_FAR = 1e10


@dataclass(frozen=True)
class FabTargeted:
    """Look for the smallest perturbation that leaves the class, by way of each of the likeliest others in turn.

    Each iteration linearises the boundary between the class and the other one, at the present point x. With p the
    smallest step from x onto it and q the smallest from the original x0, the next point is a convex combination of
    x + eta p and x0 + eta q, with the weight min(|p| / (|p| + |q|), alpha_max) on the latter. Where that has left the
    class, it is kept if it is the nearest so far, and the next iteration starts from x0 + beta (x - x0).

    With a threat, an image stops as soon as what it found lies within and, moved out to epsilon along its own direction
    and rounded to 8 bit, succeeds (the authors' code goes on to nearer ones, which a threat does not ask for); without
    one, all iterations are spent, and the nearest point is moved out as little as survives rounding.

    Attributes:
        iterations: steps for each class tried.
        targets: how many classes are tried, in the order of the clean logits; with K classes at most K - 1.
        alpha_max: the most weight of the step from the original.
        eta: by how much steps overshoot the linearised boundary (1.05: by 5 %).
        beta: how much of the perturbation is left when going back.
        norm: what is kept small where there is no threat; the threat's own norm otherwise.
    """

    iterations: int = 100
    targets: int = 9
    alpha_max: float = 0.1
    eta: float = 1.05
    beta: float = 0.9
    norm: Norm = "l2"

    name: ClassVar[str] = "fab_t"
    title: ClassVar[str] = "FAB-T"
    source: ClassVar[str] = "Croce & Hein, Minimally distorted adversarial examples, ICML 2020"
    access: ClassVar[Knowledge] = "white-box"
    targeted: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_choice(self, "norm", ("linf", "l2"))
        check_positive(self, "iterations", "targets", "alpha_max", "eta", "beta")
        if not (self.alpha_max <= 1 and self.beta < 1 <= self.eta):
            raise ValueError(
                f"expected alpha_max at most 1, beta below 1 and eta at least 1, got {self.alpha_max}, {self.beta} and "
                f"{self.eta}"
            )

    def propose(
        self,
        classifier: Classifier,
        pixels: Tensor,
        targets: Tensor,
        threat: Threat | None,
        *,
        seeds: Tensor,  # noqa: ARG002 - it starts at the image itself and draws nothing
    ) -> ImageProposal:
        """See `attacks.base.ImageAttack`. An image that succeeds when clean takes no step and stays as it is."""
        trial = Trial(classifier, pixels, targets, threat, targeted=False)
        rivals = likeliest_others(trial.begin(), targets, self.targets)
        nearest = torch.full((len(pixels),), _FAR, dtype=torch.float64, device=pixels.device)
        for rival in rivals.unbind(dim=1):
            self._approach(trial, trial.still(), rival, nearest)
        if threat is None:
            rows = torch.nonzero(nearest < _FAR)[:, 0]
            trial.push_out(trial.proposed[rows], rows)
        return trial.proposal()

    def _approach(self, trial: Trial, rows: Tensor, rival: Tensor, nearest: Tensor) -> None:
        """Run all iterations towards the boundary with `rival` `[B]`; `nearest` `[B]` is kept up to date."""

        def ahead(logits: Tensor, rows: Tensor) -> Tensor:
            return (logits.gather(1, rival[rows, None]) - logits.gather(1, trial.classes[rows, None]))[:, 0]

        if not len(rows):
            return
        at, likely = trial.pixels[rows], torch.zeros_like(rows, dtype=torch.bool)
        _, gap, slope = trial.slopes(at, rows, ahead)
        for taken in range(1, self.iterations + 1):
            trial.step(rows)
            at = self._combined(trial, at, rows, gap, slope)
            crossed = _crossed(trial, at, rows, likely | (taken == self.iterations), ahead, gap, slope)
            going = ~self._kept(trial, at, rows, crossed, nearest)
            rows, at, gap, slope, crossed, likely = (
                part[going] for part in (rows, at, gap, slope, crossed, likely | crossed)
            )
            if taken == self.iterations or not len(rows):
                return
            clean = trial.pixels[rows[crossed]]
            at[crossed] = clean + self.beta * (at[crossed] - clean)
            if bool(likely.any()):
                _, gap[likely], slope[likely] = trial.slopes(at[likely], rows[likely], ahead)
            likely = crossed

    def _combined(self, trial: Trial, at: Tensor, rows: Tensor, gap: Tensor, slope: Tensor) -> Tensor:
        """Return the next point of each row (algorithm 1, lines 4 to 8)."""
        clean, norm = trial.pixels[rows], self._norm(trial)
        normal = slope.flatten(1)
        # The linearised boundary is where gap + <slope, x - at> = 0; from the original, the gap is another one.
        gap_clean = gap + (normal * (clean - at).flatten(1)).sum(dim=1)
        onto = steps_to_hyperplane(at.flatten(1), normal, -gap, norm).view_as(at)
        onto_clean = steps_to_hyperplane(clean.flatten(1), normal, -gap_clean, norm).view_as(at)
        order = torch.inf if norm == "linf" else 2
        own, other = (
            torch.linalg.vector_norm(step.flatten(1), ord=order, dim=1).clamp_min(1e-8) for step in (onto, onto_clean)
        )
        weight = (own / (own + other)).clamp_max(self.alpha_max)[:, None, None, None]
        return torch.lerp(at + self.eta * onto, clean + self.eta * onto_clean, weight).clamp_(0, 1)

    def _kept(self, trial: Trial, at: Tensor, rows: Tensor, crossed: Tensor, nearest: Tensor) -> Tensor:
        """Propose what is nearer than before; return which rows are found within the threat."""
        over = torch.nonzero(crossed)[:, 0]
        size = Threat(self._norm(trial), 0.0).size(at[over] - trial.pixels[rows[over]])
        nearer = size < nearest[rows[over]]
        trial.offer(at[over[nearer]], rows[over[nearer]])
        nearest[rows[over[nearer]]] = size[nearer]
        if trial.threat is None:
            return torch.zeros_like(crossed)
        return trial.settle_at_epsilon(at, rows, crossed)

    def _norm(self, trial: Trial) -> Norm:
        return self.norm if trial.threat is None else trial.threat.norm


def _crossed(
    trial: Trial, at: Tensor, rows: Tensor, likely: Tensor, ahead: Objective, gap: Tensor, slope: Tensor
) -> Tensor:
    """Return which of `at` have left the class, bool `[b]`; fill in gap and slope where not `likely`.

    Where a point will be drawn back, its gradient is of no use; where it will not, the next step starts from it, and
    one forward pass serves for both. Which it will be is guessed from the iteration before: a wrong guess costs a pass
    and changes no result.
    """
    crossed = torch.zeros_like(likely)
    if bool(likely.any()):
        crossed[likely] = trial.succeeds(trial.logits(at[likely], rows[likely]), rows[likely])
    if not bool(likely.all()):
        logits, gap[~likely], slope[~likely] = trial.slopes(at[~likely], rows[~likely], ahead)
        crossed[~likely] = trial.succeeds(logits, rows[~likely])
    return crossed
