"""Background and object swaps in the audited images themselves: masks or boxes, plates, the question, the finding."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from explainers.bias.grabcut import open_cv
from explainers.bias.plates import METHOD, own_plates
from explainers.bias.probe import LEAST_IMAGES, LEAST_PLATES, ask_about
from explainers.bias.verdict import ProbeSettings, Question
from flows.audit_job import AuditJob
from flows.bias_estimated import Estimated, mask_sensitivity, with_estimated_masks, with_sensitivity
from flows.bias_swaps import SwapRequest, measure_swaps, swap_finding
from flows.bias_tables import fit_of, with_boxes
from flows.finding_steps import packed_finding
from flows.opened import once
from flows.plan_shapes import pair
from flows.steps import StepValue
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from wolfhound import sources
from wolfhound.classifier import Classifier
from wolfhound.errors import DataError
from wolfhound.images import ImageSet
from wolfhound.plan import CsvImages, FolderImages
from wolfhound.plan_bias import MaskBias
from wolfhound.progress import Progress

NO_MASKS = "has no object masks (add a column mask, or boxes, or estimate: grabcut, or ask for interventions)"


@dataclass(frozen=True, eq=False)
class Sets:
    """What is probed: images with masks and kinds of background, plates of those kinds, how masks were estimated."""

    probed: ImageSet
    plates: ImageSet
    estimated: Estimated | None = None


def first_by_hash(images: ImageSet, count: int | None) -> ImageSet:
    """Return the first `count` images in the order of their hashes (chance, but repeatable), all where it is None."""
    if count is None or count >= len(images):
        return images
    return images.subset(np.sort(np.argsort(np.array(images.hashes))[:count]), name=f"{images.name}/first {count}")


def mask_sets(job: AuditJob, section: MaskBias, progress: Progress) -> Sets:
    """Return the sets that a section probes.

    Raises:
        DataError: no masks, boxes or groups, or no plates.
    """
    images = first_by_hash(open_splits(job).splits.report, section.images)
    if section.boxes is not None:
        images = with_boxes(job, images, section.boxes)
    estimated = None
    if section.estimate:
        estimated = with_estimated_masks(job, images, boxed=section.boxes is not None, progress=progress)
        images = estimated.images
    if images.masks is None:
        raise DataError(f"{images.name}: {NO_MASKS}")
    if section.kinds == "classes":
        images = replace(images, groups=tuple(images.class_names[label] for label in images.labels))
    elif images.groups is None:
        raise DataError(f"{images.name}: has no groups (add a column group, or let kinds be classes)")
    return Sets(images, _plates(job, section, images, progress), estimated)


def _plates(job: AuditJob, section: MaskBias, images: ImageSet, progress: Progress) -> ImageSet:
    if section.plates == "mirrored" or section.plates == "inpainted":
        return own_plates(images, job.cache / "plates", making=section.plates, progress=progress)
    given, size = job.plan.images, images.size
    fit = fit_of(given) if isinstance(given, CsvImages | FolderImages) else sources.Fit("squash")
    plates = sources.read_folder(
        Path(section.plates), cache=job.cache / "images", size=pair(size), fit=fit, progress=progress
    )
    return replace(plates, groups=tuple(plates.class_names[label] for label in plates.labels))


def _question(section: MaskBias, classifier: Classifier, sets: Sets) -> tuple[Question, str]:
    """Return the question, and in words which classes it leaves out for want of images or plates.

    Raises:
        DataError: a class that does not exist, or too few that can be asked about: all on one kind of background.
    """
    names = classifier.class_names
    kind_of = {name: section.usual.get(name, name) for name in names} if section.kinds == "groups" else None
    asked = section.usual if section.kinds == "groups" else names
    wanted = section.classes if section.classes != "all" else tuple(name for name in names if name in asked)
    unknown = [name for name in (*wanted, *section.usual) if name not in names]
    if unknown:
        raise DataError(f"expected classes of {classifier.name}, got {sorted(set(unknown))} (see its class names)")
    images = Counter(sets.probed.labels.tolist())
    plates = Counter(sets.plates.groups or ())
    usual = {names.index(name): kind_of[name] if kind_of else name for name in wanted}
    enough = {
        label: kind for label, kind in usual.items() if images[label] >= LEAST_IMAGES and plates[kind] >= LEAST_PLATES
    }
    short = [names[label] for label in usual if label not in enough and (section.classes != "all" or images[label])]
    if len(set(enough.values())) < 2 or (short and section.classes != "all"):
        raise DataError(
            f"{sets.probed.name}: expected classes on two kinds of background or more, with {LEAST_IMAGES} images and "
            f"{LEAST_PLATES} plates of their kind each, got too few for {', '.join(short) or 'all'} (enlarge the "
            "report split, or give plates)"
        )
    words = f"; left out, with too few images or plates: {', '.join(short)}" if short else ""
    return ask_about(classifier, tuple(enough), enough), words


def check_masks(job: AuditJob, section: MaskBias) -> None:
    """Raise unless the section's sets can be made at all: before any work.

    Raises:
        DataError: no masks, boxes or groups; OpenCV is not installed where masks are to be estimated.
    """
    images = open_splits(job).splits.report
    if section.estimate:
        open_cv()
    elif section.boxes is None and images.masks is None:
        raise DataError(f"{images.name}: {NO_MASKS}")
    if section.kinds == "groups" and images.groups is None:
        raise DataError(f"{images.name}: has no groups (add a column group, or let kinds be classes)")


def probe_masks(job: AuditJob, section: MaskBias, name: str, classifier_name: str, progress: Progress) -> StepValue:
    """Return the finding of background swaps on one classifier of the plan. Done once."""
    classifier, sets = open_classifier(job, classifier_name), _sets(job, section, progress)
    question, left_out = _question(section, classifier, sets)
    step = job.step(
        f"bias/{name}",
        classifier=classifier.identity,
        probed=sets.probed.fingerprint,
        plates=sets.plates.fingerprint,
        seed=job.seed("bias"),
        section=section.model_dump(mode="json", exclude={"classifiers", "boxes", "plates"}),
    )

    def work() -> StepValue:
        request = SwapRequest(
            identifier=f"bias/{name}",
            probed=sets.probed,
            plates=sets.plates,
            question=question,
            settings=ProbeSettings(
                tolerated_control_flips=section.tolerated_control_flips, among_classes=section.decide_among == "labels"
            ),
            crossed=section.crossed,
            shown=section.shown,
        )
        result = measure_swaps(job, classifier, request, progress)
        finding = swap_finding(job, classifier_name, request, result, _conditions(section, sets, left_out))
        if sets.estimated is not None:
            found = mask_sensitivity(job, classifier, sets.probed, sets.plates, result.probe)
            finding = with_sensitivity(job, finding, found)
        return packed_finding(finding)

    return step.once(work)


def _sets(job: AuditJob, section: MaskBias, progress: Progress) -> Sets:
    """Return the sets of a section, made once a run."""
    key = ("bias", section.model_dump_json())
    sets: Sets = once(job, key, lambda: mask_sets(job, section, progress))
    return sets


def _conditions(section: MaskBias, sets: Sets, left_out: str) -> dict[str, str]:
    objects = (
        "the boxes of the table (whatever a box holds beside the object stays)" if section.boxes else "their masks"
    )
    if sets.estimated is not None:
        objects = f"estimated masks, {sets.estimated.how}, none usable in {sets.estimated.left_out} more images"
    kind = "that of its class" if section.kinds == "classes" else "what its group says"
    made = METHOD.get(str(section.plates), f"pictures of the folder {Path(section.plates).name}")
    return {
        "images": f"the report split, or the first of it by hash; objects: {objects}{left_out}",
        "kind of a picture's background": kind,
        "backgrounds": made,
    }
