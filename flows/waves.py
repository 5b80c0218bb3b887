"""The units of a plan, in three waves: what a unit needs of others was found in a wave before it.

Classifiers come first, since training one fills the cache that all others open it from; the rows of the table come
last, since they judge what was crafted.
"""

from collections.abc import Mapping
from typing import Any

from flows.audit_job import AuditJob
from flows.bias_stage import bias_entries, probe
from flows.clean_stage import measure_clean
from flows.hypothesis_stage import hypothesis_names, raise_hypotheses
from flows.inside_stage import inside_entries, look_inside
from flows.natural_stage import measure_natural, natural_entries
from flows.probe_stage import measure_probe, probe_entries
from flows.replay_stage import read_replayed, replay_entries
from flows.robust_stage import attack_robust, robust_entries
from flows.shortcut_stage import plant_shortcut, shortcut_entries
from flows.steps import StepValue
from flows.table_stage import evaluate, judged_on
from flows.targeted_stage import fool, targeted_entries
from flows.units import Unit
from flows.universal_stage import UniversalEntry, craft, universal_entries

Found = Mapping[tuple[str, str], StepValue]
"""(kind, label) of a unit -> what it found."""


def classifier_units(job: AuditJob) -> list[Unit]:
    """Return a unit for each classifier: opened or trained, and measured clean."""
    return [Unit("classifier", name, measure_clean, (job, name)) for name in job.plan.classifier_names]


def attack_units(job: AuditJob) -> list[Unit]:
    """Return the units that need nothing but the classifiers: attacks, corruptions, probes and looks inside."""
    entries: list[tuple[str, Any, Any]] = [
        *(("robust", attack_robust, entry) for entry in robust_entries(job)),
        *(("targeted", fool, entry) for entry in targeted_entries(job)),
        *(("natural", measure_natural, entry) for entry in natural_entries(job)),
        *(("probe", measure_probe, entry) for entry in probe_entries(job)),
    ]
    return [
        *_crafting(job),
        *(
            Unit(kind, f"{entry.name}/{name}", function, (job, entry, name))
            for kind, function, entry in entries
            for name in entry.classifiers
        ),
        *(Unit("bias", entry.name, probe, (job, entry)) for entry in bias_entries(job)),
        *(Unit("shortcut", entry.name, plant_shortcut, (job, entry)) for entry in shortcut_entries(job)),
        *(Unit("hypotheses", name, raise_hypotheses, (job, name)) for name in hypothesis_names(job)),
        *(Unit("inside", entry.name, look_inside, (job, entry)) for entry in inside_entries(job)),
    ]


def _crafting(job: AuditJob) -> list[Unit]:
    return [
        Unit("universal", crafting_label(entry, source, run), craft, (job, entry, source, run))
        for entry in universal_entries(job)
        for source in entry.sources
        for run in range(entry.section.seeds)
    ]


def crafting_label(entry: UniversalEntry, source: str, run: int) -> str:
    """Return the label of one seed's run, counted from 1."""
    return f"{entry.name}/{source}/{run + 1}"


def crafted_runs(job: AuditJob, found: Found) -> dict[str, list[StepValue]]:
    """Return what was crafted, by ledger column: one value for each seed."""
    return {
        entry.column(source): [
            found["universal", crafting_label(entry, source, run)] for run in range(entry.section.seeds)
        ]
        for entry in universal_entries(job)
        for source in entry.sources
    }


def replayed_files(job: AuditJob) -> dict[str, StepValue]:
    """Return the perturbations read from files, by ledger column."""
    return {
        entry.column(source): read_replayed(job, entry, source)
        for entry in replay_entries(job)
        for source in entry.sources
    }


def table_units(job: AuditJob, crafted: Mapping[str, list[StepValue]], read: Mapping[str, StepValue]) -> list[Unit]:
    """Return a unit for each classifier that something is judged on: its row of ledgers."""
    universal, replayed = universal_entries(job), replay_entries(job)
    return [
        Unit("table", target, evaluate, (job, target, judged_on(target, universal, crafted, replayed, read)))
        for target in table_targets(job)
    ]


def table_targets(job: AuditJob) -> tuple[str, ...]:
    """Return the classifiers that a perturbation is judged on, in the plan's order."""
    aimed_at = {target for entry in universal_entries(job) for target in entry.targets}
    aimed_at |= {target for entry in replay_entries(job) for target in entry.targets}
    return tuple(name for name in job.plan.classifier_names if name in aimed_at)


def targeted_values(job: AuditJob, found: Found) -> dict[tuple[str, str], StepValue]:
    """Return what targeted fooling found, by entry and classifier."""
    return {
        (entry.name, name): found["targeted", f"{entry.name}/{name}"]
        for entry in targeted_entries(job)
        for name in entry.classifiers
    }
