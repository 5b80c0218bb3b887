"""Probes of plug-ins: how a classifier fares on images that an installed package's function changed."""

from dataclasses import dataclass

import numpy as np

from attacks.plugged_probe import plugged_probe, probe_ledger
from flows.audit_job import AuditJob
from flows.batches import batch_size
from flows.ledgers import csv_bytes, read_csv
from flows.steps import StepValue, pack, unpack
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from wolfhound.counting import Counted, differs, same
from wolfhound.evidence import Doubt, Finding
from wolfhound.metrics import accuracy, fooling_rate
from wolfhound.plan_attacks import ProbeSection
from wolfhound.plugins import plugin_origin
from wolfhound.progress import Progress, silent

LEDGER = "predictions before and after the probe"


@dataclass(frozen=True)
class ProbeEntry:
    """One probe of the plan under a name that is unique in it."""

    name: str
    section: ProbeSection
    classifiers: tuple[str, ...]
    seed: int


def probe_entries(job: AuditJob) -> tuple[ProbeEntry, ...]:
    """Return the plan's probes, named by their plug-in; the second of the same one ends in -2, and so on."""
    entries = []
    for index, section in enumerate(job.plan.probes):
        before = sum(other.plugin == section.plugin for other in job.plan.probes[:index])
        name = f"{section.plugin}-{before + 1}" if before else section.plugin
        entries.append(ProbeEntry(name, section, job.plan.chosen(section.classifiers), job.seed("probe", name)))
    return tuple(entries)


def measure_probe(job: AuditJob, entry: ProbeEntry, name: str, progress: Progress = silent) -> StepValue:
    """Return the ledger of one classifier under one probe on the report split. Done once."""
    classifier, images = open_classifier(job, name), open_splits(job).splits.report
    section = entry.section
    step = job.step(
        f"probe/{entry.name}/{name}",
        probe=plugin_origin("wolfhound.probes", section.plugin),
        options=dict(section.options),
        classifier=classifier.identity,
        images=images.fingerprint,
        seed=entry.seed,
    )

    def work() -> StepValue:
        ledger = probe_ledger(
            classifier.to(job.device),
            images,
            plugged_probe(section.plugin, section.options),
            section.options,
            name=section.plugin,
            seed=entry.seed,
            batch_size=batch_size(job),
            progress=progress,
        )
        return {"ledger": pack(job.store.put(csv_bytes(ledger), ".csv"))}

    return step.once(work)


def probe_finding(job: AuditJob, entry: ProbeEntry, name: str, value: StepValue, doubts: tuple[Doubt, ...]) -> Finding:
    """Return the finding on one classifier, recomputed from the ledger."""
    file = unpack(value["ledger"])
    ledger = read_csv(job.store.get(file))
    label, clean, after = (ledger[column].to_numpy(np.int64) for column in ("label", "clean", "probed"))
    right, changed = accuracy(after, label), fooling_rate(clean, after)
    return Finding(
        id=f"natural/probe-{entry.name}/{name}",
        kind="natural",
        subject=name,
        title=f"Probe {entry.section.plugin} on {name}",
        claim=(
            f"{name} classified {right.successes} of {right.total} held-out images as labelled after the probe "
            f"{entry.section.plugin} had changed them, and {changed.successes} predictions differ from those before."
        ),
        knowledge="none",
        conditions={
            "probe": plugin_origin("wolfhound.probes", entry.section.plugin),
            "options": ", ".join(f"{key} = {value}" for key, value in entry.section.options.items()) or "none",
            "images": "the report split, changed one by one, clipped to [0, 1] and rounded to 8 bit",
            "seed": str(entry.seed),
        },
        rates={"accuracy_under_probe": right, "changed_by_probe": changed, "clean_accuracy": accuracy(clean, label)},
        counted={
            "accuracy_under_probe": Counted(LEDGER, ((same("probed", "label"),),)),
            "changed_by_probe": Counted(LEDGER, ((differs("clean", "probed"),),)),
            "clean_accuracy": Counted(LEDGER, ((same("clean", "label"),),)),
        },
        ledgers={LEDGER: file},
        reproduce=job.command,
        doubts=doubts,
    )
