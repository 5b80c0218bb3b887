"""The subjects of an audit, opened once a process: image splits and classifiers, by the doors that the plan names."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flows.audit_job import AuditJob
from wolfhound import demonstration, loading, sources
from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.errors import DataError, ModelError, fault_list
from wolfhound.evidence import Subject
from wolfhound.images import ImageSet, Splits, split
from wolfhound.plan import (
    CsvImages,
    DemonstrationClassifier,
    DemonstrationImages,
    FactoryClassifier,
    FitSection,
    FolderImages,
    TorchvisionClassifier,
    TorchvisionImages,
)
from wolfhound.progress import Progress, silent

_opened: dict[tuple[object, ...], Any] = {}
_opening = threading.RLock()


@dataclass(frozen=True, eq=False)
class OpenedImages:
    """The audited image set, its disjoint splits, and what is left to train demonstration classifiers on."""

    whole: ImageSet
    splits: Splits
    training: ImageSet | None
    provenance: str


def _once(key: tuple[object, ...], opener: Callable[[], Any]) -> Any:
    with _opening:
        if key not in _opened:
            _opened[key] = opener()
        return _opened[key]


def open_splits(job: AuditJob, *, progress: Progress = silent) -> OpenedImages:
    """Return the images of the plan, read and checked.

    Raises:
        DataError: missing, broken or too few images; all faults are named.
    """
    opened: OpenedImages = _once((job, "images"), lambda: _open_images(job, progress))
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
        size=_pair(section.size),
        fit=_fit(section.fit, section.size),
        labels=section.labels,
        class_names=_class_names(section.class_names),
        limit_per_class=section.limit_per_class,
        at_least=wanted,
        progress=progress,
    )
    return images, f"folder {section.path.name}, {_fit_text(section.fit, section.size)}"


def _read_csv(section: CsvImages, cache: Path, wanted: int, progress: Progress) -> tuple[ImageSet, str]:
    images = sources.read_csv(
        section.path,
        root=section.root,
        cache=cache,
        size=_pair(section.size),
        fit=_fit(section.fit, section.size),
        class_names=_class_names(section.class_names),
        at_least=wanted,
        progress=progress,
    )
    return images, f"CSV {section.path.name}, {_fit_text(section.fit, section.size)}"


def _read_torchvision(section: TorchvisionImages, cache: Path, wanted: int, progress: Progress) -> tuple[ImageSet, str]:
    size = section.size or (224 if section.dataset == "imagenet" else 32)
    images = sources.read_torchvision(
        section.dataset,
        root=section.root,
        split=section.split,
        cache=cache,
        size=_pair(size),
        fit=_fit(section.fit, size),
        download=section.download,
        at_least=wanted,
        progress=progress,
    )
    return images, f"{section.dataset}, {section.split} split, {_fit_text(section.fit, size)}"


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _shorter_side(section: FitSection, size: int | tuple[int, int]) -> int:
    return section.shorter_side or round(min(_pair(size)) * 256 / 224)


def _fit(section: FitSection, size: int | tuple[int, int]) -> sources.Fit:
    shorter_side = _shorter_side(section, size) if section.method == "crop" else None
    return sources.Fit(section.method, shorter_side, section.interpolation, section.upright)


def _fit_text(section: FitSection, size: int | tuple[int, int]) -> str:
    height, width = _pair(size)
    if section.method == "squash":
        return f"whole image resized to {height}x{width}"
    return f"shorter side resized to {_shorter_side(section, size)}, centre {height}x{width} cut out"


def _class_names(wanted: str | Path) -> tuple[str, ...] | None:
    if wanted in ("folders", "labels"):
        return None
    if wanted == "imagenet":
        return loading.imagenet_class_names()
    try:
        return tuple(line.strip() for line in Path(wanted).read_text().splitlines() if line.strip())
    except OSError as error:
        raise DataError(f"expected class names at {wanted}, one a line, but: {error.strerror}") from error


def open_classifier(job: AuditJob, name: str, *, progress: Progress = silent) -> Classifier:
    """Return one classifier of the plan; a demonstration classifier is trained on its first use.

    Raises:
        ModelError: it cannot be built or loaded.
    """
    classifier: Classifier = _once((job, "classifier", name), lambda: _open_classifier(job, name, progress))
    return classifier


def _open_classifier(job: AuditJob, name: str, progress: Progress) -> Classifier:
    section = next(section for section in job.plan.classifiers if section.name == name)
    images = open_splits(job, progress=progress)
    match section:
        case DemonstrationClassifier():
            if images.training is None:
                raise ModelError(f"{name}: demonstration classifiers need the demonstration images")
            trained = demonstration.demonstration_classifier(
                section.architecture,
                job.cache / "classifiers",
                images.training,
                seed=job.seed("train", section.architecture),
                progress=progress,
            )
            return replace(trained, name=name)
        case TorchvisionClassifier():
            given = section.preprocessing
            classifier = loading.load_torchvision(
                section.architecture,
                cache=job.cache,
                name=name,
                weights=section.weights,
                arguments=section.arguments,
                mean=given.mean,
                std=given.std,
                input_size=None if given.input_size is None else _pair(given.input_size),
                # A file of one's own says nothing about its classes; published weights know theirs.
                class_names=images.whole.class_names if Path(section.weights).suffix else None,
                progress=progress,
            )
        case FactoryClassifier():
            classifier = loading.load_factory(
                section.file,
                section.callable,
                arguments=section.arguments,
                weights=section.weights,
                preprocessing=_complete(section, images.whole.size),
                class_names=images.whole.class_names,
                name=name,
            )
    return _checked_classes(classifier, images.whole)


def _complete(section: FactoryClassifier, size: tuple[int, int]) -> Preprocessing:
    """A network of the user's own carries no preprocessing, so the plan must say it in full."""
    given = section.preprocessing
    if given.mean is None or given.std is None:
        raise ModelError(
            f"{section.name}: expected preprocessing.mean and preprocessing.std in the plan, since a network from a "
            "file carries none; for a network that takes pixels in [0, 1] write mean: [0, 0, 0] and std: [1, 1, 1]"
        )
    return Preprocessing(given.mean, given.std, size if given.input_size is None else _pair(given.input_size))


