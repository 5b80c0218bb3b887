"""Natural robustness: accuracy under common corruptions. Nobody attacks, so it stands apart from the attacks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from attacks.corruptions.judging import (
    accuracy_table,
    always_right,
    column,
    corrupt,
    corruption_ledger,
    drawn_accuracy,
    drawn_ledger,
    image_seed,
    mean_accuracy,
    relative_corruption_error,
    relative_drop,
)
from attacks.corruptions.registry import CORRUPTIONS, Corruption, chosen_corruptions, published_size
from flows.audit_job import AuditJob
from flows.batches import batch_size
from flows.ledgers import csv_bytes, read_csv
from flows.pictures import store_image
from flows.steps import StepValue, pack, unpack
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from wolfhound.counting import Counted, same
from wolfhound.evidence import Doubt, Finding, Gallery, Picture, Quantity, RateTable
from wolfhound.images import ImageSet
from wolfhound.metrics import accuracy
from wolfhound.plan import NaturalSection
from wolfhound.progress import Progress, silent
from wolfhound.statistics import Rate

SOURCE = "Hendrycks & Dietterich, ICLR 2019"
ACROSS = 4
LEDGER = "predictions under corruptions"
DRAWN = "the condition drawn for each image"

Table = dict[tuple[str, int], Rate]


@dataclass(frozen=True)
class NaturalEntry:
    """One natural section of the plan under a name that is unique in it."""

    name: str
    section: NaturalSection
    corruptions: tuple[Corruption, ...]
    classifiers: tuple[str, ...]
    seed: int


def natural_entries(job: AuditJob) -> tuple[NaturalEntry, ...]:
    """Return the plan's natural sections, named "corruptions", "corruptions-2" and so on; all share one seed."""
    return tuple(
        NaturalEntry(
            "corruptions" if index == 1 else f"corruptions-{index}",
            section,
            chosen_corruptions(section.corruptions),
            job.plan.chosen(section.classifiers),
            job.seed("corruptions"),
        )
        for index, section in enumerate(job.plan.natural, start=1)
    )


def corrupted_images(job: AuditJob, entry: NaturalEntry) -> ImageSet:
    """Return the images that are corrupted: the report split, or the first of it in the order of their hashes."""
    report = open_splits(job).splits.report
    if entry.section.images is None:
        return report
    return report.subset(np.argsort(np.array(report.hashes))[: entry.section.images], name=f"{report.name}/corrupted")


def measure_natural(job: AuditJob, entry: NaturalEntry, name: str, progress: Progress = silent) -> StepValue:
    """Return the ledger of one classifier under every corruption and severity. Done once."""
    classifier, images = open_classifier(job, name), corrupted_images(job, entry)
    size = published_size(min(images.size))
    step = job.step(
        f"natural/{entry.name}/{name}",
        corruptions={corruption.name: corruption.published[size] for corruption in entry.corruptions},
        severities=entry.section.severities,
        classifier=classifier.identity,
        images=images.fingerprint,
        seed=entry.seed,
    )

    def work() -> StepValue:
        ledger = corruption_ledger(
            classifier.to(job.device),
            images,
            entry.corruptions,
            entry.section.severities,
            seed=entry.seed,
            batch_size=batch_size(job),
            progress=progress,
        )
        return {"ledger": pack(job.store.put(csv_bytes(ledger), ".csv"))}

    return step.once(work)


def natural_finding(
    job: AuditJob, entry: NaturalEntry, name: str, value: StepValue, doubts: tuple[Doubt, ...]
) -> Finding:
    """Return the finding on one classifier, recomputed from the ledger."""
    ledger_file = unpack(value["ledger"])
    ledger = read_csv(job.store.get(ledger_file))
    table = accuracy_table(ledger)
    worst = min(table, key=lambda condition: table[condition].share)
    clean = accuracy(ledger["clean"].to_numpy(np.int64), ledger["label"].to_numpy(np.int64))
    return Finding(
        id=f"natural/{entry.name}/{name}",
        kind="natural",
        subject=name,
        title=f"Common corruptions on {name}",
        claim=(
            f"{name} classified {clean.successes} of {clean.total} held-out images correctly as they are, and "
            f"{table[worst].successes} under the worst of {len(table)} tested disturbances, {_words(worst)}."
        ),
        knowledge="none",
        conditions=_conditions(job, entry, worst, len(table)),
        rates={
            "accuracy_under_corruption": drawn_accuracy(ledger, seed=entry.seed),
            "worst_corruption": table[worst],
            "right_under_all": always_right(ledger),
            "clean_accuracy": clean,
        },
        counted=_counted(tuple(table), worst),
        quantities=_quantities(entry, ledger),
        tables=(_rate_table(entry, name, table, worst),),
        galleries=(_gallery(job, entry, ledger),),
        ledgers={
            LEDGER: ledger_file,
            DRAWN: job.store.put(csv_bytes(drawn_ledger(ledger, seed=entry.seed)), ".csv"),
        },
        reproduce=job.command,
        doubts=doubts,
    )


