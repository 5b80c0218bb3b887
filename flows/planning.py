"""What only the registries know about a plan: attack names and the options that each takes, and explainer names."""

from collections.abc import Callable, Mapping

from attacks import registry
from explainers.registry import EXPLAINERS, explainer
from flows.audit_job import AuditJob
from wolfhound.errors import PlanError, fault_list
from wolfhound.plan import TargetedSection, UniversalSection


def check_against_registries(job: AuditJob) -> None:
    """Raise unless every attack of the plan exists and takes the options given to it, and every explainer exists.

    Raises:
        PlanError: names every fault.
    """
    faults = []
    for i, universal in enumerate(job.plan.universal):
        faults += _faults(f"universal[{i}]", registry.make_universal, universal)
    for i, targeted in enumerate(job.plan.targeted):
        faults += _faults(f"targeted[{i}]", registry.make_image, targeted)
    for i, inside in enumerate(job.plan.inside):
        faults += [f"inside[{i}]: {_explainer_fault(name)}" for name in inside.methods if name not in EXPLAINERS]
    if faults:
        raise PlanError(fault_list(f"{len(faults)} fault(s) in the plan:", faults))


def _explainer_fault(name: str) -> str:
    try:
        explainer(name)
    except ValueError as error:
        return str(error)
    return ""


def _faults(
    place: str, make: Callable[[str, Mapping[str, object]], object], section: UniversalSection | TargetedSection
) -> list[str]:
    try:
        make(section.attack, section.options)
    except PlanError as error:
        return [f"{place}: {error}"]
    return []
