"""The road of one audit, as plain functions: open, measure, conclude, render, seal. Prefect is not needed to run it.

`conduct` names each unit of work that is worth retrying or finding again alone, and hands it to `call`: directly by
default, as a Prefect task where flows.tasks runs it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from flows.audit_job import AuditJob
from flows.bias_stage import bias_entries, bias_findings, probe
from flows.clean_stage import clean_finding, measure_clean, stored_doubts
from flows.comparing import earlier_of, record_comparison
from flows.conclusion import conclude, image_records
from flows.environment import machine, versions
from flows.gradient_check import check_opened
from flows.inside_stage import check_layers, inside_entries, inside_finding, look_inside
from flows.ledgers import csv_bytes
from flows.natural_stage import measure_natural, natural_entries, natural_finding
from flows.planning import check_against_registries
from flows.probe_stage import measure_probe, probe_entries, probe_finding
from flows.replay_findings import direct_column, replay_finding, replay_table
from flows.replay_stage import check_replayed, read_replayed, replay_entries
from flows.robust_findings import robust_finding
from flows.robust_stage import attack_robust, robust_entries
from flows.run_folder import locked
from flows.steps import StepValue, reused_steps
from flows.subject_classifiers import classes_of, describe, layout_of, open_classifier, open_loadable
from flows.table_stage import evaluate, judged_on
from flows.targeted_stage import fool, targeted_entries, targeted_finding
from flows.universal_findings import (
    UniversalResults,
    cross_architecture_table,
    transfer_finding,
    universal_finding,
)
from flows.universal_stage import craft, universal_entries
from reports.render import render
from wolfhound.evidence import Evidence, Finding, RateTable, RunRecord, Subject
from wolfhound.progress import Progress, silent
from wolfhound.tables import rate_frame
from wolfhound.verdicts import exit_code, overall


class Call(Protocol):
    """Runs one unit of work: `function(*arguments)`, known to people as "kind: label"."""

    def __call__(self, kind: str, label: str, function: Callable[..., StepValue], /, *arguments: Any) -> StepValue: ...


def directly(kind: str, label: str, function: Callable[..., StepValue], /, *arguments: Any) -> StepValue:
    """Run a unit in this very process, without Prefect."""
    del kind, label
    return function(*arguments)


@dataclass(frozen=True)
class AuditResult:
    """A finished audit: its evidence, the exit code that a gate goes by, and the digest that stands for the folder."""

    evidence: Evidence
    exit_code: int
    seal: str


def prepare(job: AuditJob, *, progress: Progress = silent) -> None:
    """Check everything that can be checked before any work starts.

    Raises:
        PlanError, DataError, ModelError: bad input; nothing was run.
    """
    check_against_registries(job)
    check_replayed(job)
    open_loadable(job, progress=progress)
    check_opened(job)
    check_layers(job)
    earlier_of(job)


def run_audit(job: AuditJob, *, call: Call = directly, progress: Progress = silent) -> AuditResult:
    """Run a prepared audit to its sealed report, going on from whatever its run folder already holds.

    Raises:
        PlanError: another audit holds the run folder.
    """
    with locked(job.root):
        started, seconds = _now(), dict[str, float]()
        job.store.write("plan.yaml", job.source)
        evidence = conduct(job, call=call, progress=progress, seconds=seconds)
        record = RunRecord(
            started, _now(), {**machine(job.device), **_layouts(job)}, versions(), seconds, reused_steps(job.store)
        )
        job.store.write_evidence(evidence, record)
        record_comparison(job)
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
    return {**layouts, **{f"classes of {name}": classes_of(job, name) for name in names}}


def conduct(
    job: AuditJob, *, call: Call = directly, progress: Progress = silent, seconds: dict[str, float] | None = None
) -> Evidence:
    """Return the evidence of every stage of the plan. Finished steps of the run folder are not done again."""
    spent = {} if seconds is None else seconds
    names = job.plan.classifier_names
    with _timed(spent, "classifiers"):
        clean = {name: call("classifier", name, measure_clean, job, name, progress) for name in names}
    findings: list[Finding] = [clean_finding(job, name, clean[name]) for name in names]
    with _timed(spent, "universal perturbations"):
        tables, universal = _universal(job, clean, call=call, progress=progress)
    with _timed(spent, "per-image attacks"):
        robust = _robust(job, clean, call=call, progress=progress)
    with _timed(spent, "targeted fooling"):
        targeted = _targeted(job, clean, call=call, progress=progress)
    with _timed(spent, "natural robustness"):
        natural = _natural(job, clean, call=call, progress=progress)
    with _timed(spent, "bias probes"):
        bias = _bias(job, call=call, progress=progress)
    with _timed(spent, "inside the network"):
        inside = _inside(job, call=call, progress=progress)
    subjects = tuple(describe(open_classifier(job, name)) for name in names) + tuple(subject for subject, _ in bias)
    findings += [*universal, *robust, *targeted, *natural, *(finding for _, finding in bias), *inside]
    return conclude(job, subjects=subjects, images=image_records(job), findings=findings, tables=tables)


def _universal(
    job: AuditJob, clean: dict[str, StepValue], *, call: Call, progress: Progress
) -> tuple[tuple[RateTable, ...], list[Finding]]:
    entries, replayed = universal_entries(job), replay_entries(job)
    crafted = {
        entry.column(source): [
            call("universal", f"{entry.name}/{source}/{run + 1}", craft, job, entry, source, run, progress)
            for run in range(entry.section.seeds)
        ]
        for entry in entries
        for source in entry.sources
    }
    read = {entry.column(source): read_replayed(job, entry, source) for entry in replayed for source in entry.sources}
    aimed_at = {target for entry in entries for target in entry.targets}
    aimed_at |= {target for entry in replayed for target in entry.targets}
    ledgers = {
        target: call(
            "table", target, evaluate, job, target, judged_on(target, entries, crafted, replayed, read), progress
        )
        for target in job.plan.classifier_names
        if target in aimed_at
    }
    results = UniversalResults(crafted, ledgers, {name: stored_doubts(value) for name, value in clean.items()})
    findings = [
        universal_finding(job, entry, source, target, results)
        for entry in entries
        for source in entry.sources
        for target in entry.members(source)
    ]
    transfers = [transfer_finding(job, entry, target, results) for entry in entries for target in entry.targets]
    replays = [
        replay_finding(job, entry, target, results, read, direct=direct_column(entries, entry, target))
        for entry in replayed
        for target in entry.targets
    ]
    tables = (
        *(cross_architecture_table(job, entry, results) for entry in entries),
        *(replay_table(job, entry, results) for entry in replayed),
    )
    return tables, [*findings, *(finding for finding in transfers if finding is not None), *replays]


def _robust(job: AuditJob, clean: dict[str, StepValue], *, call: Call, progress: Progress) -> list[Finding]:
    findings = []
    for entry in robust_entries(job):
        for name in entry.classifiers:
            value = call("robust", f"{entry.name}/{name}", attack_robust, job, entry, name, progress)
            findings.append(robust_finding(job, entry, name, value, stored_doubts(clean[name])))
    return findings


def _targeted(job: AuditJob, clean: dict[str, StepValue], *, call: Call, progress: Progress) -> list[Finding]:
    findings = []
    for entry in targeted_entries(job):
        for name in entry.classifiers:
            value = call("targeted", f"{entry.name}/{name}", fool, job, entry, name, progress)
            findings.append(targeted_finding(job, entry, name, value, stored_doubts(clean[name])))
    return findings


def _natural(job: AuditJob, clean: dict[str, StepValue], *, call: Call, progress: Progress) -> list[Finding]:
    findings = []
    for entry in natural_entries(job):
        for name in entry.classifiers:
            value = call("natural", f"{entry.name}/{name}", measure_natural, job, entry, name, progress)
            findings.append(natural_finding(job, entry, name, value, stored_doubts(clean[name])))
    for probed in probe_entries(job):
        for name in probed.classifiers:
            value = call("probe", f"{probed.name}/{name}", measure_probe, job, probed, name, progress)
            findings.append(probe_finding(job, probed, name, value, stored_doubts(clean[name])))
    return findings


def _bias(job: AuditJob, *, call: Call, progress: Progress) -> list[tuple[Subject, Finding]]:
    values = {e.name: (e, call("bias", e.name, probe, job, e, progress)) for e in bias_entries(job)}
    return bias_findings(values)


def _inside(job: AuditJob, *, call: Call, progress: Progress) -> list[Finding]:
    return [inside_finding(call("inside", e.name, look_inside, job, e, progress)) for e in inside_entries(job)]


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    begun = time.monotonic()
    try:
        yield
    finally:
        seconds[name] = round(time.monotonic() - begun, 2)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
