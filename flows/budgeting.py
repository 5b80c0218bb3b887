"""What the universal attacks of a plan will cost, said before they start."""

from collections.abc import Iterator
from functools import lru_cache

from attacks.universal import budget
from attacks.universal.budget import Pace
from flows.audit_job import AuditJob
from flows.batches import batch_size
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from flows.universal_stage import UniversalEntry, universal_entries
from wolfhound.plan import DemonstrationClassifier

CALIBRATION_SECONDS = 1.0
"""How long each network is warmed up for an estimate."""


def budget_lines(job: AuditJob) -> Iterator[str]:
    """Yield a line a universal perturbation of the plan: its gradients, and its time from a short calibration.

    Demonstration classifiers are trained when they are first needed, so of theirs the gradients alone are known.
    """
    for entry in universal_entries(job):
        for source in entry.sources:
            runs = entry.section.seeds
            each = f" (each of {runs} seeds)" if runs > 1 else ""
            yield f"{entry.name} on {source}{each}: {_cost(job, entry, source)}"


def _cost(job: AuditJob, entry: UniversalEntry, source: str) -> str:
    splits, attack, members = open_splits(job).splits, entry.attack(), entry.members(source)
    demonstration = {s.name for s in job.plan.classifiers if isinstance(s, DemonstrationClassifier)}
    if demonstration & set(members):
        count = budget.gradients(attack, len(splits.craft), networks=len(members))
        return f"{'' if attack.gradients_exact else 'at most '}{count:,} gradients"
    pace = sum((_pace(job, name) for name in members), Pace(0.0, 0.0))
    told = budget.estimate(attack, pace, craft=len(splits.craft), select=len(splits.select), networks=len(members))
    return told.text


@lru_cache(maxsize=64)
def _pace(job: AuditJob, name: str) -> Pace:
    """Return how fast one network is on this machine; measured once a process."""
    classifier = open_classifier(job, name).to(job.device)
    craft = open_splits(job).splits.craft
    return budget.calibrate([classifier], craft, batch_size=batch_size(job), seconds=CALIBRATION_SECONDS)
