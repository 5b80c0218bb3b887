"""From a classifier's section of the plan to the door that opens it."""

from pathlib import Path
from typing import TypedDict

from flows.plan_shapes import named_classes, pair
from wolfhound import loading
from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.errors import ModelError
from wolfhound.images import ImageSet
from wolfhound.loading.endpoint_client import EndpointSettings
from wolfhound.plan_base import Channel
from wolfhound.plan_classifiers import (
    EndpointClassifier,
    ExportedClassifier,
    FactoryClassifier,
    HuggingFaceClassifier,
    OnnxClassifier,
    PluginClassifier,
    PreprocessingSection,
    Subject,
    TimmClassifier,
    TorchScriptClassifier,
    TorchvisionClassifier,
)
from wolfhound.plugins import plugged_classifier
from wolfhound.progress import Progress

FileSection = FactoryClassifier | TorchScriptClassifier | ExportedClassifier | OnnxClassifier | EndpointClassifier


class _Stated(TypedDict):
    """What the plan says of a network that carries nothing but itself."""

    preprocessing: Preprocessing
    class_names: tuple[str, ...]
    name: str


class _Overrides(TypedDict):
    """What the plan says instead of what the weights carry."""

    mean: Channel | None
    std: Channel | None
    input_size: tuple[int, int] | None


def load_section(section: Subject, *, images: ImageSet, cache: Path, progress: Progress) -> Classifier:
    """Return the classifier of a section, its outputs in their own order.

    Raises:
        ModelError: it cannot be built or loaded.
    """
    match section:
        case TorchvisionClassifier():
            return _torchvision(section, images, cache, progress)
        case TimmClassifier():
            return _timm(section, images, cache)
        case HuggingFaceClassifier():
            return _huggingface(section, images, cache)
        case FactoryClassifier():
            return _factory(section, images)
        case TorchScriptClassifier():
            return loading.load_torchscript(section.file, **_stated(section, images))
        case ExportedClassifier():
            allowed = section.allow_pickle_code
            return loading.load_exported(section.file, allow_pickle_code=allowed, **_stated(section, images))
        case OnnxClassifier():
            return loading.load_onnx(section.file, execution=section.execution, **_stated(section, images))
        case EndpointClassifier():
            return _endpoint(section, images)
        case PluginClassifier():
            return plugged_classifier(section.plugin, section.options, cache=cache, called=section.name)
    raise ModelError(f"{section.name}: demonstration classifiers are trained, not loaded")


def _torchvision(section: TorchvisionClassifier, images: ImageSet, cache: Path, progress: Progress) -> Classifier:
    return loading.load_torchvision(
        section.architecture,
        cache=cache,
        name=section.name,
        weights=section.weights,
        allow_pickle_code=section.allow_pickle_code,
        arguments=section.arguments,
        # A file of one's own says nothing about its classes; published weights know theirs.
        class_names=images.class_names if Path(section.weights).suffix else None,
        progress=progress,
        **_overrides(section.preprocessing),
    )


def _timm(section: TimmClassifier, images: ImageSet, cache: Path) -> Classifier:
    published = section.weights == "DEFAULT" and section.class_names == "images"
    return loading.load_timm(
        section.architecture,
        cache=cache,
        name=section.name,
        weights=section.weights,
        allow_pickle_code=section.allow_pickle_code,
        hub=section.hub,
        arguments=section.arguments,
        class_names=None if published else _names(section, images),
        **_overrides(section.preprocessing),
    )


def _huggingface(section: HuggingFaceClassifier, images: ImageSet, cache: Path) -> Classifier:
    return loading.load_huggingface(
        folder=section.folder,
        model=section.model,
        revision=section.revision,
        hub=section.hub,
        cache=cache,
        unnamed=images.class_names,
        name=section.name,
        **_overrides(section.preprocessing),
    )


def _factory(section: FactoryClassifier, images: ImageSet) -> Classifier:
    return loading.load_factory(
        section.file or section.module or "",
        section.callable,
        arguments=section.arguments,
        weights=section.weights,
        allow_pickle_code=section.allow_pickle_code,
        **_stated(section, images),
    )


def _endpoint(section: EndpointClassifier, images: ImageSet) -> Classifier:
    settings = EndpointSettings(
        section.url,
        section.model,
        version=section.version,
        timeout=section.timeout,
        retries=section.retries,
        requests_per_second=section.requests_per_second,
        token_variable=section.token_variable,
    )
    return loading.load_endpoint(
        settings, scores=section.scores, batch_size=section.batch_size, **_stated(section, images)
    )


def _stated(section: FileSection, images: ImageSet) -> _Stated:
    """A network of the user's own carries no preprocessing, so the plan must say it in full."""
    given = section.preprocessing
    if given.mean is None or given.std is None:
        raise ModelError(
            f"{section.name}: expected preprocessing.mean and preprocessing.std in the plan, since a network from a "
            "file carries none; for a network that takes pixels in [0, 1] write mean: [0, 0, 0] and std: [1, 1, 1]"
        )
    preprocessing = Preprocessing(given.mean, given.std, _size(given) or images.size)
    return _Stated(preprocessing=preprocessing, class_names=_names(section, images), name=section.name)


def _overrides(given: PreprocessingSection) -> _Overrides:
    return _Overrides(mean=given.mean, std=given.std, input_size=_size(given))


def _names(section: FileSection | TimmClassifier, images: ImageSet) -> tuple[str, ...]:
    """Return what the plan calls the outputs; by default the image set's classes, in its order."""
    return named_classes(section.class_names) or images.class_names


def _size(given: PreprocessingSection) -> tuple[int, int] | None:
    return None if given.input_size is None else pair(given.input_size)
