"""What only the registries know about a plan: attacks, with the options that each takes, and corruptions."""

from collections.abc import Callable, Mapping

from attacks import registry
from attacks.corruptions.registry import chosen_corruptions
from flows.audit_job import AuditJob
from wolfhound.errors import PlanError, fault_list
from wolfhound.plan import NaturalSection, TargetedSection, UniversalSection


def check_against_registries(job: AuditJob) -> None:
    """Raise unless every attack of the plan exists and takes the options given to it, and every corruption exists.

    Raises:
        PlanError: names every fault.
    """
    faults = []
    for i, universal in enumerate(job.plan.universal):
        faults += _faults(f"universal[{i}]", registry.make_universal, universal)
    for i, targeted in enumerate(job.plan.targeted):
        faults += _faults(f"targeted[{i}]", registry.make_image, targeted)
    for i, natural in enumerate(job.plan.natural):
        faults += _corruption_faults(f"natural[{i}]", natural)
    if faults:
        raise PlanError(fault_list(f"{len(faults)} fault(s) in the plan:", faults))


def _corruption_faults(place: str, section: NaturalSection) -> list[str]:
    try:
        names = [corruption.name for corruption in chosen_corruptions(section.corruptions)]
    except PlanError as error:
        return [f"{place}: {error}"]
    missing = [name for name in names if section.reference is not None and name not in section.reference.errors]
    return [f"{place}.reference: expected an error for every corruption, got none for {name}" for name in missing]


def _faults(
    place: str, make: Callable[[str, Mapping[str, object]], object], section: UniversalSection | TargetedSection
) -> list[str]:
    try:
        make(section.attack, section.options)
    except PlanError as error:
        return [f"{place}: {error}"]
    return []
