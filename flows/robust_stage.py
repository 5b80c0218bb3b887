"""Per-image attacks that leave a class: one attack or an ensemble, on held-out images, and what speaks against it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from numpy.typing import NDArray

from attacks import registry
from attacks.base import ImageAttack
from attacks.judge import predict
from attacks.per_image.curves import SizeCurve, curve_by_bisection, curve_of_ledger
from attacks.per_image.driver import ImageAttackResult, attack_seeded
from attacks.per_image.standard import ENSEMBLES, image_seeds, run_ensemble
from attacks.per_image.transfer import Surrogate, Transfer
from attacks.perceptual import with_sizes
from attacks.threat import Threat
from flows.audit_job import AuditJob
from flows.batches import batch_size
from flows.ledgers import csv_bytes, read_csv, settings_text
from flows.naming import entry_names
from flows.steps import StepValue, pack, unpack
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from wolfhound.classifier import Classifier
from wolfhound.images import ImageSet
from wolfhound.plan import RobustSection
from wolfhound.progress import Progress, silent

LARGE = Threat("linf", 0.5)
"""Within it every image can be made the same grey one, so a working attack leaves no more than chance."""

ITERATIONS = ("iterations", "most_steps", "most_queries")
"""Hyper-parameters that say how long a per-image attack may go on."""


@dataclass(frozen=True)
class RobustEntry:
    """One robust section of the plan under a name that is unique in it."""

    name: str
    section: RobustSection
    threat: Threat
    classifiers: tuple[str, ...]

    @property
    def title(self) -> str:
        """What attacks, in words."""
        if self.section.ensemble is not None:
            return ENSEMBLES[self.section.ensemble].title
        return registry.make_image(str(self.section.attack), self.section.options, targeted=False).title


def robust_entries(job: AuditJob) -> tuple[RobustEntry, ...]:
    """Return the plan's robust sections, named. A classifier is not attacked through itself as a surrogate."""
    sections = job.plan.robust
    threats = [Threat(s.threat.norm, s.threat.epsilon, knowledge=_knowledge(s)) for s in sections]
    labels = [s.attack or ENSEMBLES[s.ensemble or "quick"].name for s in sections]
    names = entry_names(list(zip(labels, threats, strict=True)))
    return tuple(
        RobustEntry(name, s, threat, tuple(c for c in job.plan.chosen(s.classifiers) if c != s.surrogate))
        for name, s, threat in zip(names, sections, threats, strict=True)
    )


def _knowledge(section: RobustSection) -> Any:
    if section.ensemble is not None:
        return "white-box"
    if section.surrogate is not None:
        return "transfer"
    return registry.make_image(str(section.attack), section.options, targeted=False).access


def attacked_images(job: AuditJob, count: int) -> ImageSet:
    """Return the first `count` images of the report split in the order of their hashes."""
    report = open_splits(job).splits.report
    return report.subset(np.argsort(np.array(report.hashes))[:count], name=f"{report.name}/attacked")


def made(job: AuditJob, entry: RobustEntry) -> ImageAttack:
    """Return the attack of an entry that has one; with a surrogate, the transfer of what it finds there."""
    attack = registry.make_image(str(entry.section.attack), entry.section.options, targeted=False)
    if entry.section.surrogate is None:
        return attack
    return Transfer(attack, Surrogate(open_classifier(job, entry.section.surrogate).to(job.device)))


def attack_robust(job: AuditJob, entry: RobustEntry, name: str, progress: Progress = silent) -> StepValue:
    """Return the ledger of one classifier under one attack or ensemble, and of the checks of it. Done once."""
    classifier, images = open_classifier(job, name), attacked_images(job, entry.section.images)
    seed = job.seed("robust", entry.name, name)
    what, surrogate = entry.section.ensemble or repr(made(job, entry)), entry.section.surrogate
    step = job.step(
        f"robust/{entry.name}/{name}",
        attack=what,
        threat=entry.threat.text,
        classifier=classifier.identity,
        images=images.fingerprint,
        seed=seed,
        **({} if surrogate is None else {"surrogate": open_classifier(job, surrogate).identity}),
        section=entry.section.model_dump(mode="json"),
    )

    def work() -> StepValue:
        placed = classifier.to(job.device)
        if entry.section.ensemble is not None:
            return _ensemble(job, entry, placed, images, seed, progress)
        return _single(job, entry, placed, images, seed, progress)

    return step.once(work)


def _ensemble(
    job: AuditJob, entry: RobustEntry, classifier: Classifier, images: ImageSet, seed: int, progress: Progress
) -> StepValue:
    assert entry.section.ensemble is not None
    ensemble = ENSEMBLES[entry.section.ensemble]
    parts = {attack.name: _part_step(job, entry, classifier, images, attack, seed) for attack in ensemble.attacks}
    stored = {
        name: read_csv(job.store.get(unpack(value["ledger"])))
        for name, step in parts.items()
        if (value := step.finished()) is not None
    }

    def store(name: str, part: pd.DataFrame) -> None:
        parts[name].once(lambda: {"ledger": pack(job.store.put(csv_bytes(part), ".csv"))})

    result = run_ensemble(
        ensemble,
        classifier,
        images,
        entry.threat,
        seed=seed,
        stored=stored,
        store=store,
        batch_size=batch_size(job),
        progress=progress,
    )
    return {
        "ledger": pack(job.store.put(csv_bytes(result.worst), ".csv")),
        "tried": pack(job.store.put(csv_bytes(result.tried), ".csv")),
        "settings": "; ".join(f"{attack.title}: {settings_text(attack)}" for attack in ensemble.attacks),
        "citation": "Croce & Hein, ICML 2020" if ensemble.standard else "after Croce & Hein, ICML 2020, with less",
        "access": {attack.name: attack.access for attack in ensemble.attacks},
        "seed": seed,
        "checks": _checks(job, entry, ensemble.attacks[0], classifier, images, seed, progress),
    }


