"""What only the registries know about a plan: attacks and their options, corruptions and explainers."""

from collections.abc import Callable
from functools import partial

from attacks import registry
from attacks.corruptions.registry import chosen_corruptions
from attacks.plugged_probe import plugged_probe
from explainers.registry import explainer
from flows.audit_job import AuditJob
from flows.gradient_check import black_boxes, gradient_faults
from flows.universal_stage import planned_attack
from wolfhound.errors import PlanError, fault_list
from wolfhound.plan import NaturalSection


def check_against_registries(job: AuditJob) -> None:
    """Raise unless every attack, corruption and explainer of the plan exists and takes the options given to it.

    Raises:
        PlanError: names every fault.
    """
    faults = []
    for i, universal in enumerate(job.plan.universal):
        faults += _faults(f"universal[{i}]", partial(planned_attack, universal))
    for i, robust in enumerate(job.plan.robust):
        if robust.attack is not None:
            make = partial(registry.make_image, robust.attack, robust.options, targeted=False)
            faults += _faults(f"robust[{i}]", make)
    for i, targeted in enumerate(job.plan.targeted):
        make = partial(registry.make_image, targeted.attack, targeted.options, targeted=True)
        faults += _faults(f"targeted[{i}]", make)
    for i, natural in enumerate(job.plan.natural):
        faults += _corruption_faults(f"natural[{i}]", natural)
    for i, probe in enumerate(job.plan.probes):
        faults += _faults(f"probes[{i}]", partial(plugged_probe, probe.plugin, probe.options))
    for i, inside in enumerate(job.plan.inside):
        found = [_explainer_fault(name) for name in inside.methods]
        faults += [f"inside[{i}]: {fault}" for fault in found if fault]
    faults += gradient_faults(job.plan, black_boxes(job.plan))
    if faults:
        raise PlanError(fault_list(f"{len(faults)} fault(s) in the plan:", faults))


def _explainer_fault(name: str) -> str:
    try:
        explainer(name)
    except (ValueError, PlanError) as error:
        return str(error)
    return ""


def _corruption_faults(place: str, section: NaturalSection) -> list[str]:
    try:
        names = [corruption.name for corruption in chosen_corruptions(section.corruptions)]
    except PlanError as error:
        return [f"{place}: {error}"]
    missing = [name for name in names if section.reference is not None and name not in section.reference.errors]
    return [f"{place}.reference: expected an error for every corruption, got none for {name}" for name in missing]


def _faults(place: str, make: Callable[[], object]) -> list[str]:
    try:
        make()
    except PlanError as error:
        return [f"{place}: {error}"]
    return []
