"""How much a rate owes to the seed, and how it grows with epsilon."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import mean, stdev
from typing import Literal

import torch
from torch import Tensor

from attacks.base import UniversalAttack
from attacks.judge import fooling_rates, transfer_predictions
from attacks.threat import Threat
from attacks.universal.checkpoints import CheckpointStore
from attacks.universal.driver import UniversalResult, craft_universal
from wolfhound.classifier import Classifier
from wolfhound.errors import PlanError
from wolfhound.images import ImageSet
from wolfhound.metrics import Predictions, targeted_change_rate
from wolfhound.progress import Progress, silent
from wolfhound.statistics import Rate

Checkpoints = Callable[[str], CheckpointStore | None]
"""Where the run of that name ("seed 3", "8/255") writes down where it stands."""


def no_checkpoints(run: str) -> None:
    """Write nothing down."""


@dataclass(frozen=True)
class Spread:
    """The mean and the spread of a rate over several runs, in percent.

    Attributes:
        deviation: the sample standard deviation (n - 1); None for a single run, which shows no spread.
    """

    mean: float
    deviation: float | None
    runs: int

    @classmethod
    def of(cls, rates: Sequence[Rate]) -> "Spread":
        """Return the spread of at least one rate.

        >>> Spread.of([Rate(8, 10, "held-out images"), Rate(6, 10, "held-out images")]).text
        '70.0 % ± 14.1 over 2 runs'
        """
        percents = [rate.percent for rate in rates]
        return cls(mean(percents), stdev(percents) if len(percents) > 1 else None, len(percents))

    @property
    def text(self) -> str:
        """The spread as it is printed."""
        if self.deviation is None:
            return f"{self.mean:.1f} % (a single run)"
        return f"{self.mean:.1f} % ± {self.deviation:.1f} over {self.runs} runs"


@dataclass(frozen=True, eq=False)
class SeedSweep:
    """The runs of one attack with several seeds, in their order."""

    seeds: tuple[int, ...]
    results: tuple[UniversalResult, ...]

    @property
    def best(self) -> int:
        """The seed whose chosen checkpoint has the highest share on the select split (the first of equals).

        No held-out image has a say in it, so that seed's rate on them is not the luckiest of several.
        """
        shares = [result.chosen.share for result in self.results]
        return self.seeds[shares.index(max(shares))]

    @property
    def deltas(self) -> dict[int, Tensor]:
        """The chosen checkpoint of each seed."""
        return {seed: result.best for seed, result in zip(self.seeds, self.results, strict=True)}

    def rates(self, classifier: Classifier, report: ImageSet, *, batch_size: int = 64) -> dict[int, Rate]:
        """Return the rate of each seed's chosen checkpoint on held-out images, each of which is read once."""
        threat = self.results[0].threat
        judged = {str(seed): (delta, threat) for seed, delta in self.deltas.items()}
        return {int(name): rate for name, rate in _rates(classifier, report, judged, batch_size=batch_size).items()}


def seed_sweep(
    attack: UniversalAttack,
    classifiers: Classifier | Sequence[Classifier],
    craft: ImageSet,
    select: ImageSet,
    threat: Threat,
    *,
    seeds: Sequence[int],
    batch_size: int = 64,
    progress: Progress = silent,
    checkpoints: Checkpoints = no_checkpoints,
) -> SeedSweep:
    """Return a run of `attack` for each of `seeds`, all else equal (see `attacks.universal.driver.craft_universal`).

    Raises:
        PlanError: no seed, or one twice.
    """
    if not seeds or len(set(seeds)) != len(seeds):
        raise PlanError(f"expected one or more different seeds, got {list(seeds)}")
    results = [
        craft_universal(
            attack,
            classifiers,
            craft,
            select,
            threat,
            generator=torch.Generator().manual_seed(seed),
            batch_size=batch_size,
            progress=progress,
            checkpoint=checkpoints(f"seed {seed}"),
        )
        for seed in seeds
    ]
    return SeedSweep(tuple(seeds), tuple(results))


