"""Replay: published or earlier perturbations, read from files and judged beside those that the audit computes."""

from dataclasses import dataclass

import safetensors.torch

from attacks.threat import Threat
from attacks.universal.replay import Reading, read_perturbation
from flows.audit_job import AuditJob
from flows.naming import threat_name
from flows.steps import StepValue, only_looked_at, pack
from flows.subject_images import open_splits
from wolfhound.evidence import Artefact
from wolfhound.plan import ReplaySection
from wolfhound.store import sha256


@dataclass(frozen=True)
class ReplayEntry:
    """One replay section of the plan under a name that is unique in it."""

    name: str
    section: ReplaySection
    threat: Threat
    targets: tuple[str, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the files, as the plan has them."""
        return tuple(file.name for file in self.section.files)

    def column(self, source: str) -> str:
        """The ledger column of one file's perturbation."""
        return f"{self.name}/{source}"


def replay_entries(job: AuditJob) -> tuple[ReplayEntry, ...]:
    """Return the plan's replay sections, named "replay-linf-10of255" and so on."""
    entries = []
    for index, section in enumerate(job.plan.replay, start=1):
        threat = Threat(section.threat.norm, section.threat.epsilon, knowledge="transfer", place=section.threat.place)
        name = f"replay-{threat_name(threat)}" + (f"-{index}" if index > 1 else "")
        entries.append(ReplayEntry(name, section, threat, job.plan.chosen(section.targets)))
    return tuple(entries)


def read_replayed(job: AuditJob, entry: ReplayEntry, source: str) -> StepValue:
    """Return one perturbation as an artefact, and what has to be said of it. Cheap, so it is done each time.

    Raises:
        DataError: the file cannot be read, or shows neither its layout nor its scale.
    """
    section = entry.section
    reading = Reading(section.layout, section.scale, section.channels)
    path = next(file.path for file in section.files if file.name == source)
    found = read_perturbation(path, reading)
    data = safetensors.torch.save({"best": found.delta})
    looked_at = Artefact(sha256(data), ".safetensors", len(data))
    stored = looked_at if only_looked_at() else job.store.put(data, looked_at.suffix)
    return {
        "deltas": pack(stored),
        "title": f"replayed {source}",
        "conditions": found.conditions(entry.threat, open_splits(job).splits.report.size),
    }


def check_replayed(job: AuditJob) -> None:
    """Read every perturbation of the plan once, so that a bad file is found before any work.

    Raises:
        DataError: a file cannot be read, or shows neither its layout nor its scale.
    """
    for section in job.plan.replay:
        for file in section.files:
            read_perturbation(file.path, Reading(section.layout, section.scale, section.channels))
