"""Targeted fooling: push held-out images to a class that the network does not see in them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from numpy.typing import NDArray

from attacks import registry
from attacks.per_image import attack_images, random_targets
from attacks.threat import Threat
from flows.audit_job import AuditJob
from flows.pictures import DIFFERENCE_NOTE, store_difference, store_image
from flows.steps import StepValue, pack, unpack
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from flows.universal_stage import csv_bytes, read_csv, settings_text
from wolfhound.errors import PlanError
from wolfhound.evidence import Doubt, Finding, Gallery, Picture, Quantity
from wolfhound.images import ImageSet
from wolfhound.plan import TargetedSection
from wolfhound.progress import Progress, silent
from wolfhound.statistics import Rate

NOT_TARGET = "attacked images not predicted as the target when clean"


@dataclass(frozen=True)
class TargetedEntry:
    """One targeted section of the plan under a name that is unique in it."""

    name: str
    section: TargetedSection
    threat: Threat
    classifiers: tuple[str, ...]


def targeted_entries(job: AuditJob) -> tuple[TargetedEntry, ...]:
    """Return the plan's targeted sections, named."""
    entries: list[TargetedEntry] = []
    for section in job.plan.targeted:
        threat = Threat(section.threat.norm, section.threat.epsilon)
        base = f"{section.attack}-{threat.norm}-{threat.epsilon_text.replace('/', 'of')}"
        taken = sum(entry.name == base or entry.name.startswith(f"{base}-") for entry in entries)
        name = f"{base}-{taken + 1}" if taken else base
        entries.append(TargetedEntry(name, section, threat, job.plan.chosen(section.classifiers)))
    return tuple(entries)


def attacked_images(job: AuditJob, entry: TargetedEntry) -> tuple[ImageSet, NDArray[np.int64]]:
    """Return the attacked images (the first of the report split by hash) and the target of each, int64 `[N]`.

    Raises:
        PlanError: the target is no class name, or more images are asked for than the report split has.
    """
    report = open_splits(job).splits.report
    count, names = entry.section.images, report.class_names
    if count > len(report):
        raise PlanError(f"{entry.name}: expected at most {len(report)} images (the report split), got {count}")
    images = report.subset(np.argsort(np.array(report.hashes))[:count], name=f"{report.name}/attacked")
    if entry.section.target != "random":
        if entry.section.target not in names:
            raise PlanError(f"{entry.name}: expected a class name as target, got {entry.section.target!r}")
        return images, np.full(count, names.index(entry.section.target), dtype=np.int64)
    generator = job.generator("targets", entry.name)
    return images, random_targets(images.labels, classes=len(names), generator=generator)


def fool(job: AuditJob, entry: TargetedEntry, name: str, progress: Progress = silent) -> StepValue:
    """Return the ledger of the targeted attack on one classifier, and the shown adversarial images. Done once."""
    classifier = open_classifier(job, name)
    images, targets = attacked_images(job, entry)
    attack = registry.make_image(entry.section.attack, entry.section.options, targeted=True)
    seed = job.seed("targeted", entry.name, name)
    step = job.step(
        f"targeted/{entry.name}/{name}",
        attack=repr(attack),
        threat=entry.threat.text,
        weights=classifier.weights_digest,
        images=images.fingerprint,
        targets=targets.tolist(),
        seed=seed,
        shown=entry.section.shown,
    )

    def work() -> StepValue:
        judged = attack_images(
            attack,
            classifier.to(job.device),
            images,
            targets,
            entry.threat,
            generator=torch.Generator().manual_seed(seed),
            keep=range(min(entry.section.shown, len(images))),
            batch_size=job.plan.batch_size,
            progress=progress,
        )
        tensors = {"adversarial": judged.adversarial.contiguous()}
        return {
            "ledger": pack(job.store.put(csv_bytes(judged.ledger), ".csv")),
            "shown": pack(job.store.put(safetensors.torch.save(tensors), ".safetensors")),
            "title": attack.title,
            "settings": settings_text(attack),
            "citation": attack.source,
            "seed": seed,
        }

    return step.once(work)


