"""What only the registries know about a plan: attacks and their options, corruptions and explainers."""

from attacks.corruptions.registry import chosen_corruptions
from attacks.plugged_probe import plugged_probe
from explainers.registry import explainer
from flows.attack_checks import unmakeable, unworkable
from flows.audit_job import AuditJob
from flows.bias_interventions import changes_of
from flows.gradient_check import black_boxes, gradient_faults
from wolfhound.errors import PlanError, fault_list
from wolfhound.plan import NaturalSection, ProbeSection
from wolfhound.plan_bias import InterventionBias


def check_against_registries(job: AuditJob) -> None:
    """Raise unless every attack, corruption and explainer of the plan exists, takes its options and can do its part.

    Raises:
        PlanError: names every fault.
    """
    faults = [*unmakeable(job.plan), *unworkable(job.plan)]
    for i, natural in enumerate(job.plan.natural):
        faults += _corruption_faults(f"natural[{i}]", natural)
    for i, probe in enumerate(job.plan.probes):
        faults += _probe_faults(f"probes[{i}]", probe)
    for i, inside in enumerate(job.plan.inside):
        found = [_explainer_fault(name) for name in inside.methods]
        faults += [f"inside[{i}]: {fault}" for fault in found if fault]
    for i, bias in enumerate(job.plan.bias):
        if isinstance(bias, InterventionBias):
            faults += _bias_faults(f"bias[{i}]", bias)
    if job.plan.hypotheses is not None:
        fault = _explainer_fault(job.plan.hypotheses.method)
        faults += [f"hypotheses: {fault}"] if fault else []
    faults += gradient_faults(job.plan, black_boxes(job.plan))
    if faults:
        raise PlanError(fault_list(f"{len(faults)} fault(s) in the plan:", faults))


def _explainer_fault(name: str) -> str:
    try:
        explainer(name)
    except (ValueError, PlanError) as error:
        return str(error)
    return ""


def _bias_faults(place: str, section: InterventionBias) -> list[str]:
    try:
        changes_of(section)
    except PlanError as error:
        return [f"{place}: {error}"]
    return []


def _probe_faults(place: str, section: ProbeSection) -> list[str]:
    try:
        plugged_probe(section.plugin, section.options)
    except PlanError as error:
        return [f"{place}: {error}"]
    return []


def _corruption_faults(place: str, section: NaturalSection) -> list[str]:
    try:
        names = [corruption.name for corruption in chosen_corruptions(section.corruptions)]
    except PlanError as error:
        return [f"{place}: {error}"]
    missing = [name for name in names if section.reference is not None and name not in section.reference.errors]
    return [f"{place}.reference: expected an error for every corruption, got none for {name}" for name in missing]