@dataclass(frozen=True)
class EpsilonCurve:
    """Rates on held-out images against epsilon.

    Attributes:
        rule: how the perturbation of each epsilon came about; printed with the curve.
        epsilons: rising, on the pixel scale.
        rates: one an epsilon.
    """

    rule: str
    epsilons: tuple[float, ...]
    rates: tuple[Rate, ...]

    def envelope(self) -> "EpsilonCurve":
        """Return the highest rate at or below each epsilon: an attacker who may do more may also do less.

        As the highest is chosen on the very images that are counted, it is biased upwards where points lie close; the
        rule says so.
        """
        highest = [max(self.rates[: i + 1], key=lambda rate: rate.share) for i in range(len(self.rates))]
        note = f"{self.rule}; at each epsilon the highest rate at or below it, chosen on the same images"
        return EpsilonCurve(note, self.epsilons, tuple(highest))


def curve_of_one(
    classifier: Classifier,
    report: ImageSet,
    delta: Tensor,
    threat: Threat,
    *,
    epsilons: Sequence[float],
    fitted: Literal["scaled", "projected"] = "scaled",
    batch_size: int = 64,
) -> EpsilonCurve:
    """Return the rates of one perturbation, crafted for `threat`, at smaller epsilons; each image is read once.

    "scaled" multiplies it by epsilon / threat.epsilon, "projected" takes the nearest one within epsilon (for linf, what
    is larger is cut off). Both underestimate what an attack at a smaller epsilon finds: `curve_by_runs` says how much.

    Raises:
        PlanError: an epsilon above the threat's, or epsilons that do not rise.
    """
    _check_rising(epsilons)
    if epsilons[-1] > threat.epsilon:
        raise PlanError(
            f"expected epsilons of at most {threat.epsilon:.6g}, for which it was crafted, got {epsilons[-1]:.6g} "
            "(craft it for the largest)"
        )
    judged = {}
    for epsilon in epsilons:
        smaller = delta * (epsilon / threat.epsilon) if fitted == "scaled" and threat.epsilon else delta
        judged[repr(epsilon)] = (smaller, _at(threat, epsilon))
    rates = _rates(classifier, report, judged, batch_size=batch_size)
    rule = f"one perturbation crafted at {threat.norm} {threat.epsilon_text}, {fitted} to each epsilon"
    return EpsilonCurve(rule, tuple(epsilons), tuple(rates.values()))


def curve_by_runs(
    attack: UniversalAttack,
    classifier: Classifier,
    craft: ImageSet,
    select: ImageSet,
    report: ImageSet,
    threat: Threat,
    *,
    epsilons: Sequence[float],
    seed: int,
    batch_size: int = 64,
    progress: Progress = silent,
    checkpoints: Checkpoints = no_checkpoints,
) -> EpsilonCurve:
    """Return the rates of `attack` run anew for each of `epsilons` (in place of the threat's own), with one seed.

    Raises:
        PlanError: epsilons that do not rise.
    """
    _check_rising(epsilons)
    judged = {}
    for epsilon in epsilons:
        at = _at(threat, epsilon)
        found = craft_universal(
            attack,
            classifier,
            craft,
            select,
            at,
            generator=torch.Generator().manual_seed(seed),
            batch_size=batch_size,
            progress=progress,
            checkpoint=checkpoints(at.epsilon_text),
        )
        judged[repr(epsilon)] = (found.best, at)
    rates = _rates(classifier, report, judged, batch_size=batch_size)
    return EpsilonCurve(f"{attack.name} crafted anew for each epsilon", tuple(epsilons), tuple(rates.values()))


def _at(threat: Threat, epsilon: float) -> Threat:
    return replace(threat, epsilon=epsilon)


def _check_rising(epsilons: Sequence[float]) -> None:
    if not epsilons or any(first >= second for first, second in pairwise(epsilons)):
        raise PlanError(f"expected one or more rising epsilons, got {list(epsilons)}")


def _rates(
    classifier: Classifier, report: ImageSet, judged: dict[str, tuple[Tensor, Threat]], *, batch_size: int
) -> dict[str, Rate]:
    """Return the rate of each perturbation: fooling, or with a target the change to it."""
    ledger = transfer_predictions(classifier, report, judged, batch_size=batch_size)
    fooled = fooling_rates(ledger)

    def column(name: str) -> Predictions:
        return ledger[name].to_numpy(dtype="int64")

    return {
        name: fooled[name]
        if threat.target is None
        else targeted_change_rate(column("clean"), column(name), threat.target)
        for name, (_, threat) in judged.items()
    }
