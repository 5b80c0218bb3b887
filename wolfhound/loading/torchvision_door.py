"""A classifier by its torchvision name, or by the names vgg_f and caffenet, which torchvision lacks."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from wolfhound.architectures.caffenet import CAFFENET_PREPROCESSING, caffenet
from wolfhound.architectures.vgg_f import VGG_F_PREPROCESSING, vgg_f
from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.errors import ModelError
from wolfhound.loading.download import obtain
from wolfhound.loading.finish import finish
from wolfhound.loading.torchvision_names import PublishedWeights, published, published_weights
from wolfhound.loading.weights import StateFile, load_into, read_state
from wolfhound.progress import Progress, silent
from wolfhound.sources.fit import Fit
from wolfhound.sources.imagenet_names import imagenet_class_names
from wolfhound.torchvision_import import torchvision

Channel = tuple[float, float, float]

RANDOM = "random"
OWN = {"vgg_f": (vgg_f, VGG_F_PREPROCESSING), "caffenet": (caffenet, CAFFENET_PREPROCESSING)}
# Training-time side heads; their scores are never read in evaluation.
_SIDE_HEADS = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}
# DenseNet's published files still carry the layer names of torch 0.3 ("norm.1" for "norm1").
_OLD_DENSENET = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.([12]\..*)$")


@dataclass(frozen=True)
class _Choice:
    """Which weights to load: a file, torchvision's published entry that it is, or neither for random ones."""

    state: StateFile | None
    entry: PublishedWeights | None