def _counted(tested: Sequence[tuple[str, int]], worst: tuple[str, int]) -> dict[str, Counted]:
    right = {condition: same(column(*condition), "label") for condition in tested}
    return {
        "accuracy_under_corruption": Counted(DRAWN, ((same("drawn", "label"),),)),
        "worst_corruption": Counted(LEDGER, ((right[worst],),)),
        "right_under_all": Counted(LEDGER, (tuple(right.values()),)),
        "clean_accuracy": Counted(LEDGER, ((same("clean", "label"),),)),
    }


def _words(condition: tuple[str, int]) -> str:
    return f"{CORRUPTIONS[condition[0]].title.lower()} at severity {condition[1]}"


def _conditions(job: AuditJob, entry: NaturalEntry, worst: tuple[str, int], tested: int) -> dict[str, str]:
    images = corrupted_images(job, entry)
    chosen = "all" if entry.section.images is None else "the first, in the order of their hashes,"
    return {
        "corruptions": f"{', '.join(c.title for c in entry.corruptions)} ({SOURCE}; frost generated, not photographed)",
        "severities": ", ".join(map(str, entry.section.severities)),
        "strength": f"the published parameters for images of {published_size(min(images.size))} pixels",
        "images": f"{len(images)}: {chosen} of the report split, as 8-bit images",
        "worst corruption": f"{_words(worst)} (the lowest of {tested}; its interval is not corrected for the choice)",
        "seed": str(entry.seed),
    }


def _quantities(entry: NaturalEntry, ledger: pd.DataFrame) -> dict[str, Quantity]:
    mean, interval = mean_accuracy(ledger, seed=entry.seed)
    quantities = {
        "mean accuracy": Quantity(mean, "share", "mean over all corruptions and severities, clean excluded", interval)
    }
    drop = relative_drop(ledger, seed=entry.seed)
    if drop is not None:
        meaning = "share of the clean accuracy that corruptions cost on average (0 none, 1 all)"
        quantities["relative drop"] = Quantity(drop[0], "share", meaning, drop[1])
    reference = entry.section.reference
    if reference is not None:
        meaning = f"mean over corruptions of the error divided by that of {reference.name} (1 is equal)"
        error = relative_corruption_error(ledger, reference.errors)
        quantities["relative corruption error"] = Quantity(error, "", meaning)
    return quantities


def _rate_table(entry: NaturalEntry, name: str, table: Table, worst: tuple[str, int]) -> RateTable:
    severities = entry.section.severities
    return RateTable(
        name=f"natural_{entry.name}_{name}",
        title=f"Accuracy of {name} under common corruptions",
        row_label="corruption",
        column_label="severity",
        rows=tuple(corruption.title for corruption in entry.corruptions),
        columns=tuple(map(str, severities)),
        cells=tuple(tuple(table[c.name, severity] for severity in severities) for c in entry.corruptions),
        marked=((CORRUPTIONS[worst[0]].title, str(worst[1])),),
        note="Share of the images classified as labelled; darker is more accurate. The boxed cell is the worst.",
    )


def _gallery(job: AuditJob, entry: NaturalEntry, ledger: pd.DataFrame) -> Gallery:
    images = corrupted_images(job, entry)
    which = int(np.argmin(np.array(images.hashes)))
    severity = entry.section.severities[len(entry.section.severities) // 2]
    levels = torch.from_numpy(images.pixels.read(images.rows[[which]]))
    row, names = ledger.iloc[which], images.class_names
    label, seen = names[images.labels[which]], names[int(row["clean"])]
    pictures = [_picture(job, levels, "As it is", seen, label)]
    for corruption in entry.corruptions:
        seeds = [image_seed(entry.seed, corruption.name, images.hashes[which])]
        shown = corrupt(levels, corruption, severity, seeds=seeds)
        predicted = names[int(row[column(corruption.name, severity)])]
        pictures.append(_picture(job, shown, corruption.title, predicted, label))
    return Gallery(
        f"One image under every corruption at severity {severity}",
        tuple(tuple(pictures[start : start + ACROSS]) for start in range(0, len(pictures), ACROSS)),
        "the first of the corrupted images in the order of their hashes, at the middle one of the tested severities",
        f"Labelled {label}. Below each picture: what the classifier says.",
    )


def _picture(job: AuditJob, levels: torch.Tensor, title: str, predicted: str, label: str) -> Picture:
    right = "right" if predicted == label else "wrong"
    return store_image(
        job.store,
        levels[0].float() / 255,
        caption=f"{title}: {predicted} ({right})",
        alt=f"{title}: the image of a {label}, predicted {predicted}.",
    )