def _checked_classes(classifier: Classifier, images: ImageSet) -> Classifier:
    if len(classifier.class_names) != len(images.class_names):
        raise ModelError(
            f"{classifier.name} knows {len(classifier.class_names)} classes, the image set {images.name} has "
            f"{len(images.class_names)}; map them with images.labels: leading_index and images.class_names"
        )
    return classifier


def open_loadable(job: AuditJob, *, progress: Progress = silent) -> None:
    """Open everything that needs no training, so that bad input is found before any work starts.

    Raises:
        DataError: the images are unusable.
        ModelError: classifiers cannot be loaded; every one of them is named.
    """
    open_splits(job, progress=progress)
    faults = []
    for section in job.plan.classifiers:
        if not isinstance(section, DemonstrationClassifier):
            try:
                open_classifier(job, section.name, progress=progress)
            except ModelError as error:
                faults.append(str(error))
    if faults:
        raise ModelError(fault_list(f"{len(faults)} classifier(s) cannot be opened:", faults))


def describe(classifier: Classifier) -> Subject:
    """Return what a reader has to know about a classifier."""
    return Subject(
        name=classifier.name,
        architecture=classifier.architecture,
        provenance=classifier.provenance,
        weights_sha256=classifier.weights_digest,
        parameters=classifier.parameter_count,
        input_size=classifier.preprocessing.input_size,
        classes=len(classifier.class_names),
        mean=classifier.preprocessing.mean,
        std=classifier.preprocessing.std,
    )
