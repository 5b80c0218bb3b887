"""The road of one audit, as plain functions: open, measure, conclude, render, seal. Prefect is not needed to run it.

`conduct` hands the units of flows.waves to `call`, which runs them here by default, as Prefect tasks where flows.tasks
does, and on other machines where a runner of flows.runners is chosen.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from flows import preflight
from flows.attack_checks import check_against_classes
from flows.audit_job import AuditJob
from flows.batches import record_batch_size
from flows.bias_stage import bias_entries, bias_findings, check_bias
from flows.clean_stage import clean_finding, stored_doubts
from flows.comparing import earlier_of, record_comparison
from flows.conclusion import conclude, image_records
from flows.environment import machine, packages, versions
from flows.finding_steps import finding_of, subject_of
from flows.gradient_check import check_opened
from flows.group_stage import check_groups, group_findings
from flows.hypothesis_stage import hypothesis_names
from flows.inside_stage import check_layers, inside_entries
from flows.ledgers import csv_bytes
from flows.natural_stage import natural_entries, natural_finding
from flows.planning import check_against_registries
from flows.presenting import presentation_of, record_presentation
from flows.probe_stage import probe_entries, probe_finding
from flows.replay_findings import direct_column, replay_finding, replay_table
from flows.replay_stage import check_replayed, replay_entries
from flows.robust_findings import robust_finding
from flows.robust_stage import robust_entries
from flows.run_folder import locked, sweep
from flows.shared_crafting import check_shareable
from flows.shortcut_stage import open_shortcut_images, shortcut_entries
from flows.steps import StepValue
from flows.subject_classifiers import classes_of, describe, layout_of, open_classifier, open_loadable, precision_of
from flows.targeted_stage import targeted_entries, targeted_finding
from flows.units import Call, Tally, directly
from flows.universal_findings import (
    UniversalResults,
    cross_architecture_table,
    transfer_finding,
    universal_finding,
)
from flows.universal_stage import universal_entries
from flows.waves import (
    Found,
    attack_units,
    classifier_units,
    crafted_runs,
    replayed_files,
    table_units,
    targeted_values,
)
from reports.render import render
from wolfhound.evidence import Evidence, Finding, RunRecord
from wolfhound.progress import Progress, silent
from wolfhound.tables import rate_frame
from wolfhound.verdicts import exit_code, overall


@dataclass(frozen=True)
class AuditResult:
    """A finished audit: its evidence, the exit code that a gate goes by, and the digest that stands for the folder."""

    evidence: Evidence
    exit_code: int
    seal: str


def prepare(job: AuditJob, *, progress: Progress = silent) -> None:
    """Check everything that can be checked before any work starts, and stop at what the preflight finds.

    Raises:
        PlanError, DataError, ModelError: bad input; nothing was run.
    """
    open_all(job, progress=progress)
    preflight.stop_at_errors(job)


def open_all(job: AuditJob, *, progress: Progress = silent) -> None:
    """Open and check all that a plan names, without the preflight's judgement of it, which the doctor lists whole.

    Raises:
        PlanError, DataError, ModelError: bad input.
    """
    check_against_registries(job)
    check_shareable(job)
    check_replayed(job)
    open_loadable(job, progress=progress)
    check_against_classes(job)
    check_opened(job)
    check_layers(job)
    check_bias(job)
    check_groups(job)
    for entry in shortcut_entries(job):
        open_shortcut_images(job, entry, progress)
    earlier_of(job)
    presentation_of(job.plan.report)


def run_audit(job: AuditJob, *, call: Call = directly, progress: Progress = silent) -> AuditResult:
    """Run a prepared audit to its sealed report, going on from whatever its run folder already holds.

    Raises:
        PlanError: another audit holds the run folder.
    """
    with locked(job.root):
        started, tally = _now(), Tally()
        sweep(job.root)
        job.store.write("plan.yaml", job.source)
        batch = record_batch_size(job)
        evidence = conduct(job, call=call, progress=progress, tally=tally)
        job.store.gather()
        ran_on = {**machine(job.device), "batch size": str(batch), **_layouts(job)}
        reused = tuple(sorted(tally.reused))
        record = RunRecord(started, _now(), ran_on, versions(), tally.seconds, reused, packages())
        job.store.write_evidence(evidence, record)
        record_comparison(job)
        record_presentation(job)
        for table in evidence.tables:
            job.store.write(f"tables/{table.name}.csv", csv_bytes(rate_frame(table)))
        with progress("writing the report", 1) as advance:
            key, stamping = (None, None) if job.signing is None else job.signing.load()
            render(job.store, key=key, stamping=stamping)
            advance(1)
        return AuditResult(evidence, exit_code(overall(evidence.judgements)), job.store.seal())


def _layouts(job: AuditJob) -> dict[str, str]:
    names = job.plan.classifier_names
    layouts = {f"memory layout of {name}": layout_of(job, name) for name in names}
    precisions = {f"precision of {name}": precision_of(job, name) for name in names}
    return {**layouts, **precisions, **{f"classes of {name}": classes_of(job, name) for name in names}}


def conduct(
    job: AuditJob, *, call: Call = directly, progress: Progress = silent, tally: Tally | None = None
) -> Evidence:
    """Return the evidence of every stage of the plan. Finished steps of the run folder are not done again."""
    run = partial((tally or Tally()).run, call=call, progress=progress)
    found = dict(run(classifier_units(job)))
    found |= run(attack_units(job))
    crafted, read = crafted_runs(job, found), replayed_files(job)
    found |= run(table_units(job, crafted, read))
    names = job.plan.classifier_names
    ledgers = {target: found["table", target] for target in names if ("table", target) in found}
    doubts = {name: stored_doubts(found["classifier", name]) for name in names}
    results = UniversalResults(crafted, ledgers, doubts)
    bias = bias_findings({entry.name: (entry, found["bias", entry.name]) for entry in bias_entries(job)})
    shortcuts = [found["shortcut", entry.name] for entry in shortcut_entries(job)]
    planted = [(subject_of(value), finding_of(value)) for value in shortcuts]
    findings = [
        *(clean_finding(job, name, found["classifier", name]) for name in names),
        *_universal(job, results, read),
        *_attacked(job, found, results),
        *(finding for _, finding in bias),
        *(finding for _, finding in planted),
        *group_findings(job, results, targeted_values(job, found)),
        *(finding_of(found["hypotheses", name]) for name in hypothesis_names(job)),
        *(finding_of(found["inside", entry.name]) for entry in inside_entries(job)),
    ]
    subjects = (
        *(describe(open_classifier(job, name)) for name in names),
        *(subject for subject, _ in (*bias, *planted) if subject is not None),
    )
    tables = (
        *(cross_architecture_table(job, entry, results) for entry in universal_entries(job)),
        *(replay_table(job, entry, results) for entry in replay_entries(job)),
    )
    return conclude(job, subjects=subjects, images=image_records(job), findings=findings, tables=tables)


def _universal(job: AuditJob, results: UniversalResults, read: Mapping[str, StepValue]) -> list[Finding]:
    entries = universal_entries(job)
    crafted = [
        universal_finding(job, entry, source, target, results)
        for entry in entries
        for source in entry.sources
        for target in entry.members(source)
    ]
    transfers = [transfer_finding(job, entry, target, results) for entry in entries for target in entry.targets]
    replays = [
        replay_finding(job, entry, target, results, read, direct=direct_column(entries, entry, target))
        for entry in replay_entries(job)
        for target in entry.targets
    ]
    return [*crafted, *(finding for finding in transfers if finding is not None), *replays]


def _attacked(job: AuditJob, found: Found, results: UniversalResults) -> list[Finding]:
    stages: list[tuple[str, Any, Any]] = [
        *(("robust", robust_finding, entry) for entry in robust_entries(job)),
        *(("targeted", targeted_finding, entry) for entry in targeted_entries(job)),
        *(("natural", natural_finding, entry) for entry in natural_entries(job)),
        *(("probe", probe_finding, entry) for entry in probe_entries(job)),
    ]
    return [
        finding(job, entry, name, found[kind, f"{entry.name}/{name}"], results.doubts[name])
        for kind, finding, entry in stages
        for name in entry.classifiers
    ]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
