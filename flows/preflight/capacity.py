"""Whether the plan fits: memory for a batch, room on the disk, and the time that it will take."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from flows.batches import batch_size, footprint_of
from flows.preflight.notice import Notice
from flows.preflight.sample import Inspected
from wolfhound.memory import available_memory

WORK_SPACE = 1.5
"""What a batch takes at least, beside what a gradient keeps: the attack's own versions of it."""

RUN_FOLDER = 50e6
"""Bytes that a report with its pictures takes; ledgers and perturbations come on top."""


def memory_and_disk(inspected: Inspected) -> Iterator[Notice]:
    """Yield what memory a batch takes, as an error where there is less; and an error where a disk is nearly full."""
    job = inspected.job
    free, count = available_memory(job.device), batch_size(job)
    for sample in inspected.samples:
        needed = int(WORK_SPACE * footprint_of(job, sample.name).bytes(count))
        shown = f"a batch of {count} images takes about {_bytes(needed)} on {job.device.type}, {_bytes(free)} are free"
        change = "set batch_size: auto, or a smaller one" if needed > free else ""
        yield Notice("memory", "error" if needed > free else "note", sample.name, shown, change)
    for name, folder, wanted in (("run folder", job.root, _run_bytes(inspected)), ("cache", job.cache, RUN_FOLDER)):
        yield from _disk(name, folder, int(wanted))


def _run_bytes(inspected: Inspected) -> float:
    """Return about what the run folder will hold: a perturbation of four bytes a value for each source and run."""
    height, width = inspected.images.whole.size
    plan = inspected.job.plan
    runs = sum(section.seeds * (len(plan.classifiers) + len(section.ensembles)) for section in plan.universal)
    return RUN_FOLDER + runs * 2 * 3 * height * width * 4


def _disk(name: str, folder: Path, wanted: int) -> Iterator[Notice]:
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if free < wanted:
        yield Notice(
            "disk-full",
            "error",
            "plan",
            f"the {name} {folder} has {_bytes(free)} left and needs about {_bytes(wanted)}",
            "free some, or choose another folder with --output and --cache",
        )


def _bytes(count: float) -> str:
    """Return a number of bytes as a person says it.

    >>> _bytes(1_500_000_000), _bytes(2_000_000)
    ('1.5 GB', '2 MB')
    """
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
