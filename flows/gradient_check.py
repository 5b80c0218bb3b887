"""What of a plan cannot be done to a classifier that gives no gradients, and what can be done instead."""

from collections.abc import Callable, Iterator

from attacks import registry
from attacks.base import ImageAttack
from flows.audit_job import AuditJob
from flows.subject_classifiers import open_classifier
from wolfhound.errors import PlanError, fault_list
from wolfhound.plan import AuditPlan
from wolfhound.plan_bias import InterventionBias, MaskBias

GRADIENTS = "white-box"


def black_boxes(plan: AuditPlan) -> frozenset[str]:
    """Return the classifiers that give no gradients, as far as the plan alone tells."""
    return frozenset(section.name for section in plan.classifiers if section.black_box)


def check_opened(job: AuditJob) -> None:
    """Raise unless the classifiers of plug-ins give the gradients that the plan asks of them.

    Raises:
        PlanError: names every section that asks a black box for gradients.
    """
    unknown = [section.name for section in job.plan.classifiers if section.black_box is None]
    found = frozenset(name for name in unknown if not open_classifier(job, name).differentiable)
    if faults := gradient_faults(job.plan, found):
        raise PlanError(fault_list(f"{len(faults)} fault(s) in the plan:", faults))


def gradient_faults(plan: AuditPlan, black: frozenset[str]) -> list[str]:
    """Return a line for every section that needs gradients of a classifier in `black`."""
    attacked = [*_universal(plan, black), *_robust(plan, black), *_targeted(plan, black)]
    return [*attacked, *_inside(plan, black), *_bias(plan, black), *_shortcuts(plan, black)]


def _universal(plan: AuditPlan, black: frozenset[str]) -> Iterator[str]:
    for i, section in enumerate(plan.universal):
        crafted_on = {*plan.chosen(section.sources), *(m for group in section.ensembles.values() for m in group)}
        for name in sorted(crafted_on & black):
            others = [other for other in plan.chosen(section.sources) if other not in black]
            mend = (
                f"write sources: [{', '.join(others)}]" if others else "add a classifier with gradients as the source"
            )
            yield (
                f"universal[{i}]: {section.attack} needs gradients, and {name} gives none ({mend}; {name} can be among "
                "the targets, and replay fires stored perturbations at it)"
            )


def _robust(plan: AuditPlan, black: frozenset[str]) -> Iterator[str]:
    for i, section in enumerate(plan.robust):
        what = section.ensemble or section.attack
        if section.ensemble is None and not _needs_gradients(str(section.attack), section.options, targeted=False):
            continue
        asked = {section.surrogate} if section.surrogate else set(plan.chosen(section.classifiers))
        for name in sorted(asked & black):
            yield (
                f"robust[{i}]: {what} needs gradients, and {name} gives none (these ask only for answers: "
                f"{_askers(_any_goal)}; or name a surrogate that the attack is crafted on)"
            )


def _targeted(plan: AuditPlan, black: frozenset[str]) -> Iterator[str]:
    for i, section in enumerate(plan.targeted):
        if not _needs_gradients(section.attack, section.options, targeted=True):
            continue
        for name in sorted(set(plan.chosen(section.classifiers)) & black):
            yield (
                f"targeted[{i}]: {section.attack} needs gradients, and {name} gives none (these ask only for answers: "
                f"{_askers(registry.can_choose_goal)})"
            )


def _inside(plan: AuditPlan, black: frozenset[str]) -> Iterator[str]:
    for i, section in enumerate(plan.inside):
        for name in sorted(set(plan.chosen(section.classifiers)) & black):
            others = [other for other in plan.chosen(section.classifiers) if other not in black]
            mend = f"write classifiers: [{', '.join(others)}]" if others else "leave the section out"
            yield f"inside[{i}]: nobody can look inside {name} ({mend}; rise, lime and occlusion ask only for answers)"


def _bias(plan: AuditPlan, black: frozenset[str]) -> Iterator[str]:
    for i, section in enumerate(plan.bias):
        if not isinstance(section, MaskBias | InterventionBias) or not section.shown:
            continue
        for name in sorted(set(plan.chosen(section.classifiers)) & black):
            mend = "; write shown: 0" if isinstance(section, InterventionBias) else ""
            yield f"bias[{i}]: its pictures show Grad-CAM, and {name} gives no gradients (leave {name} out{mend})"


def _shortcuts(plan: AuditPlan, black: frozenset[str]) -> Iterator[str]:
    for i, section in enumerate(plan.shortcut):
        if section.network in black:
            yield f"shortcut[{i}]: nobody can look at the layers of {section.network} (name another network)"
    if plan.hypotheses is not None:
        for name in sorted(set(plan.chosen(plan.hypotheses.classifiers)) & black):
            yield f"hypotheses: {plan.hypotheses.method} looks inside, and nobody can look inside {name} (leave it out)"


def _needs_gradients(name: str, options: dict[str, int | float | str | bool], *, targeted: bool) -> bool:
    try:
        return registry.make_image(name, options, targeted=targeted).access == GRADIENTS
    except PlanError:
        return False  # no such attack, which is a fault of its own


def _any_goal(_: type[ImageAttack]) -> bool:
    return True


def _askers(fits: Callable[[type[ImageAttack]], bool]) -> str:
    able = [name for name, kind in registry.IMAGE.items() if kind.access != GRADIENTS and fits(kind)]
    return ", ".join(sorted(able)) or "none"
