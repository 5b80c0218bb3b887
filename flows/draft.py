"""What can be seen of the user's images and network, for the plan that `wolfhound init` writes."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import TypeAdapter

from flows.draft_images import FoundImages, find_images
from flows.draft_models import FoundModel, find_model
from flows.draft_preprocessing import likely_preprocessing
from flows.draft_wanted import Section, Wanted, picture_size
from flows.subject_doors import load_section
from flows.subject_sources import read_images
from wolfhound.class_mapping import in_set_order
from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.errors import DataError, ModelError, PlanError, WolfhoundError
from wolfhound.images import ImageSet
from wolfhound.plan_classifiers import Subject
from wolfhound.plan_images import Images
from wolfhound.progress import Progress
from wolfhound.sources.fit import Fit

_SMALL = 96
_IMAGES: TypeAdapter[Images] = TypeAdapter(Images)
_SUBJECT: TypeAdapter[Subject] = TypeAdapter(Subject)


@dataclass(frozen=True)
class Draft:
    """What was seen.

    Attributes:
        images: the plan's section of the images.
        classifier: the plan's section of the classifier.
        classes: how many classes the images have.
        count: how many images there are.
        size: height and width of the images that the plan makes.
        black_box: whether the classifier gives no gradients.
        seen: how the preprocessing was chosen, for a comment.
        notes: what else was seen that a person should know.
    """

    images: Section
    classifier: Section
    classes: int
    count: int
    size: tuple[int, int]
    black_box: bool
    seen: str
    notes: tuple[str, ...] = ()


def look(wanted: Wanted, *, cache: Path, progress: Progress) -> Draft:
    """Return what can be seen of the images and the network.

    Raises:
        PlanError: it is not plain what is meant, or what is given does not go together; says which flag decides.
        DataError: the images cannot be read.
        ModelError: the network cannot be opened, or has another number of classes than the images.
    """
    model = find_model(wanted, cache=cache)
    _check_preprocessing(wanted, model)
    found = find_images(wanted, cache=cache)
    fit, size = _geometry(wanted, found, model)
    made: Section = {**found.section, "size": size[0] if size[0] == size[1] else list(size), "fit": _fit_section(fit)}
    readings = found.readings if model.imagenet or len(found.readings) < 2 else _plain_first(found.readings)
    faults: list[WolfhoundError] = []
    for reading in readings:
        try:
            return _drafted(wanted, {**made, **reading}, model, size, cache, progress)
        except (DataError, ModelError) as error:
            faults.append(error)
    raise faults[0]


def _plain_first(readings: tuple[Section, ...]) -> tuple[Section, ...]:
    """A network of the user's own has most likely the classes that the images have."""
    return tuple(sorted(readings, key=lambda reading: reading.get("class_names") == "imagenet"))


def _drafted(
    wanted: Wanted, section: Section, model: FoundModel, size: tuple[int, int], cache: Path, progress: Progress
) -> Draft:
    images, _ = read_images(
        _IMAGES.validate_python(_plain(section)), cache=cache / "images", at_least=1, progress=progress
    )
    classes, count = len(np.unique(images.labels)), len(images)
    if not model.opened:
        return Draft(section, model.section, classes, count, size, False, "as its weights were published")
    opening = _Opening(images, size, cache, progress)
    if model.carries:
        classifier = opening.opened(model.section)
        in_set_order(classifier, images.class_names, by_name=True)
        return Draft(section, model.section, classes, count, size, False, "as it came with the network")
    chosen, network, notes = opening.tried(model.section)
    if wanted.mean is not None and wanted.std is not None:
        preprocessing, seen = Preprocessing(wanted.mean, wanted.std), "as you said"
    else:
        ask = wanted.ask if wanted.asked else None
        preprocessing, seen, more = likely_preprocessing(network, images, ask=ask)
        notes = (*notes, *more)
    chosen["preprocessing"] = {"mean": _channel(preprocessing.mean), "std": _channel(preprocessing.std)}
    if network.preprocessing.input_size != images.size or model.section["source"] == "huggingface":
        chosen["preprocessing"]["input_size"] = list(network.preprocessing.input_size)
    return Draft(section, chosen, classes, count, size, not network.differentiable, seen, notes)


