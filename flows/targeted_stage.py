"""Targeted fooling: push images to a class that the network does not see in them, from any start."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from numpy.typing import NDArray

from attacks import registry
from attacks.base import ImageAttack
from attacks.doubts import not_started
from attacks.per_image.driver import attack_images
from attacks.per_image.starts import StartImages
from attacks.per_image.targets import Source, attack_every_class, chosen_targets, count_pairs, start_images
from attacks.threat import Threat
from flows.audit_job import AuditJob
from flows.batches import batch_size
from flows.ledgers import csv_bytes, read_csv, settings_text
from flows.naming import entry_names
from flows.robust_findings import AS_DELIVERED
from flows.robust_stage import attacked_images
from flows.steps import StepValue, pack, unpack
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from flows.targeted_pictures import attack_gallery
from wolfhound.classifier import Classifier
from wolfhound.counting import Counted, differs, same
from wolfhound.errors import PlanError
from wolfhound.evidence import Doubt, Finding, Gallery, Quantity, RateTable
from wolfhound.images import ImageSet
from wolfhound.plan import TargetedSection
from wolfhound.progress import Progress, silent
from wolfhound.statistics import Rate

NOT_TARGET = "attacked images not predicted as the target when clean"
EVERY = "every"
LEDGER = "per image"
PAIRS_SHOWN = 20
"""Classes up to which a table of every pair is printed; the ledger has all pairs in any case."""

_STARTS = {"images": "held-out images", "noise": "images of uniform noise", "blank": "blank images from black to white"}
_TARGETS = {
    "random": "a random class but the label",
    "least likely": "the class with the lowest score on the clean image",
    "second best": "the class with the highest score but the first on the clean image",
    EVERY: "every class but the image's own, one after the other",
}


@dataclass(frozen=True)
class TargetedEntry:
    """One targeted section of the plan under a name that is unique in it."""

    name: str
    section: TargetedSection
    threat: Threat
    classifiers: tuple[str, ...]

    def attack(self) -> ImageAttack:
        """The attack, made to reach classes."""
        return registry.make_image(self.section.attack, self.section.options, targeted=True)


def targeted_entries(job: AuditJob) -> tuple[TargetedEntry, ...]:
    """Return the plan's targeted sections, named."""
    sections = job.plan.targeted
    threats = [Threat(section.threat.norm, section.threat.epsilon) for section in sections]
    names = entry_names([(section.attack, threat) for section, threat in zip(sections, threats, strict=True)])
    return tuple(
        TargetedEntry(name, section, threat, job.plan.chosen(section.classifiers))
        for name, section, threat in zip(names, sections, threats, strict=True)
    )


def started_images(job: AuditJob, entry: TargetedEntry, classifier: Classifier) -> ImageSet:
    """Return the images that the attack starts from: the first held-out ones by hash, noise, or blank ones."""
    section = entry.section
    if section.start == "images":
        return attacked_images(job, section.images)
    folder = job.cache / "starts" / f"{job.seed('start', entry.name):016x}-{classifier.name}"
    folder.mkdir(parents=True, exist_ok=True)
    return start_images(
        section.start,
        classifier,
        section.images,
        open_splits(job).splits.report.size,
        folder=folder,
        generator=job.generator("start", entry.name),
    )


def with_starts(job: AuditJob, attack: ImageAttack) -> ImageAttack:
    """Return the attack with the crafting images to start from, where it is one that starts from pictures."""
    if not hasattr(attack, "starts"):
        return attack
    return cast(ImageAttack, replace(cast(Any, attack), starts=StartImages(open_splits(job).splits.craft)))


def missing_starts(job: AuditJob, attack: ImageAttack, targets: Collection[int]) -> None:
    """Raise where an attack starts from pictures of its target and there is none of some class to reach.

    Raises:
        PlanError: names the classes; without a start, a failure would say nothing about the network.
    """
    starts = getattr(with_starts(job, attack), "starts", StartImages())
    missing = starts.missing(targets)
    if missing:
        craft, names = open_splits(job).splits.craft, open_splits(job).whole.class_names
        listed = ", ".join(repr(names[index]) for index in missing[:10]) + (", ..." if len(missing) > 10 else "")
        raise PlanError(
            f"{attack.name}: expected a picture of every class to reach among the {len(craft)} images of the craft "
            f"split, as it starts from one, got none of {listed} (choose other targets, or a larger craft split)"
        )


