"""The classifier and the photographs of `wolfhound explain`, by the doors that plans use."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from flows.audit_job import AuditJob
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from wolfhound import loading
from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.errors import DataError, ModelError, PlanError, fault_list
from wolfhound.plan_reading import read_plan
from wolfhound.progress import Progress
from wolfhound.sources.decode import MOST_PIXELS, PixelBudget, decode
from wolfhound.sources.fit import Fit
from wolfhound.sources.listing import PictureFile

Channel = tuple[float, float, float]


@dataclass(frozen=True)
class ModelRequest:
    """Which classifier is asked for, as it was typed.

    Attributes:
        text: a torchvision name, PLAN.yaml#NAME, or FILE.py:CALLABLE.
        weights: a weights file, a torchvision weights name or "random"; None takes what the door takes by default.
        class_names: "imagenet", a file with one name a line, or None.
        mean, std, size: preprocessing on the [0, 1] scale; needed for FILE.py:CALLABLE (size: 224 by default).
        arguments: keyword arguments of CALLABLE.
        fit: how photographs get the classifier's size; None takes the published evaluation's, or "crop".
    """

    text: str
    weights: str | None = None
    class_names: str | None = None
    mean: Channel | None = None
    std: Channel | None = None
    size: int | None = None
    arguments: dict[str, str | int | float | bool] = field(default_factory=dict)
    fit: Literal["crop", "squash"] | None = None


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A classifier, and how photographs are brought to its size (height, width)."""

    classifier: Classifier
    fit: Fit
    size: tuple[int, int]


def open_model(request: ModelRequest, *, cache: Path, progress: Progress) -> OpenedModel:
    """Return the classifier that the request names.

    Raises:
        PlanError: options that the notation does not take; a plan that cannot be read or lacks the name.
        ModelError: the classifier cannot be built or loaded.
        DataError: the images of a plan are unusable.
    """
    head, _, name = request.text.rpartition("#")
    if head and Path(head).suffix in (".yaml", ".yml"):
        return _from_plan(Path(head), name, request, cache=cache, progress=progress)
    file, _, callable_name = request.text.rpartition(":")
    if file.endswith(".py"):
        return _from_factory(Path(file), callable_name, request)
    return _from_torchvision(request, cache=cache, progress=progress)


def _from_plan(path: Path, name: str, request: ModelRequest, *, cache: Path, progress: Progress) -> OpenedModel:
    """A plan says everything about its classifiers, so nothing else may be said beside it."""
    given = [key for key in ("weights", "class_names", "mean", "std", "size", "arguments") if getattr(request, key)]
    if given:
        raise PlanError(f"{request.text}: the plan states {', '.join(given)}; change it there")
    read = read_plan(path)
    if name not in read.plan.classifier_names:
        raise PlanError(
            f"expected {path}#NAME with a NAME out of {', '.join(read.plan.classifier_names)}, got {name!r}"
        )
    job = AuditJob(read.source, path.resolve().parent, Path(), cache, "")
    classifier = open_classifier(job, name, progress=progress)
    size = open_splits(job).whole.size
    stated = getattr(job.plan.images, "fit", None)
    side = None if stated is None or stated.method == "squash" else stated.shorter_side or round(min(size) * 256 / 224)
    fit = Fit("crop") if stated is None else Fit(stated.method, side, stated.interpolation, stated.upright)
    return OpenedModel(classifier, _chosen_fit(request, fit), size)


def _from_factory(file: Path, callable_name: str, request: ModelRequest) -> OpenedModel:
    if request.mean is None or request.std is None or request.class_names is None:
        raise ModelError(
            f"{request.text}: expected --mean, --std and --class-names, since a network from a file carries none "
            "(for one that takes pixels in [0, 1] say --mean 0,0,0 --std 1,1,1)"
        )
    size = (request.size or 224, request.size or 224)
    classifier = loading.load_factory(
        file,
        callable_name,
        arguments=request.arguments,
        weights=None if request.weights is None else Path(request.weights),
        preprocessing=Preprocessing(request.mean, request.std, size),
        class_names=_class_names(request.class_names),
    )
    return OpenedModel(classifier, _chosen_fit(request, Fit("crop")), size)


def _from_torchvision(request: ModelRequest, *, cache: Path, progress: Progress) -> OpenedModel:
    classifier = loading.load_torchvision(
        request.text,
        cache=cache,
        weights=request.weights,
        mean=request.mean,
        std=request.std,
        input_size=None if request.size is None else (request.size, request.size),
        class_names=None if request.class_names is None else _class_names(request.class_names),
        arguments=request.arguments,
        progress=progress,
    )
    size, fit = classifier.preprocessing.input_size, Fit("crop")
    if request.text in loading.classifier_names():
        published, usual = loading.torchvision_fit(request.text)
        fit = published if usual == size else fit
    return OpenedModel(classifier, _chosen_fit(request, fit), size)


def _chosen_fit(request: ModelRequest, usual: Fit) -> Fit:
    return usual if request.fit is None or request.fit == usual.method else Fit(request.fit)


def _class_names(wanted: str) -> tuple[str, ...]:
    if wanted == "imagenet":
        return loading.imagenet_class_names()
    try:
        names = tuple(line.strip() for line in Path(wanted).read_text().splitlines() if line.strip())
    except OSError as error:
        raise DataError(f"expected class names at {wanted}, one a line, but: {error.strerror}") from error
    if not names:
        raise DataError(f"expected class names at {wanted}, one a line, but the file is empty")
    return names


def load_photographs(paths: Sequence[Path], opened: OpenedModel) -> Tensor:
    """Return the photographs as the classifier gets them, float32 `[N,3,H,W]` in [0, 1].

    Raises:
        DataError: a file is missing or cannot be decoded; names every one.
    """
    budget, found, faults = PixelBudget(MOST_PIXELS), [], []
    opened.fit.check(opened.size)
    for path in paths:
        try:
            listed = PictureFile.found(path, path.name)
            pixels, _ = decode(listed, None, fit=opened.fit, size=opened.size, budget=budget)
            found.append(torch.from_numpy(pixels))
        except OSError as error:
            faults.append(f"{path}: {error.strerror}")
        except DataError as error:
            faults.append(f"{path}: {error}")
    if faults:
        raise DataError(fault_list(f"{len(faults)} photograph(s) cannot be read:", faults))
    return torch.stack(found).float() / 255
