"""The classifiers of an audit, opened once a process by the doors that the plan names."""

from dataclasses import replace
from pathlib import Path

from flows.audit_job import AuditJob
from flows.opened import once
from flows.subject_images import OpenedImages, open_splits, pair
from wolfhound import demonstration, loading
from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.errors import ModelError, fault_list
from wolfhound.evidence import Subject
from wolfhound.images import ImageSet
from wolfhound.memory_layout import Laid, in_channels_last
from wolfhound.mixed_precision import Refined, in_mixed_precision
from wolfhound.plan import DemonstrationClassifier, FactoryClassifier, TorchvisionClassifier
from wolfhound.progress import Progress, silent

LAYOUT_SAMPLE = 16
"""Select images on which a memory layout has to change nothing."""

PRECISION_SAMPLE = 64
"""Select images on which gradients in 16 bits have to change nothing."""


def open_classifier(job: AuditJob, name: str, *, progress: Progress = silent) -> Classifier:
    """Return one classifier of the plan; a demonstration classifier is trained on its first use.

    Raises:
        ModelError: it cannot be built or loaded.
    """
    return _refined(job, name, progress).classifier


def precision_of(job: AuditJob, name: str) -> str:
    """Return in words how precisely one classifier computes gradients."""
    return _refined(job, name, silent).text


def layout_of(job: AuditJob, name: str) -> str:
    """Return in words how the weights of one classifier lie in memory while the audit computes."""
    return _laid(job, name, silent).text


def _refined(job: AuditJob, name: str, progress: Progress) -> Refined:
    """Return one classifier, with gradients in 16 bits if the plan wants them and nothing changes on select images."""

    def opened() -> Refined:
        classifier = _laid(job, name, progress).classifier
        if not job.plan.mixed_precision:
            return Refined(classifier, f"{str(classifier.dtype).removeprefix('torch.')}, as the network is")
        sample = open_splits(job).splits.select.load(slice(PRECISION_SAMPLE))
        return in_mixed_precision(classifier.to(job.device), sample)

    refined: Refined = once((job, "precision", name), opened)
    return refined


def _laid(job: AuditJob, name: str, progress: Progress) -> Laid:
    """Return one classifier, its weights in the fastest layout if that changes nothing on some select images."""

    def opened() -> Laid:
        classifier = _open_classifier(job, name, progress)
        select = open_splits(job).splits.select
        return in_channels_last(classifier, select.load(slice(LAYOUT_SAMPLE)))

    laid: Laid = once((job, "classifier", name), opened)
    return laid


def _open_classifier(job: AuditJob, name: str, progress: Progress) -> Classifier:
    section = next(section for section in job.plan.classifiers if section.name == name)
    images = open_splits(job, progress=progress)
    match section:
        case DemonstrationClassifier():
            return _train(job, section, images, progress)
        case TorchvisionClassifier():
            classifier = _load_torchvision(job, section, images, progress)
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


def _train(job: AuditJob, section: DemonstrationClassifier, images: OpenedImages, progress: Progress) -> Classifier:
    if images.training is None:
        raise ModelError(f"{section.name}: demonstration classifiers need the demonstration images")
    trained = demonstration.demonstration_classifier(
        section.architecture,
        job.cache / "classifiers",
        images.training,
        seed=job.seed("train", section.architecture),
        progress=progress,
    )
    return replace(trained, name=section.name)


def _load_torchvision(
    job: AuditJob, section: TorchvisionClassifier, images: OpenedImages, progress: Progress
) -> Classifier:
    given = section.preprocessing
    return loading.load_torchvision(
        section.architecture,
        cache=job.cache,
        name=section.name,
        weights=section.weights,
        arguments=section.arguments,
        mean=given.mean,
        std=given.std,
        input_size=None if given.input_size is None else pair(given.input_size),
        # A file of one's own says nothing about its classes; published weights know theirs.
        class_names=images.whole.class_names if Path(section.weights).suffix else None,
        progress=progress,
    )


def _complete(section: FactoryClassifier, size: tuple[int, int]) -> Preprocessing:
    """A network of the user's own carries no preprocessing, so the plan must say it in full."""
    given = section.preprocessing
    if given.mean is None or given.std is None:
        raise ModelError(
            f"{section.name}: expected preprocessing.mean and preprocessing.std in the plan, since a network from a "
            "file carries none; for a network that takes pixels in [0, 1] write mean: [0, 0, 0] and std: [1, 1, 1]"
        )
    return Preprocessing(given.mean, given.std, size if given.input_size is None else pair(given.input_size))


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