def fool(job: AuditJob, entry: TargetedEntry, name: str, progress: Progress = silent) -> StepValue:
    """Return the ledger of the targeted attack on one classifier, and the shown adversarial images. Done once."""
    classifier = open_classifier(job, name).to(job.device)
    images, attack = started_images(job, entry, classifier), with_starts(job, entry.attack())
    seed = job.seed("targeted", entry.name, name)
    step = job.step(
        f"targeted/{entry.name}/{name}",
        attack=repr(attack),
        threat=entry.threat.text,
        classifier=classifier.identity,
        images=images.fingerprint,
        target=entry.section.target,
        seed=seed,
        shown=entry.section.shown,
    )

    def work() -> StepValue:
        ledger, adversarial = _attacked(job, entry, classifier, images, attack, seed, progress)
        return {
            "ledger": pack(job.store.put(csv_bytes(ledger), ".csv")),
            "shown": pack(job.store.put(safetensors.torch.save({"adversarial": adversarial}), ".safetensors")),
            "title": attack.title,
            "settings": settings_text(attack),
            "citation": attack.source,
            "seed": seed,
        }

    return step.once(work)


def _attacked(
    job: AuditJob,
    entry: TargetedEntry,
    classifier: Classifier,
    images: ImageSet,
    attack: ImageAttack,
    seed: int,
    progress: Progress,
) -> tuple[pd.DataFrame, torch.Tensor]:
    """Return the ledger, and the adversarial versions of the first images (towards a random class where all are)."""
    every = entry.section.target == EVERY
    targets = _targets(job, entry, classifier, images)
    missing_starts(job, attack, set(targets.tolist()))
    shown = range(min(entry.section.shown, len(images)))
    part = images.subset(shown) if every else images
    result = attack_images(
        attack,
        classifier,
        part,
        _targets(job, entry, classifier, part),
        entry.threat,
        generator=torch.Generator().manual_seed(seed),
        keep=shown,
        batch_size=batch_size(job),
        progress=progress,
    )
    if not every:
        return result.ledger, result.adversarial.contiguous()
    pairs = attack_every_class(
        attack,
        classifier,
        images,
        entry.threat,
        generator=torch.Generator().manual_seed(seed),
        batch_size=batch_size(job),
        progress=progress,
    )
    return pd.concat([result.ledger, pairs], ignore_index=True), result.adversarial.contiguous()


def _targets(job: AuditJob, entry: TargetedEntry, classifier: Classifier, images: ImageSet) -> NDArray[np.int64]:
    rule = "random" if entry.section.target == EVERY else entry.section.target
    generator = job.generator("targets", entry.name)
    return chosen_targets(rule, classifier, images, generator=generator, batch_size=batch_size(job))


def targeted_finding(
    job: AuditJob, entry: TargetedEntry, name: str, value: StepValue, doubts: tuple[Doubt, ...]
) -> Finding:
    """Return the finding on one classifier, recomputed from the ledger."""
    ledger_file = unpack(value["ledger"])
    whole = read_csv(job.store.get(ledger_file))
    shown = min(entry.section.shown, entry.section.images)
    ledger = whole.iloc[shown:] if entry.section.target == EVERY else whole
    counted = ledger[ledger["clean"] != ledger["target"]]
    hits = counted[counted["adversarial"] == counted["target"]]
    rate = Rate(len(hits), len(counted), NOT_TARGET)
    either = (counted[["adversarial", "adversarial_float"]].eq(counted["target"], axis=0)).any(axis=1)
    pushed = f"{rate.successes} of {rate.total} images were pushed to a class chosen beforehand"
    if entry.section.target == EVERY:
        pushed = f"{rate.successes} of {rate.total} pairs of an image and a class were reached"
    return Finding(
        id=f"targeted/{entry.name}/{name}",
        kind="targeted",
        subject=name,
        title=f"{value['title']} on {name}",
        claim=f"With full knowledge of {name} and {entry.threat.norm} {entry.threat.epsilon_text}, {pushed}.",
        knowledge="white-box",
        conditions=_conditions(job, entry, value, shown),
        rates={"targeted_success": rate, "targeted_success_float": Rate(int(either.sum()), len(counted), NOT_TARGET)},
        counted=_counted(shown if entry.section.target == EVERY else 0),
        quantities=_quantities(hits),
        tables=_pairs(job, entry, name, ledger),
        galleries=(_gallery(job, entry, name, value, whole),),
        ledgers={LEDGER: ledger_file},
        reproduce=job.command,
        doubts=(*doubts, *_not_started(entry.attack(), ledger)),
    )


