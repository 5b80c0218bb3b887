"""What each classifier does when nobody attacks it: accuracy, confusion, and the trivial baseline."""

import numpy as np
import pandas as pd
import torch

from attacks.doubts import classifier_doubts
from attacks.judge import predict
from flows.audit_job import AuditJob
from flows.batches import batch_size
from flows.ledgers import csv_bytes, read_csv
from flows.steps import StepValue, pack, unpack
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from wolfhound.counting import Counted, holds, same
from wolfhound.evidence import Doubt, Finding
from wolfhound.metrics import accuracy
from wolfhound.progress import Progress, silent

LEDGER = "clean predictions"

DOUBTED = 64
"""Select images on which a network is doubted; not the batch size, which may change no result."""


def measure_clean(job: AuditJob, name: str, progress: Progress = silent) -> StepValue:
    """Return the clean ledger of one classifier on the report split, and what it is. Done once."""
    classifier, splits = open_classifier(job, name, progress=progress), open_splits(job).splits
    sample = splits.select.subset(range(min(DOUBTED, len(splits.select))))
    step = job.step(
        f"clean/{name}",
        classifier=classifier.identity,
        report=splits.report.fingerprint,
        doubted_on=sample.fingerprint,
    )

    def work() -> StepValue:
        placed = classifier.to(job.device)
        doubts = classifier_doubts(placed, sample.load(), torch.from_numpy(sample.labels))
        clean = predict(placed, splits.report, batch_size=batch_size(job), progress=progress)
        ledger = pd.DataFrame({"image": splits.report.hashes, "label": splits.report.labels, "clean": clean})
        return {
            "ledger": pack(job.store.put(csv_bytes(ledger), ".csv")),
            "doubts": [[doubt.code, doubt.explanation] for doubt in doubts],
        }

    return step.once(work)


def stored_doubts(value: StepValue) -> tuple[Doubt, ...]:
    """Return the doubts that a step recorded."""
    return tuple(Doubt(code, explanation) for code, explanation in value["doubts"])


def clean_finding(job: AuditJob, name: str, value: StepValue) -> Finding:
    """Return the finding on clean performance, recomputed from the ledger."""
    ledger_file = unpack(value["ledger"])
    ledger = read_csv(job.store.get(ledger_file))
    labels, clean = ledger["label"].to_numpy(np.int64), ledger["clean"].to_numpy(np.int64)
    rate = accuracy(clean, labels)
    class_names = open_splits(job).whole.class_names
    commonest = np.bincount(labels, minlength=len(class_names))
    trivial = accuracy(np.full_like(labels, commonest.argmax()), labels)
    return Finding(
        id=f"clean/{name}",
        kind="clean",
        subject=name,
        title=f"Clean performance of {name}",
        claim=f"Without any attack {name} classified {rate.successes} of {rate.total} held-out images as labelled.",
        knowledge="none",
        conditions={"images": "the report split, as they are", "seed": "none: nothing is drawn"},
        rates={"accuracy": rate, "trivial_baseline": trivial},
        controls=("trivial_baseline",),
        counted={
            "accuracy": Counted(LEDGER, ((same("clean", "label"),),)),
            "trivial_baseline": Counted(LEDGER, ((holds("label", commonest.argmax()),),)),
        },
        counts={"right by class": _right_by_class(labels, clean, class_names)},
        ledgers={LEDGER: ledger_file},
        artefacts={"confusion matrix": job.store.put(confusion_csv(labels, clean, class_names), ".csv")},
        reproduce=job.command,
        doubts=stored_doubts(value),
    )


def _right_by_class(
    labels: np.ndarray[tuple[int], np.dtype[np.int64]],
    clean: np.ndarray[tuple[int], np.dtype[np.int64]],
    class_names: tuple[str, ...],
) -> dict[str, int]:
    return {
        f"{class_names[label]} (of {int((labels == label).sum())})": int(((labels == label) & (clean == label)).sum())
        for label in np.unique(labels)
    }


def confusion_csv(
    labels: np.ndarray[tuple[int], np.dtype[np.int64]],
    predicted: np.ndarray[tuple[int], np.dtype[np.int64]],
    class_names: tuple[str, ...],
) -> bytes:
    """Return the confusion matrix as a square CSV of counts: true classes down, predicted classes across.

    Only classes that occur, as a label or as a prediction, have a row and a column.
    """
    pairs = pd.DataFrame({"label": labels, "predicted": predicted})
    occurring = np.union1d(labels, predicted)
    counted = pd.crosstab(pairs["label"], pairs["predicted"]).reindex(index=occurring, columns=occurring, fill_value=0)
    names = [class_names[label] for label in occurring]
    return csv_bytes(
        counted.set_axis(names, axis="columns").reset_index(drop=True).assign(label=names)[["label", *names]]
    )
