"""What the attacks of a plan will cost, said before they start."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from attacks import registry
from attacks.base import ImageAttack
from attacks.corruptions.registry import chosen_corruptions
from attacks.per_image.costs import Cost, most_calls
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
from wolfhound.plan import DemonstrationClassifier, RobustSection

CALIBRATION_SECONDS = 1.0
"""How long each network is warmed up for an estimate."""


def budget_lines(job: AuditJob) -> Iterator[str]:
    """Yield a line for each attack of the plan on each network: what it asks, and its time from a short calibration.

    Demonstration classifiers are trained when they are first needed, so of theirs the number of questions alone is
    known. Of attacks on single images it is the most; they stop early where they succeed.
    """
    yield from _universal_lines(job)
    for i, robust in enumerate(job.plan.robust):
        runs = _robust_runs(job, robust)
        asked = robust.surrogate
        where = "" if asked is None else f", crafted on {asked}"
        for name in job.plan.chosen(robust.classifiers):
            if name != asked:
                yield f"robust[{i}] on {name}{where}: {_most(job, asked or name, runs)}"
    for i, entry in enumerate(targeted_entries(job)):
        count = entry.section.images
        if entry.section.target == EVERY:
            count = count * (len(open_splits(job).whole.class_names) - 1) + min(entry.section.shown, count)
        for name in entry.classifiers:
            yield f"targeted[{i}] on {name}: {_most(job, name, [(entry.attack(), count)])}"
    for i, natural in enumerate(job.plan.natural):
        images = natural.images or job.plan.splits.report
        count = images * len(chosen_corruptions(natural.corruptions)) * len(natural.severities)
        for name in job.plan.chosen(natural.classifiers):
            took = _timed(job, name, Cost(0, 1), count)
            yield f"natural[{i}] on {name}: {count:,} corrupted images{took}, and as long as corrupting them takes"


def _universal_lines(job: AuditJob) -> Iterator[str]:
    for entry in universal_entries(job):
        for source in entry.sources:
            runs = entry.section.seeds
            each = f" (each of {runs} seeds)" if runs > 1 else ""
            yield f"{entry.name} on {source}{each}: {_cost(job, entry, source)}"


def _cost(job: AuditJob, entry: UniversalEntry, source: str) -> str:
    splits, attack, members = open_splits(job).splits, entry.attack(), entry.members(source)
    if _demonstration(job) & set(members):
        count = budget.gradients(attack, len(splits.craft), networks=len(members))
        return f"{'' if attack.gradients_exact else 'at most '}{count:,} gradients"
    pace = sum((_pace(job, name) for name in members), Pace(0.0, 0.0))
    told = budget.estimate(attack, pace, craft=len(splits.craft), select=len(splits.select), networks=len(members))
    return told.text


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


def _most(job: AuditJob, name: str, runs: Sequence[tuple[ImageAttack, int]]) -> str:
    """Return what attacks on single images, each on that many of them, ask of one network at most."""
    costs = [(most_calls(attack), images) for attack, images in runs]
    known = [(cost, images) for cost, images in costs if cost is not None]
    if len(known) < len(costs):
        return "not known beforehand: an attack of another library does not say"
    total = Cost(
        sum(cost.gradients * images for cost, images in known), sum(cost.forwards * images for cost, images in known)
    )
    return f"at most {total.gradients:,} gradients and {total.forwards:,} forward passes{_timed(job, name, total, 1)}"


def _timed(job: AuditJob, name: str, cost: Cost, images: int) -> str:
    if name in _demonstration(job):
        return ""
    pace = _pace(job, name)
    seconds = images * (cost.gradients * pace.gradient + cost.forwards * pace.forward)
    return f", at most about {budget.duration(seconds)} on this machine"


def _demonstration(job: AuditJob) -> set[str]:
    return {s.name for s in job.plan.classifiers if isinstance(s, DemonstrationClassifier)}


@lru_cache(maxsize=64)
def _pace(job: AuditJob, name: str) -> Pace:
    """Return how fast one network is on this machine; measured once a process."""
    classifier = open_classifier(job, name).to(job.device)
    craft = open_splits(job).splits.craft
    return budget.calibrate([classifier], craft, batch_size=batch_size(job), seconds=CALIBRATION_SECONDS)
