"""What the attacks of a plan will cost, said before they start."""

from collections.abc import Iterator, Sequence
from functools import lru_cache

from attacks import registry
from attacks.base import ImageAttack
from attacks.corruptions.registry import chosen_corruptions
from attacks.per_image.costs import Cost, most_calls
from attacks.per_image.standard import ENSEMBLES
from attacks.universal import budget
from attacks.universal.budget import Pace
from flows.audit_job import AuditJob
from flows.batches import batch_size
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
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
        attacks = _robust_attacks(robust)
        for name in job.plan.chosen(robust.classifiers):
            yield f"robust[{i}] on {name}: {_most(job, name, attacks, robust.images, robust.checked)}"
    for i, targeted in enumerate(job.plan.targeted):
        attack = registry.make_image(targeted.attack, targeted.options, targeted=True)
        for name in job.plan.chosen(targeted.classifiers):
            yield f"targeted[{i}] on {name}: {_most(job, name, [attack], targeted.images, 0)}"
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


def _robust_attacks(section: RobustSection) -> Sequence[ImageAttack]:
    if section.ensemble is not None:
        return ENSEMBLES[section.ensemble].attacks
    return [registry.make_image(str(section.attack), section.options, targeted=False)]


def _most(job: AuditJob, name: str, attacks: Sequence[ImageAttack], images: int, checked: int) -> str:
    """Return what attacks on single images take at most: on `images`, and the first again three times on `checked`."""
    costs = [most_calls(attack) for attack in attacks]
    known = [cost for cost in costs if cost is not None]
    if len(known) < len(costs):
        return "not known beforehand: an attack of another library does not say"
    first = known[0]
    total = Cost(
        sum(cost.gradients for cost in known) * images + 3 * first.gradients * min(checked, images),
        sum(cost.forwards for cost in known) * images + 3 * first.forwards * min(checked, images),
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