@dataclass(frozen=True)
class _Opening:
    """Opens networks for images."""

    images: ImageSet
    size: tuple[int, int]
    cache: Path
    progress: Progress

    def opened(self, section: Section) -> Classifier:
        """Return the classifier of a section."""
        subject = _SUBJECT.validate_python(_plain(section))
        return load_section(subject, images=self.images, cache=self.cache, progress=self.progress)

    def tried(self, section: Section) -> tuple[Section, Classifier, tuple[str, ...]]:
        """Return the section with what had to be added to open its network, the network, and why that was added."""
        plain: Section = {"preprocessing": {"mean": [0, 0, 0], "std": [1, 1, 1]}}
        if section["source"] == "huggingface":  # where its folder states none, it takes no size from the images
            plain["preprocessing"]["input_size"] = list(self.size)
        try:
            network = self.opened({**section, **plain})
        except ModelError as fault:
            if section["source"] != "onnx":
                raise
            return self._asked_alone(section, plain, fault)
        if section["source"] == "endpoint" and self._answers_probabilities(network):
            section = {**section, "scores": "probabilities"}
            return section, self.opened({**section, **plain}), ("the server answers probabilities, no logits",)
        return dict(section), network, ()

    def _asked_alone(
        self, section: Section, plain: Section, fault: ModelError
    ) -> tuple[Section, Classifier, tuple[str, ...]]:
        """Return an ONNX network that cannot be converted as a black box, with the reason."""
        asked = {**section, "execution": "onnxruntime"}
        try:
            network = self.opened({**asked, **plain})
        except ModelError:
            raise fault from None  # it is not the conversion that fails
        return asked, network, (f"audited as a black box, since {str(fault).splitlines()[0]}",)

    def _answers_probabilities(self, network: Classifier) -> bool:
        with torch.no_grad():
            scores = network.module(network.preprocessing.apply(self.images.load(slice(8))))
        sums = scores.sum(dim=1)
        return bool((scores >= 0).all()) and bool(((sums - 1).abs() < 0.01).all())


def _plain(section: Section) -> Section:
    """Return a section as YAML would give it: paths as text."""
    return {key: str(value) if isinstance(value, Path) else value for key, value in section.items()}


def _check_preprocessing(wanted: Wanted, model: FoundModel) -> None:
    given = [flag for flag, values in (("--mean", wanted.mean), ("--std", wanted.std)) if values is not None]
    if len(given) == 1:
        raise PlanError(f"expected --mean and --std together, got {given[0]} alone")
    if given and model.carries:
        raise PlanError(f"expected no --mean and --std for {wanted.model}, whose weights bring their own")


def _geometry(wanted: Wanted, found: FoundImages, model: FoundModel) -> tuple[Fit, tuple[int, int]]:
    """Return how pictures become images, and of what size: as the network says, else as the pictures are."""
    fit, size = model.shape()
    if wanted.size is not None and size != (wanted.size, wanted.size):
        fit, size = None, (wanted.size, wanted.size)
    if size is None:
        if found.section["source"] == "torchvision":
            size = (224, 224) if found.section["dataset"] == "imagenet" else (32, 32)
        else:
            size = (224, 224) if found.first is None else _taken_whole(picture_size(found.first()))
    if fit is None:
        small = max(size) <= _SMALL
        fit = Fit("squash") if small or size[0] != size[1] else Fit("crop", round(size[0] * 256 / 224))
    return fit, size


def _taken_whole(size: tuple[int, int]) -> tuple[int, int]:
    """Small square pictures are taken whole; of larger ones images of the usual size are made."""
    return size if size[0] == size[1] <= _SMALL else (224, 224)


def _fit_section(fit: Fit) -> Section:
    section: Section = {"method": fit.method}
    if fit.shorter_side is not None:
        section["shorter_side"] = fit.shorter_side
    if fit.interpolation != "bilinear":
        section["interpolation"] = fit.interpolation
    return section


def _channel(values: tuple[float, float, float]) -> list[float]:
    return [float(f"{value:.10g}") for value in values]