def load_torchvision(
    architecture: str,
    *,
    cache: Path,
    name: str | None = None,
    weights: str | Path | None = "DEFAULT",
    allow_pickle_code: bool = False,
    mean: Channel | None = None,
    std: Channel | None = None,
    input_size: tuple[int, int] | None = None,
    class_names: Sequence[str] | None = None,
    arguments: Mapping[str, Any] | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Classifier:
    """Return a classifier by name.

    Published weights bring their own preprocessing and class names; a local file that is one of them is recognised by
    its digest. For any other file they are those of the architecture's published weights where these agree.

    Args:
        architecture: a name of `classifier_names()`, "vgg_f" or "caffenet".
        cache: where downloads are kept. torch.hub's checkpoints folder is looked into first.
        name: what the classifier is called; `architecture` by default.
        weights: "DEFAULT" or None (what torchvision recommends), a name such as "IMAGENET1K_V1", a .pth or
            .safetensors file, or "random" for an untrained network.
        allow_pickle_code: run the code that a pickled file asks for.
        mean: channel means on the [0, 1] scale, instead of those of the weights; only together with `std`.
        std: channel deviations on the [0, 1] scale.
        input_size: height and width that the network gets, instead of that of the weights.
        class_names: the classes, in the order of the scores, instead of those of the weights.
        arguments: further keyword arguments of torchvision's builder.
        seed: of "random" weights.
        progress: shows a download.

    Raises:
        ModelError: no such name; weights missing, damaged or not fitting, or not to be downloaded; preprocessing that
            is not known; a forward pass that does not give one finite score for each class.
    """
    choice = _choose(architecture, weights, cache, progress, allow_pickle_code)
    preprocessing, assumed = _preprocessing(architecture, choice, mean, std, input_size)
    names = tuple(class_names or (choice.entry.class_names if choice.entry else imagenet_class_names()))
    options = {"num_classes": len(names), **(arguments or {})}
    if architecture in _SIDE_HEADS:
        options = _side_head_options(architecture, choice, mean, options)
    module = _built(architecture, options, seed)
    if choice.state is not None:
        state = _renamed(choice.state) if architecture.startswith("densenet") else choice.state
        load_into(module, state, hint=f" {architecture} with {len(names)} classes")
    for head in _SIDE_HEADS.get(architecture, ()):
        setattr(module, head, None)
    return finish(
        module,
        name=name or architecture,
        class_names=names,
        preprocessing=preprocessing,
        architecture=architecture if architecture in OWN else f"torchvision {architecture}",
        provenance=_provenance(choice, seed) + assumed,
    )


def torchvision_fit(architecture: str, *, weights: str = "DEFAULT") -> tuple[Fit, tuple[int, int]]:
    """Return resizing and cropping of the published evaluation of these weights, and the image size (height, width).

    Raises:
        ModelError: there is no such classifier, or there are no such weights.
    """
    entry = published(architecture, weights)
    return entry.fit, entry.preprocessing.input_size


def _choose(
    architecture: str, weights: str | Path | None, cache: Path, progress: Progress, allow_pickle_code: bool
) -> _Choice:
    if weights == RANDOM:
        return _Choice(None, None)
    weights = "DEFAULT" if weights is None else weights
    if isinstance(weights, Path) or Path(weights).suffix in (".pth", ".pt", ".th", ".bin", ".safetensors"):
        state = read_state(Path(weights), allow_pickle_code=allow_pickle_code)
        return _Choice(state, _recognised(architecture, state))
    if architecture in OWN:
        raise ModelError(
            f"{architecture} has no published weights to download (say weights: PATH/TO/{architecture}.pth; an "
            'untrained network is made by weights: "random" alone)'
        )
    entry = published(architecture, weights)
    return _Choice(read_state(obtain(entry, cache=cache, progress=progress)), entry)


def _recognised(architecture: str, state: StateFile) -> PublishedWeights | None:
    """Return the published weights that the file is, whatever its name; None for any other file."""
    candidates = () if architecture in OWN else published_weights(architecture)
    return next((entry for entry in candidates if state.sha256.startswith(entry.hash_prefix)), None)


def _preprocessing(
    architecture: str,
    choice: _Choice,
    mean: Channel | None,
    std: Channel | None,
    input_size: tuple[int, int] | None,
) -> tuple[Preprocessing, str]:
    """Return the preprocessing, and a remark for the report where it was concluded and not stated."""
    if (mean is None) != (std is None):
        raise ModelError(f"{architecture}: expected mean and std together, got only {'mean' if mean else 'std'}")
    known = [choice.entry.preprocessing] if choice.entry else _usual_preprocessing(architecture, choice)
    stated = mean is not None and std is not None
    scales = {(one.mean, one.std) for one in known}
    sizes = {one.input_size for one in known}
    if (not stated and len(scales) != 1) or (input_size is None and len(sizes) != 1):
        raise ModelError(
            f"{architecture}: what these weights expect is not known (say the preprocessing: mean, std and input_size)"
        )
    size = input_size or next(iter(sizes))
    if mean is not None and std is not None:
        return Preprocessing(mean, std, size), ""
    remark = (
        "" if choice.entry or choice.state is None else "; the preprocessing usual for this architecture is assumed"
    )
    return replace(known[0], input_size=size), remark


def _usual_preprocessing(architecture: str, choice: _Choice) -> list[Preprocessing]:
    if architecture in OWN:
        return [OWN[architecture][1]]
    if choice.state is None:  # random weights expect nothing: the recommended preprocessing is as good as any
        return [published(architecture, "DEFAULT").preprocessing]
    return list({entry.preprocessing for entry in published_weights(architecture)})


def _side_head_options(
    architecture: str, choice: _Choice, mean: Channel | None, stated: dict[str, Any]
) -> dict[str, Any]:
    """Return the `stated` options, and how GoogLeNet and Inception are built to fit a file and its normalisation.

    The published ones take torchvision's usual means and turn them into their own (`transform_input`). A file of
    unknown origin does so if nothing was stated, and does not if other means were. With the usual means stated both are
    possible, and `arguments` must say.
    """
    names = choice.state.tensors if choice.state else {}
    heads = any(name.split(".")[0] in _SIDE_HEADS[architecture] for name in names)
    options = {"aux_logits": heads, "init_weights": choice.state is None, **stated}
    if choice.state is None or "transform_input" in stated:
        return options
    if choice.entry is None and mean == published_weights(architecture)[0].preprocessing.mean:
        raise ModelError(
            f"{architecture}: with these means, published weights are renormalised inside the network and others are "
            'not (say arguments: {"transform_input": true} or false, or leave mean and std out)'
        )
    return {**options, "transform_input": choice.entry is not None or mean is None}


def _built(architecture: str, options: dict[str, Any], seed: int) -> nn.Module:
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module: nn.Module = _builder(architecture)(**options)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{architecture} cannot be built with {options}: {error}") from error
    return module


def _builder(architecture: str) -> Callable[..., nn.Module]:
    if architecture in OWN:
        return OWN[architecture][0]
    builder: Callable[..., nn.Module] = torchvision().models.get_model_builder(architecture)
    return builder


def _renamed(state: StateFile) -> StateFile:
    tensors = {_OLD_DENSENET.sub(r"\1\2", name): tensor for name, tensor in state.tensors.items()}
    return replace(state, tensors=tensors)


def _provenance(choice: _Choice, seed: int) -> str:
    if choice.state is None:
        return f"random weights (never trained), seed {seed}"
    published_as = f"torchvision's {choice.entry.title}, " if choice.entry else ""
    return published_as + choice.state.provenance
