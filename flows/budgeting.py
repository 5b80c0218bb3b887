"""What the attacks of a plan will cost, said before they start."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch

from attacks import registry
from attacks.base import ImageAttack
from attacks.corruptions.registry import chosen_corruptions
from attacks.per_image.costs import most_calls
from attacks.per_image.curves import most_runs
from attacks.per_image.standard import ENSEMBLES
from attacks.threat import Threat
from attacks.universal import budget
from attacks.universal.budget import Pace
from flows.audit_job import AuditJob
from flows.batches import batch_size
from flows.robust_stage import check_runs
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from flows.targeted_stage import EVERY, targeted_entries
from flows.universal_stage import UniversalEntry, universal_entries
from wolfhound.architectures.compact import compact_network
from wolfhound.architectures.folding import fold_batch_norms
from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.demonstration.training import as_classifier
from wolfhound.plan import DemonstrationClassifier, RobustSection

CALIBRATION_SECONDS = 0.5
"""How long each network is warmed up for an estimate, by forward passes and as long by gradients."""


@dataclass(frozen=True)
class Priced:
    """What one attack asks of one network.

    Attributes:
        kind: what it is priced as: "universal", "single images" or "natural".
        what: the section of the plan and the network.
        asks: what it asks, and how long that takes, in words.
        seconds: how long it takes on this machine; None where the attack does not say what it asks.
    """

    kind: Literal["universal", "single images", "natural"]
    what: str
    asks: str
    seconds: float | None

    @property
    def text(self) -> str:
        """The line as it is printed."""
        return f"{self.what}: {self.asks}"


def budget_lines(job: AuditJob) -> Iterator[str]:
    """Yield a line for each attack of the plan on each network: what it asks, and its time from a short calibration.

    Of attacks on single images it is the most; they stop early where they succeed.
    """
    return (priced.text for priced in priced_attacks(job))


def priced_attacks(job: AuditJob) -> Iterator[Priced]:
    """Yield what each attack of the plan asks of each network, and how long that takes."""
    yield from _universal(job)
    for i, robust in enumerate(job.plan.robust):
        runs = _robust_runs(job, robust)
        asked = robust.surrogate
        where = "" if asked is None else f", crafted on {asked}"
        for name in job.plan.chosen(robust.classifiers):
            if name != asked:
                yield _most(job, f"robust[{i}] on {name}{where}", asked or name, runs)
    for i, entry in enumerate(targeted_entries(job)):
        count = entry.section.images
        if entry.section.target == EVERY:
            count = count * (len(open_splits(job).whole.class_names) - 1) + min(entry.section.shown, count)
        for name in entry.classifiers:
            yield _most(job, f"targeted[{i}] on {name}", name, [(entry.attack(), count)])
    for i, natural in enumerate(job.plan.natural):
        images = natural.images or job.plan.splits.report
        count = images * len(chosen_corruptions(natural.corruptions)) * len(natural.severities)
        for name in job.plan.chosen(natural.classifiers):
            seconds = count * pace_of(job, name).forward
            took = f"about {budget.duration(seconds)} on this machine"
            asks = f"{count:,} corrupted images, {took}, and as long as corrupting them takes"
            yield Priced("natural", f"natural[{i}] on {name}", asks, seconds)


def _universal(job: AuditJob) -> Iterator[Priced]:
    for entry in universal_entries(job):
        for source in entry.sources:
            runs = entry.section.seeds
            each = f" (each of {runs} seeds)" if runs > 1 else ""
            told = _estimate(job, entry, source)
            yield Priced("universal", f"{entry.name} on {source}{each}", told.text, runs * told.seconds)


def _estimate(job: AuditJob, entry: UniversalEntry, source: str) -> budget.Estimate:
    splits, members = open_splits(job).splits, entry.members(source)
    pace = sum((pace_of(job, name) for name in members), Pace(0.0, 0.0))
    return budget.estimate(
        entry.attack(), pace, craft=len(splits.craft), select=len(splits.select), networks=len(members)
    )


def _robust_runs(job: AuditJob, section: RobustSection) -> list[tuple[ImageAttack, int]]:
    """Return every attack that a section runs, and on how many images: itself, to be doubted, and for its curve."""
    if section.ensemble is not None:
        attacks: Sequence[ImageAttack] = ENSEMBLES[section.ensemble].attacks
    else:
        attacks = [registry.make_image(str(section.attack), section.options, targeted=False)]
    first, norm = attacks[0], section.threat.norm
    runs = [(attack, section.images) for attack in attacks]
    if section.surrogate is None:  # what is only transferred is not doubted
        checked = min(section.checked, section.images)
        runs += [(again, checked) for _, (again, _) in check_runs(first, Threat(norm, section.threat.epsilon))]
    if section.curve:
        alone = first.name in registry.MINIMUM_NORM
        runs.append((first, section.images * (1 if alone else most_runs(norm, open_splits(job).whole.size))))
    return runs


def _most(job: AuditJob, what: str, name: str, runs: Sequence[tuple[ImageAttack, int]]) -> Priced:
    """Return what attacks on single images, each on that many of them, ask of one network at most."""
    costs = [(most_calls(attack), images) for attack, images in runs]
    known = [(cost, images) for cost, images in costs if cost is not None]
    if len(known) < len(costs):
        return Priced("single images", what, "not known beforehand: an attack of another library does not say", None)
    gradients = sum(cost.gradients * images for cost, images in known)
    forwards = sum(cost.forwards * images for cost, images in known)
    pace = pace_of(job, name)
    seconds = gradients * pace.gradient + forwards * pace.forward
    took = f"at most about {budget.duration(seconds)} on this machine"
    asks = f"at most {gradients:,} gradients and {forwards:,} forward passes, {took}"
    return Priced("single images", what, asks, seconds)


@lru_cache(maxsize=64)
def pace_of(job: AuditJob, name: str) -> Pace:
    """Return how fast one network is on this machine; measured once a process.

    A demonstration classifier is trained when it is first needed; until then one without training is as fast.
    """
    classifier = _priced_network(job, name).to(job.device)
    craft = open_splits(job).splits.craft
    return budget.calibrate([classifier], craft, batch_size=batch_size(job), seconds=CALIBRATION_SECONDS)


def _priced_network(job: AuditJob, name: str) -> Classifier:
    section = next(section for section in job.plan.classifiers if section.name == name)
    if not isinstance(section, DemonstrationClassifier):
        return open_classifier(job, name)
    images = open_splits(job).whole
    with torch.random.fork_rng(devices=[]):
        network = fold_batch_norms(compact_network(section.architecture, num_classes=len(images.class_names)).eval())
    return as_classifier(section.architecture, network, images, Preprocessing(input_size=images.size), seed=0)