def targeted_finding(
    job: AuditJob, entry: TargetedEntry, name: str, value: StepValue, doubts: tuple[Doubt, ...]
) -> Finding:
    """Return the finding on one classifier, recomputed from the ledger."""
    ledger_file = unpack(value["ledger"])
    ledger = read_csv(job.store.get(ledger_file))
    counted = ledger[ledger["clean"] != ledger["target"]]
    rate = Rate(int((counted["adversarial"] == counted["target"]).sum()), len(counted), NOT_TARGET)
    return Finding(
        id=f"targeted/{entry.name}/{name}",
        kind="targeted",
        subject=name,
        title=f"{value['title']} on {name}",
        claim=(
            f"With full knowledge of {name} and {entry.threat.norm} {entry.threat.epsilon_text}, "
            f"{rate.successes} of {rate.total} images were pushed to a class chosen beforehand."
        ),
        knowledge="white-box",
        conditions={
            "attack": f"{value['title']} ({value['citation']})",
            "settings": value["settings"],
            "threat": f"{entry.threat.norm} {entry.threat.epsilon_text}, targeted, white-box",
            "images": f"the first {len(ledger)} of the report split in the order of their hashes",
            "target": entry.section.target if entry.section.target != "random" else "a random class but the label",
            "judged": "after rounding to an 8-bit image",
            "seed": str(value["seed"]),
        },
        rates={"targeted_success": rate},
        quantities=_quantities(counted[counted["adversarial"] == counted["target"]]),
        galleries=(_gallery(job, entry, value, ledger),),
        ledgers={"per image": ledger_file},
        reproduce=job.command,
        doubts=doubts,
    )


def _quantities(hits: pd.DataFrame) -> dict[str, Quantity]:
    if hits.empty:
        return {}
    return {
        "median linf": Quantity(float(hits["linf"].median()), "of [0, 1]", "median largest change, successful images"),
        "median l2": Quantity(float(hits["l2"].median()), "on [0, 1]", "median Euclidean length, successful images"),
        "median steps": Quantity(float(hits["steps"].median()), "steps", "median gradient steps, successful images"),
    }


def _gallery(job: AuditJob, entry: TargetedEntry, value: StepValue, ledger: pd.DataFrame) -> Gallery:
    images, _ = attacked_images(job, entry)
    adversarial = safetensors.torch.load(job.store.get(unpack(value["shown"])))["adversarial"].float() / 255
    originals = images.load(np.arange(len(adversarial)))
    rows = []
    for which, (before, after) in enumerate(zip(originals, adversarial, strict=True)):
        row = ledger.iloc[which]
        names = {key: images.class_names[int(row[key])] for key in ("clean", "target", "adversarial")}
        rows.append(_row(job, before, after, names))
    return Gallery(
        "Original, adversarial, difference, difference x10",
        tuple(rows),
        f"the first {len(rows)} attacked images in the order of their hashes, successful or not",
        DIFFERENCE_NOTE,
    )


def _row(job: AuditJob, before: torch.Tensor, after: torch.Tensor, names: dict[str, str]) -> tuple[Picture, ...]:
    seen, wanted, got = names["clean"], names["target"], names["adversarial"]
    outcome = "reached" if got == wanted else "not reached"
    return (
        store_image(job.store, before, caption=f"original: {seen}", alt=f"The original image, predicted {seen}."),
        store_image(
            job.store,
            after,
            caption=f"adversarial: {got} (target {wanted} {outcome})",
            alt=f"The adversarial image, predicted {got}; the target was {wanted}.",
        ),
        store_difference(job.store, after - before, factor=1, caption="difference", alt="Their difference, near grey."),
        store_difference(
            job.store,
            after - before,
            factor=10,
            caption="difference x10",
            alt="Their difference amplified ten times: where and how the pixels were changed.",
        ),
    )
