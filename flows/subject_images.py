"""The image set of an audit, opened once a process by the door that the plan names, and its disjoint splits."""

from dataclasses import dataclass
from pathlib import Path

from flows.audit_job import AuditJob
from flows.opened import once
from flows.subject_sources import fit_of, fit_text, named_classes, pair, read_further
from wolfhound import demonstration, sources
from wolfhound.images import ImageSet, Splits, split
from wolfhound.plan_images import CsvImages, DemonstrationImages, FolderImages, PluginImages, TorchvisionImages
from wolfhound.plugins import plugged_images
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
    whole, provenance = _read_images(job, progress)
    splits = split(
        whole, craft=wanted.craft, select=wanted.select, report=wanted.report, generator=job.generator("splits")
    )
    training = None
    if isinstance(section, DemonstrationImages):
        used = {*splits.craft.hashes, *splits.select.hashes, *splits.report.hashes}
        rest = [i for i, content in enumerate(whole.hashes) if content not in used]
        training = whole.subset(rest, name=f"{whole.name}/training")
    return OpenedImages(whole, splits, training, provenance)


def _read_images(job: AuditJob, progress: Progress) -> tuple[ImageSet, str]:
    """Return the whole image set and a sentence on where it comes from."""
    section, cache = job.plan.images, job.cache / "images"
    wanted = sum(dict(job.plan.splits).values())
    match section:
        case DemonstrationImages():
            return _draw_demonstration(section, cache, progress)
        case FolderImages():
            return _read_folder(section, cache, wanted, progress)
        case CsvImages():
            return _read_csv(section, cache, wanted, progress)
        case TorchvisionImages():
            return _read_torchvision(section, cache, wanted, progress)
        case PluginImages():
            images = plugged_images(section.plugin, section.options, cache=cache)
            return images, f"the plug-in {section.plugin} with {section.options}"
    return read_further(section, cache=cache, at_least=wanted, progress=progress)


def _draw_demonstration(section: DemonstrationImages, cache: Path, progress: Progress) -> tuple[ImageSet, str]:
    images = demonstration.demonstration_images(
        cache, count=section.count, seed=section.seed, confounding=section.confounding, progress=progress
    )
    share = f"{100 * section.confounding:g} %"
    return (
        images,
        f"generated drawings, seed {section.seed}; wolf on snow and husky on grass in {share} of their images",
    )


def _read_folder(section: FolderImages, cache: Path, wanted: int, progress: Progress) -> tuple[ImageSet, str]:
    images = sources.read_folder(
        section.path,
        cache=cache,
        size=pair(section.size),
        fit=fit_of(section.fit, section.size),
        labels=section.labels,
        class_names=named_classes(section.class_names),
        limit_per_class=section.limit_per_class,
        at_least=wanted,
        progress=progress,
    )
    return images, f"folder {section.path.name}, {fit_text(section.fit, section.size)}"


def _read_csv(section: CsvImages, cache: Path, wanted: int, progress: Progress) -> tuple[ImageSet, str]:
    images = sources.read_csv(
        section.path,
        root=section.root,
        cache=cache,
        size=pair(section.size),
        fit=fit_of(section.fit, section.size),
        columns=sources.CsvColumns(**dict(section.columns), attributes=section.attributes),
        labels=section.labels,
        class_names=named_classes(section.class_names),
        at_least=wanted,
        progress=progress,
    )
    return images, f"table {section.path.name}, {fit_text(section.fit, section.size)}"


def _read_torchvision(section: TorchvisionImages, cache: Path, wanted: int, progress: Progress) -> tuple[ImageSet, str]:
    size = section.size or (224 if section.dataset == "imagenet" else 32)
    images = sources.read_torchvision(
        section.dataset,
        root=section.root,
        split=section.split,
        cache=cache,
        size=pair(size),
        fit=fit_of(section.fit, size),
        download=section.download,
        at_least=wanted,
        progress=progress,
    )
    return images, f"{section.dataset}, {section.split} split, {fit_text(section.fit, size)}"
