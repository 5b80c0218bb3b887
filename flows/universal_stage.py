"""Universal perturbations and the cross-architecture table: craft on each source, evaluate on each target."""

import io
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import safetensors.torch
import torch
from torch import Tensor

from attacks import registry
from attacks.base import ImageAttack, UniversalAttack
from attacks.budget import tier_options
from attacks.checkpoints import CheckpointFile
from attacks.controls import sign_noise
from attacks.judge import Bounded, transfer_predictions, under
from attacks.threat import Threat
from attacks.universal import craft_universal
from flows.audit_job import AuditJob
from flows.steps import StepValue, pack, unpack
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from wolfhound.plan import UniversalSection
from wolfhound.progress import Progress, silent
from wolfhound.store import sha256

NOISE = "random sign noise (control)"


@dataclass(frozen=True)
class UniversalEntry:
    """One universal section of the plan under a name that is unique in it, such as "sgd_uap-linf-10of255"."""

    name: str
    section: UniversalSection
    threat: Threat
    sources: tuple[str, ...]
    targets: tuple[str, ...]

    def column(self, source: str) -> str:
        """The ledger column of the perturbation that was computed on `source`."""
        return f"{self.name}/{source}"


def universal_entries(job: AuditJob) -> tuple[UniversalEntry, ...]:
    """Return the plan's universal sections, named; targets include the sources, for the white-box diagonal."""
    entries: list[UniversalEntry] = []
    for section in job.plan.universal:
        threat = Threat(section.threat.norm, section.threat.epsilon)
        base = f"{section.attack}-{threat.norm}-{threat.epsilon_text.replace('/', 'of')}"
        taken = sum(entry.name == base or entry.name.startswith(f"{base}-") for entry in entries)
        sources = job.plan.chosen(section.sources)
        wanted = {*sources, *job.plan.chosen(section.targets)}
        targets = tuple(name for name in job.plan.classifier_names if name in wanted)
        entries.append(UniversalEntry(f"{base}-{taken + 1}" if taken else base, section, threat, sources, targets))
    return tuple(entries)


def planned_attack(section: UniversalSection) -> UniversalAttack:
    """Return the attack of a section: its options over those of its tier over the defaults.

    Raises:
        PlanError: no such attack, or options that it does not have or cannot use.
    """
    options = section.options
    if section.tier is not None and section.attack in registry.UNIVERSAL:
        options = tier_options(registry.UNIVERSAL[section.attack], section.tier, options)
    return registry.make_universal(section.attack, options)


def craft(job: AuditJob, entry: UniversalEntry, source: str, progress: Progress = silent) -> StepValue:
    """Return the perturbation computed on `source`: artefact, history and seed. Done once.

    Broken off, it goes on from where it stood a minute before at most.
    """
    classifier, splits = open_classifier(job, source), open_splits(job).splits
    seed = job.seed("universal", entry.name, source)
    attack = planned_attack(entry.section)
    step = job.step(
        f"universal/{entry.name}/{source}",
        attack=repr(attack),
        threat=entry.threat.text,
        weights=classifier.weights_digest,
        craft=splits.craft.fingerprint,
        select=splits.select.fingerprint,
        seed=seed,
    )
    # In the cache, as the run folder holds nothing but evidence; under all that would make it another run's.
    run = sha256(f"{step.key} {job.plan.batch_size} {job.device} {torch.__version__}".encode())
    checkpoint = CheckpointFile(job.cache / "unfinished" / f"{run}.safetensors")

    def work() -> StepValue:
        result = craft_universal(
            attack,
            classifier.to(job.device),
            splits.craft,
            splits.select,
            entry.threat,
            generator=torch.Generator().manual_seed(seed),
            batch_size=job.plan.batch_size,
            progress=progress,
            checkpoint=checkpoint,
        )
        tensors = {"best": result.best.clone(), "last": result.last.clone()}
        return {
            "deltas": pack(job.store.put(safetensors.torch.save(tensors), ".safetensors")),
            "history": [[point.passes, point.gradients, point.rate.share] for point in result.history],
            "gradients": result.gradients,
            "title": attack.title,
            "settings": settings_text(attack),
            "citation": attack.source,
            "seed": seed,
        }

    value = step.once(work)
    checkpoint.forget()
    return value


def evaluate(job: AuditJob, target: str, crafted: Mapping[str, StepValue], progress: Progress = silent) -> StepValue:
    """Return the per-image ledger of one target under every perturbation and control. Done once.

    `crafted` maps a ledger column to what `craft` returned for it. Each image goes through the target once clean and
    once a perturbation.
    """
    classifier, splits = open_classifier(job, target), open_splits(job).splits
    threats = {entry.column(source): entry.threat for entry in universal_entries(job) for source in entry.sources}
    wanted = {column: unpack(crafted[column]["deltas"]) for column in sorted(crafted)}
    noise_seed = job.seed("noise")
    step = job.step(
        f"table/{target}",
        deltas={column: artefact.sha256 for column, artefact in wanted.items()},
        threats={column: threats[column].text for column in wanted},
        weights=classifier.weights_digest,
        report=splits.report.fingerprint,
        noise=noise_seed,
    )

    def work() -> StepValue:
        judged: dict[str, Bounded] = {}
        for threat in dict.fromkeys(threats[column] for column in wanted):
            noise = sign_noise(threat, splits.report.size, generator=torch.Generator().manual_seed(noise_seed))
            group = {
                column: load_delta(job.store.get(wanted[column])) for column in wanted if threats[column] == threat
            }
            judged |= under(threat, group | {noise_column(threat): noise})
        ledger = transfer_predictions(
            classifier.to(job.device), splits.report, judged, batch_size=job.plan.batch_size, progress=progress
        )
        return {"ledger": pack(job.store.put(csv_bytes(ledger), ".csv"))}

    return step.once(work)


def noise_column(threat: Threat) -> str:
    """The ledger column of the noise control of that size."""
    return f"noise/{threat.norm}-{threat.epsilon_text.replace('/', 'of')}"


def load_delta(data: bytes, *, name: str = "best") -> Tensor:
    """Return a stored perturbation `[3,H,W]`."""
    return safetensors.torch.load(data)[name]


def csv_bytes(table: pd.DataFrame) -> bytes:
    """Return a table as CSV, the same bytes on every system."""
    return table.to_csv(index=False, lineterminator="\n").encode()


def read_csv(data: bytes) -> pd.DataFrame:
    """Return the table of stored CSV bytes."""
    return pd.read_csv(io.BytesIO(data))


def settings_text(attack: UniversalAttack | ImageAttack) -> str:
    """Return the hyper-parameters of an attack in words: "passes 10, images per update 100".

    >>> from attacks.targeted import TargetedAscent
    >>> settings_text(TargetedAscent(most_steps=5)).split(", ")[-1].startswith("shrinking")
    True
    """
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in attack_options(attack).items())


def attack_options(attack: UniversalAttack | ImageAttack) -> dict[str, object]:
    """Return the hyper-parameters of an attack by name."""
    return {part: getattr(attack, part) for part in registry.defaults(type(attack))}
