"""What only the registries know about a plan: attack names and the options that each takes."""

from attacks import registry
from flows.audit_job import AuditJob
from wolfhound.errors import PlanError, fault_list


def check_against_registries(job: AuditJob) -> None:
    """Raise unless every attack of the plan exists and takes the options that are given to it.

    Raises:
        PlanError: names every fault.
    """
    named = [
        (f"universal[{i}]", registry.make_universal, s.attack, s.options) for i, s in enumerate(job.plan.universal)
    ]
    named += [(f"targeted[{i}]", registry.make_image, s.attack, s.options) for i, s in enumerate(job.plan.targeted)]  # type: ignore[misc]
    faults = []
    for place, make, attack, options in named:
        try:
            make(attack, options)
        except PlanError as error:
            faults.append(f"{place}: {error}")
    if faults:
        raise PlanError(fault_list(f"{len(faults)} fault(s) in the plan:", faults))
