"""The classifiers of an audit, opened once a process by the doors that the plan names."""

from dataclasses import replace

from flows.audit_job import AuditJob
from flows.opened import once
from flows.steps import only_looked_at, refused
from flows.subject_doors import load_section
from flows.subject_images import OpenedImages, open_splits
from wolfhound import demonstration
from wolfhound.class_mapping import in_set_order
from wolfhound.classifier import Classifier
from wolfhound.errors import ModelError, fault_list
from wolfhound.evidence import Subject
from wolfhound.memory_layout import Laid, in_channels_last
from wolfhound.mixed_precision import Refined, in_mixed_precision
from wolfhound.plan_classifiers import DemonstrationClassifier
from wolfhound.plan_classifiers import Subject as Section
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

    refined: Refined = once(job, ("precision", name), opened)
    return refined


def _laid(job: AuditJob, name: str, progress: Progress) -> Laid:
    """Return one classifier, its weights in the fastest layout if that changes nothing on some select images."""

    def opened() -> Laid:
        classifier = _open_classifier(job, name, progress)
        select = open_splits(job).splits.select
        return in_channels_last(classifier, select.load(slice(LAYOUT_SAMPLE)))

    laid: Laid = once(job, ("classifier", name), opened)
    return laid


def classes_of(job: AuditJob, name: str) -> str:
    """Return in words how the outputs of one classifier were matched with the classes of the image set."""
    if isinstance(_section(job, name), DemonstrationClassifier):
        return "trained on the image set's own classes"
    return _in_order(job, name, silent)[1]


def _open_classifier(job: AuditJob, name: str, progress: Progress) -> Classifier:
    section = _section(job, name)
    if isinstance(section, DemonstrationClassifier):
        return _train(job, section, open_splits(job, progress=progress), progress)
    return _in_order(job, name, progress)[0]


def _section(job: AuditJob, name: str) -> Section:
    return next(section for section in job.plan.classifiers if section.name == name)


def _in_order(job: AuditJob, name: str, progress: Progress) -> tuple[Classifier, str]:
    """Return the classifier with its scores in the order of the image set's classes, and how that is known."""

    def opened() -> tuple[Classifier, str]:
        section, images = _section(job, name), open_splits(job, progress=progress).whole
        classifier = load_section(section, images=images, cache=job.cache, progress=progress)
        return in_set_order(classifier, images.class_names, by_name=section.classes == "by_name")

    found: tuple[Classifier, str] = once(job, ("classes", name), opened)
    return found


def _train(job: AuditJob, section: DemonstrationClassifier, images: OpenedImages, progress: Progress) -> Classifier:
    if images.training is None:
        raise ModelError(f"{section.name}: demonstration classifiers need the demonstration images")
    trained = demonstration.demonstration_classifier(
        section.architecture,
        job.cache / "classifiers",
        images.training,
        seed=job.seed("train", section.architecture),
        progress=refused if only_looked_at() else progress,
    )
    return replace(trained, name=section.name)


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
        weights_seen=classifier.differentiable,
    )
