"""Universal perturbations: craft one for each source, on one network or on several together, with one seed or more."""

from collections.abc import Sequence
from dataclasses import dataclass

import safetensors.torch
import torch
from torch import Tensor

from attacks import registry
from attacks.base import UniversalAttack
from attacks.threat import Threat
from attacks.universal.budget import tier_options
from attacks.universal.checkpoints import CheckpointFile
from attacks.universal.driver import craft_universal
from attacks.universal.views import settled
from flows.audit_job import AuditJob
from flows.batches import batch_size
from flows.ledgers import settings_text
from flows.naming import entry_names
from flows.shared_crafting import Kept, crafted_together, device_of
from flows.steps import Step, StepValue, pack
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from wolfhound.classifier import Classifier
from wolfhound.errors import PlanError
from wolfhound.plan import UniversalSection
from wolfhound.progress import Progress, silent
from wolfhound.store import sha256


@dataclass(frozen=True)
class UniversalEntry:
    """One universal section of the plan under a name that is unique in it, such as "sgd_uap-linf-10of255".

    `sources` are the rows of its table: classifiers, then the names of its ensembles. `targets` include every
    classifier that something is crafted on, for the white-box cells.
    """

    name: str
    section: UniversalSection
    threat: Threat
    sources: tuple[str, ...]
    targets: tuple[str, ...]

    def column(self, source: str) -> str:
        """The ledger column of the perturbation that was computed on `source`."""
        return f"{self.name}/{source}"

    def seed_column(self, source: str, run: int) -> str:
        """The ledger column of the run with that seed, counted from 0."""
        return f"{self.column(source)}/run {run + 1}"

    def epsilon_column(self, source: str, epsilon: float) -> str:
        """The ledger column of the same perturbation scaled to a smaller epsilon."""
        return f"{self.column(source)}/epsilon {epsilon:.10g}"

    def members(self, source: str) -> tuple[str, ...]:
        """The classifiers that the row `source` is crafted on."""
        return self.section.ensembles.get(source, (source,))

    def white_box(self, source: str, target: str) -> bool:
        """Whether the perturbation of `source` was crafted with full knowledge of `target`."""
        return target in self.members(source)

    def attack(self) -> UniversalAttack:
        """The attack with the options of its tier and of the plan."""
        return planned_attack(self.section)


def planned_attack(section: UniversalSection) -> UniversalAttack:
    """Return the attack of a section, with the options of its tier, and over them its own.

    Raises:
        PlanError: no such attack, or options that it does not have.
    """
    name, options = section.attack, dict(section.options)
    if section.tier is not None and name in registry.UNIVERSAL:
        options = tier_options(registry.UNIVERSAL[name], section.tier, options)
    return registry.make_universal(name, options)


def threat_of(job: AuditJob, section: UniversalSection) -> Threat:
    """Return the threat of a section, its target by index.

    Raises:
        PlanError: the target is no class.
    """
    target = None
    if section.target is not None:
        names = open_splits(job).whole.class_names
        if section.target not in names:
            raise PlanError(f"{section.attack}: expected a class name as target, got {section.target!r}")
        target = names.index(section.target)
    return Threat(section.threat.norm, section.threat.epsilon, target, place=section.threat.place)


def universal_entries(job: AuditJob) -> tuple[UniversalEntry, ...]:
    """Return the plan's universal sections, named."""
    threats = [threat_of(job, section) for section in job.plan.universal]
    names = entry_names([(s.attack, threat) for s, threat in zip(job.plan.universal, threats, strict=True)])
    entries = []
    for name, section, threat in zip(names, job.plan.universal, threats, strict=True):
        crafted_on = (*job.plan.chosen(section.sources), *(m for group in section.ensembles.values() for m in group))
        wanted = {*crafted_on, *job.plan.chosen(section.targets)}
        sources = (*job.plan.chosen(section.sources), *section.ensembles)
        targets = tuple(target for target in job.plan.classifier_names if target in wanted)
        entries.append(UniversalEntry(name, section, threat, sources, targets))
    return tuple(entries)


def craft(job: AuditJob, entry: UniversalEntry, source: str, run: int = 0, progress: Progress = silent) -> StepValue:
    """Return the perturbation computed on `source` with one seed: artefact, history and seed. Done once.

    Broken off, it goes on from where it stood a minute before at most.
    """
    members = [open_classifier(job, name) for name in entry.members(source)]
    step, _ = _step(job, entry, source, run, members)
    several = job.crafting_processes > 1
    value = step.once(lambda: (crafted_together if several else crafted_here)(job, entry, source, run, progress))
    _checkpoint(job, step).forget()
    return value


def crafted_here(
    job: AuditJob, entry: UniversalEntry, source: str, run: int, progress: Progress, *, rank: int = 0
) -> StepValue:
    """Return the perturbation as `craft` does, computed in this process: the one of that rank where several do it."""
    members = [open_classifier(job, name) for name in entry.members(source)]
    step, seed = _step(job, entry, source, run, members)
    splits, attack = open_splits(job).splits, entry.attack()
    result = craft_universal(
        attack,
        [member.to(device_of(job, rank)) for member in members],
        splits.craft,
        splits.select,
        entry.threat,
        generator=torch.Generator().manual_seed(seed),
        batch_size=batch_size(job),
        progress=progress,
        checkpoint=Kept(_checkpoint(job, step), writes=rank == 0),
    )
    tensors = {"best": result.best.clone(), "last": result.last.clone()}
    return {
        "deltas": pack(job.store.put(safetensors.torch.save(tensors), ".safetensors")),
        "history": [[point.passes, point.gradients, float(point.share)] for point in result.history],
        "chosen": [result.chosen.passes, float(result.chosen.share)],
        "gradients": result.gradients,
        "title": attack.title,
        "settings": settings_text(settled(attack, open_splits(job).splits.craft.size)),
        "citation": attack.source,
        "seed": seed,
    }


def _checkpoint(job: AuditJob, step: Step) -> CheckpointFile:
    """Return where an unfinished run is kept: in the cache, as the run folder holds nothing but evidence.

    Under all that would make it another run's.
    """
    unfinished = sha256(f"{step.key} {batch_size(job)} {job.device} {torch.__version__}".encode())
    return CheckpointFile(job.cache / "unfinished" / f"{unfinished}.safetensors")


def _step(
    job: AuditJob, entry: UniversalEntry, source: str, run: int, members: Sequence[Classifier]
) -> tuple[Step, int]:
    """Return the step of one run, and its seed."""
    splits = open_splits(job).splits
    named = (source, run) if run else (source,)
    seed = job.seed("universal", entry.name, *named)
    step = job.step(
        f"universal/{entry.name}/{'/'.join(map(str, named))}",
        attack=repr(settled(entry.attack(), splits.craft.size)),
        threat=entry.threat.text,
        classifiers=[member.identity for member in members],
        craft=splits.craft.fingerprint,
        select=splits.select.fingerprint,
        checkpoint="the last within one standard error of the best",
        seed=seed,
        **({"processes": job.crafting_processes} if job.crafting_processes > 1 else {}),
    )
    return step, seed


def best_run(values: Sequence[StepValue]) -> int:
    """Return which of several runs has the highest share on the select split, counted from 0 (the first of equals).

    It is that of the checkpoint which is delivered. No held-out image has a say in it.
    """
    shares = [value["chosen"][1] for value in values]
    return shares.index(max(shares))


def load_delta(data: bytes, *, name: str = "best") -> Tensor:
    """Return a stored perturbation `[3,H,W]`."""
    return safetensors.torch.load(data)[name]
