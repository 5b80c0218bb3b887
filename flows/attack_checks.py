"""What a plan asks of its attacks that cannot work: said before any of it is run, all at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from attacks import registry
from attacks.base import ImageAttack, UniversalAttack
from attacks.feasibility import class_faults, contradiction, threat_faults
from attacks.per_image.driver import random_targets
from attacks.per_image.standard import ENSEMBLES
from attacks.per_image.targets import fixed_target
from attacks.threat import Threat
from flows.audit_job import AuditJob
from flows.robust_stage import attacked_images
from flows.subject_images import open_splits
from flows.targeted_stage import EVERY, missing_starts, targeted_entries
from flows.universal_stage import planned_attack
from wolfhound.errors import DataError, PlanError, fault_list
from wolfhound.plan import AuditPlan, RobustSection, TargetedSection
from wolfhound.plan_attacks import ThreatSection


@dataclass(frozen=True)
class _Asked:
    """An attack of the plan and what it is to do."""

    attack: ImageAttack | UniversalAttack
    threat: Threat
    options: Mapping[str, Any]


def unmakeable(plan: AuditPlan) -> list[str]:
    """Return the faults of attacks that do not exist, or do not have such options or such a goal."""
    return [fault for _, fault in _each(plan) if isinstance(fault, str)]


def unworkable(plan: AuditPlan) -> list[str]:
    """Return the faults of attacks that exist but cannot do what the plan asks, as far as the plan alone tells."""
    faults = []
    for place, asked in _each(plan):
        if isinstance(asked, _Asked):
            told = (*threat_faults(asked.attack, asked.threat), *contradiction(asked.options, asked.threat))
            faults += [f"{place}: {fault}" for fault in told]
    for i, robust in enumerate(plan.robust):
        if robust.surrogate is not None and set(plan.chosen(robust.classifiers)) <= {robust.surrogate}:
            faults.append(f"robust[{i}]: expected a classifier other than the surrogate to attack, got none")
    return faults


def check_against_classes(job: AuditJob) -> None:
    """Raise unless every attack of the plan can work with the classes and pictures that there are.

    Raises:
        PlanError: names every fault.
        DataError: the images cannot be read.
    """
    names = open_splits(job).whole.class_names
    faults = []
    for place, asked in _each(job.plan):
        if isinstance(asked, _Asked):
            faults += [f"{place}: {fault}" for fault in class_faults(asked.attack, len(names))]
    for i, universal in enumerate(job.plan.universal):
        if universal.target is not None and universal.target not in names:
            faults.append(f"universal[{i}].target: expected the name of a class, got {universal.target!r}")
    for i, robust in enumerate(job.plan.robust):
        if robust.ensemble is not None and ENSEMBLES[robust.ensemble].standard:
            members = ENSEMBLES[robust.ensemble].attacks
            told = [fault for attack in members for fault in class_faults(attack, len(names))]
            faults += [f"robust[{i}].ensemble: {fault}; the quick and nightly checks do without" for fault in told]
    faults += _target_faults(job, names)
    if faults:
        raise PlanError(fault_list(f"{len(faults)} fault(s) in the plan:", faults))


def _target_faults(job: AuditJob, names: tuple[str, ...]) -> list[str]:
    faults = []
    for i, entry in enumerate(targeted_entries(job)):
        try:
            wanted = _known_targets(job, i, names)
            missing_starts(job, entry.attack(), wanted)
        except (PlanError, DataError) as error:
            faults.append(f"targeted[{i}]: {error}")
    return faults


def _known_targets(job: AuditJob, index: int, names: tuple[str, ...]) -> set[int]:
    """Return the classes that a targeted section will try to reach, as far as no network has to be asked."""
    section = job.plan.targeted[index]
    if section.target == EVERY:
        return set(range(len(names)))
    fixed = fixed_target(section.target, names)
    if fixed is not None:
        return {fixed}
    if section.target != "random" or section.start != "images":
        return set()
    entry = targeted_entries(job)[index]
    labels = attacked_images(job, section.images).labels
    generator = job.generator("targets", entry.name)
    return set(np.unique(random_targets(labels, classes=len(names), generator=generator)).tolist())


def _each(plan: AuditPlan) -> Iterator[tuple[str, _Asked | str]]:
    """Yield every attack of the plan with its place, or what is wrong with it in words."""
    for i, universal in enumerate(plan.universal):
        place, target = f"universal[{i}]", None if universal.target is None else 0
        try:
            attack: ImageAttack | UniversalAttack = planned_attack(universal)
            yield place, _Asked(attack, _threat(universal.threat, target), {})
        except PlanError as error:
            yield place, f"{place}: {error}"
    sections: list[tuple[str, str | None, RobustSection | TargetedSection, bool]] = []
    sections += [(f"robust[{i}]", section.attack, section, False) for i, section in enumerate(plan.robust)]
    sections += [(f"targeted[{i}]", section.attack, section, True) for i, section in enumerate(plan.targeted)]
    for place, name, section, targeted in sections:
        if name is None:
            continue
        try:
            attack = registry.make_image(name, section.options, targeted=targeted)
            yield place, _Asked(attack, _threat(section.threat), section.options)
        except PlanError as error:
            yield place, f"{place}: {error}"


def _threat(section: ThreatSection, target: int | None = None) -> Threat:
    return Threat(section.norm, section.epsilon, target, place=section.place)
