"""The image set of an audit, opened once a process by the door that the plan names, and its disjoint splits."""

from dataclasses import dataclass

from flows.audit_job import AuditJob
from flows.opened import once
from flows.subject_sources import read_images
from wolfhound.images import ImageSet, Splits, split
from wolfhound.plan_images import DemonstrationImages
from wolfhound.progress import Progress, silent


@dataclass(frozen=True, eq=False)
class OpenedImages:
    """The audited image set, its disjoint splits, and what is left to train demonstration classifiers on."""

    whole: ImageSet
    splits: Splits
    training: ImageSet | None
    provenance: str


def open_splits(job: AuditJob, *, progress: Progress = silent) -> OpenedImages:
    """Return the images of the plan, read and checked.

    Raises:
        DataError: missing, broken or too few images; all faults are named.
    """
    opened: OpenedImages = once(job, ("images",), lambda: _open_images(job, progress))
    return opened


def _open_images(job: AuditJob, progress: Progress) -> OpenedImages:
    section, wanted = job.plan.images, job.plan.splits
    whole, provenance = read_images(
        section, cache=job.cache / "images", at_least=sum(dict(wanted).values()), progress=progress
    )
    splits = split(
        whole, craft=wanted.craft, select=wanted.select, report=wanted.report, generator=job.generator("splits")
    )
    training = None
    if isinstance(section, DemonstrationImages):
        used = {*splits.craft.hashes, *splits.select.hashes, *splits.report.hashes}
        rest = [i for i, content in enumerate(whole.hashes) if content not in used]
        training = whole.subset(rest, name=f"{whole.name}/training")
    return OpenedImages(whole, splits, training, provenance)