def _not_started(attack: ImageAttack, ledger: pd.DataFrame) -> tuple[Doubt, ...]:
    found = not_started(ledger, name=attack.title) if hasattr(attack, "starts") else None
    return () if found is None else (found,)


def _counted(skip: int) -> dict[str, Counted]:
    rounded, in_float = (same("adversarial", "target"),), (same("adversarial_float", "target"),)
    others = (differs("clean", "target"),)
    return {
        "targeted_success": Counted(LEDGER, (rounded,), total=others, skip=skip),
        "targeted_success_float": Counted(LEDGER, (rounded, in_float), total=others, skip=skip),
    }


def _conditions(job: AuditJob, entry: TargetedEntry, value: StepValue, shown: int) -> dict[str, str]:
    section, begins = entry.section, {}
    if hasattr(entry.attack(), "starts"):
        craft = open_splits(job).splits.craft
        begins = {"begins at": f"pictures labelled with the target, of the {len(craft)} images of the craft split"}
    first = f"; the first {shown} rows of the ledger are the pictures shown" if section.target == EVERY else ""
    return {
        "attack": f"{value['title']} ({value['citation']})",
        "settings": value["settings"],
        "threat": f"{entry.threat.norm} {entry.threat.epsilon_text}, targeted, white-box",
        "images": f"{section.images} {_STARTS[section.start]}"
        + (", the first of the report split in the order of their hashes" if section.start == "images" else "")
        + first,
        **begins,
        "target": _TARGETS.get(str(section.target), str(section.target)),
        "judged": AS_DELIVERED,
        "seed": str(value["seed"]),
    }


def _quantities(hits: pd.DataFrame) -> dict[str, Quantity]:
    if hits.empty:
        return {}
    return {
        "median linf": Quantity(float(hits["linf"].median()), "of [0, 1]", "median largest change, successful images"),
        "median l2": Quantity(float(hits["l2"].median()), "on [0, 1]", "median Euclidean length, successful images"),
        "median steps": Quantity(float(hits["steps"].median()), "steps", "median gradient steps, successful images"),
        "median queries": Quantity(
            float(hits["queries"].median()), "queries", "median number of times the network was asked"
        ),
    }


def _pairs(job: AuditJob, entry: TargetedEntry, name: str, ledger: pd.DataFrame) -> tuple[RateTable, ...]:
    class_names = open_splits(job).whole.class_names
    if entry.section.target != EVERY or len(class_names) > PAIRS_SHOWN:
        return ()
    source: Source = "label" if entry.section.start == "images" else "clean"
    table = count_pairs(ledger, class_names, source=source).table(
        f"pairs_{entry.name}_{name}",
        f"Images of each class of {name} pushed to each other class",
        note="Share of the images that were not predicted as the target when clean.",
    )
    return (table,)


def _gallery(job: AuditJob, entry: TargetedEntry, name: str, value: StepValue, ledger: pd.DataFrame) -> Gallery:
    images = started_images(job, entry, open_classifier(job, name).to(job.device))
    adversarial = safetensors.torch.load(job.store.get(unpack(value["shown"])))["adversarial"].float() / 255
    return attack_gallery(job.store, images, adversarial, ledger, targeted=True)