def _part_step(
    job: AuditJob, entry: RobustEntry, classifier: Classifier, images: ImageSet, attack: ImageAttack, seed: int
) -> Any:
    return job.step(
        f"robust/{entry.name}/{classifier.name}/{attack.name}",
        attack=repr(attack),
        threat=entry.threat.text,
        classifier=classifier.identity,
        images=images.fingerprint,
        seed=seed,
    )


def _single(
    job: AuditJob, entry: RobustEntry, classifier: Classifier, images: ImageSet, seed: int, progress: Progress
) -> StepValue:
    attack = made(job, entry)
    result = _attacked(job, attack, classifier, images, entry.threat, seed, progress)
    ledger = with_sizes(result.ledger, images, result.adversarial, positions=result.kept)
    shown = result.adversarial[: entry.section.shown].contiguous()
    value: StepValue = {
        "ledger": pack(job.store.put(csv_bytes(ledger), ".csv")),
        "shown": pack(job.store.put(safetensors.torch.save({"adversarial": shown}), ".safetensors")),
        "settings": settings_text(attack) if not isinstance(attack, Transfer) else settings_text(attack.inner),
        "citation": attack.source,
        "seed": seed,
        "checks": _checks(job, entry, attack, classifier, images, seed, progress),
    }
    if entry.section.curve:
        curve = _curve(job, entry, attack, classifier, images, seed, progress)
        sizes = pd.DataFrame({"image": list(images.hashes), "size": curve.sizes})
        value["sizes"] = pack(job.store.put(csv_bytes(sizes), ".csv"))
    return value


def _attacked(
    job: AuditJob,
    attack: ImageAttack,
    classifier: Classifier,
    images: ImageSet,
    threat: Threat | None,
    seed: int,
    progress: Progress,
) -> ImageAttackResult:
    return attack_seeded(
        attack,
        classifier,
        images,
        images.labels,
        threat,
        seeds=image_seeds(images.hashes, seed=seed, purpose=attack.name),
        keep=range(len(images)),
        batch_size=batch_size(job),
        progress=progress,
    )


def _curve(
    job: AuditJob,
    entry: RobustEntry,
    attack: ImageAttack,
    classifier: Classifier,
    images: ImageSet,
    seed: int,
    progress: Progress,
) -> SizeCurve:
    """Return the smallest successful size of each image: directly from a minimum-norm attack, else by bisection."""
    norm = entry.threat.norm
    if attack.name in registry.MINIMUM_NORM:
        small = cast(ImageAttack, replace(cast(Any, attack), norm=norm)) if hasattr(attack, "norm") else attack
        return curve_of_ledger(_attacked(job, small, classifier, images, None, seed, progress).ledger, norm)
    return curve_by_bisection(
        attack,
        classifier,
        images,
        images.labels,
        norm,
        generator=torch.Generator().manual_seed(seed),
        batch_size=batch_size(job),
        progress=progress,
    )


def _checks(
    job: AuditJob,
    entry: RobustEntry,
    attack: ImageAttack,
    classifier: Classifier,
    images: ImageSet,
    seed: int,
    progress: Progress,
) -> StepValue:
    """Return the outcomes that the attack is doubted by, on the first images: twice as long, linf 0.5, and size 0."""
    few = images.subset(range(min(entry.section.checked, len(images))))
    if not len(few) or isinstance(attack, Transfer):
        return {}
    runs = dict(check_runs(attack, entry.threat))
    outcomes: dict[str, Any] = {"images": len(few), "labels": few.labels.tolist()}
    outcomes["again"] = predict(classifier, few, batch_size=batch_size(job)).tolist()
    for name, (variant, threat) in runs.items():
        found = _attacked(job, variant, classifier, few, threat, seed, progress).ledger
        outcomes[name] = {"success": found["success"].tolist(), "adversarial": found["adversarial"].tolist()}
        outcomes["clean"] = found["clean"].tolist()
    return outcomes


def check_runs(attack: ImageAttack, threat: Threat) -> Iterator[tuple[str, tuple[ImageAttack, Threat]]]:
    """Yield the runs that an attack is doubted by, by name: what is attacked with, and within what."""
    yield "once", (attack, threat)
    yield "zero", (attack, replace(threat, epsilon=0.0))
    longer = twice_as_long(attack)
    if longer is not None:
        yield "twice", (longer, threat)
    if threat.norm == "linf" and threat.epsilon < LARGE.epsilon:
        yield "large", (attack, LARGE)


def iterations_of(attack: ImageAttack) -> int | None:
    """Return how long an attack may go on, in its own unit; None where it has no such setting."""
    return next((int(getattr(attack, name)) for name in ITERATIONS if hasattr(attack, name)), None)


def twice_as_long(attack: ImageAttack) -> ImageAttack | None:
    """Return the attack with twice as many iterations, or None where it has no such setting."""
    for name in ITERATIONS:
        if hasattr(attack, name):
            return cast(ImageAttack, replace(cast(Any, attack), **{name: 2 * getattr(attack, name)}))
    return None


def sizes_of(job: AuditJob, value: StepValue) -> NDArray[np.float64]:
    """Return the stored smallest successful size of each image; infinite where it was never fooled."""
    return read_csv(job.store.get(unpack(value["sizes"])))["size"].to_numpy(np.float64)
