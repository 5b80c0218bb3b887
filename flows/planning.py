"""What only the registries know about a plan: attack names and the options that each takes."""

from collections.abc import Callable, Mapping
from functools import partial

from attacks import registry
from flows.audit_job import AuditJob
from wolfhound.errors import PlanError, fault_list
from wolfhound.plan import TargetedSection, UniversalSection


def check_against_registries(job: AuditJob) -> None:
    """Raise unless every attack of the plan exists and takes the options that are given to it.

    Raises:
        PlanError: names every fault.
    """
    faults = []
    for i, universal in enumerate(job.plan.universal):
        faults += _faults(f"universal[{i}]", registry.make_universal, universal)
    for i, targeted in enumerate(job.plan.targeted):
        faults += _faults(f"targeted[{i}]", partial(registry.make_image, targeted=True), targeted)
    if faults:
        raise PlanError(fault_list(f"{len(faults)} fault(s) in the plan:", faults))


def _faults(
    place: str, make: Callable[[str, Mapping[str, object]], object], section: UniversalSection | TargetedSection
) -> list[str]:
    try:
        make(section.attack, section.options)
    except PlanError as error:
        return [f"{place}: {error}"]
    return []
