"""A classifier of timm by its name, with the preprocessing that belongs to its weights."""

import difflib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.errors import ModelError
from wolfhound.extras import extra_module
from wolfhound.hub import fetch_snapshot
from wolfhound.loading.finish import finish
from wolfhound.loading.weights import load_into, read_state
from wolfhound.sources.fit import Fit, Interpolation
from wolfhound.sources.imagenet_names import imagenet_class_names

Channel = tuple[float, float, float]

_FILES = ("model.safetensors", "pytorch_model.bin")


def load_timm(
    architecture: str,
    *,
    cache: Path,
    weights: str | Path = "DEFAULT",
    allow_pickle_code: bool = False,
    hub: str | None = None,
    mean: Channel | None = None,
    std: Channel | None = None,
    input_size: tuple[int, int] | None = None,
    class_names: Sequence[str] | None = None,
    arguments: Mapping[str, Any] | None = None,
    seed: int = 0,
    name: str | None = None,
) -> Classifier:
    """Return a classifier of timm by name.

    Args:
        architecture: a name of `timm.list_models()`, with or without the tag of its weights.
        cache: where downloads are kept.
        weights: "DEFAULT" for the published ones, a .pth or .safetensors file, or "random" for an untrained network.
        allow_pickle_code: run the code that a pickle asks for.
        hub: address of a mirror of the hub.
        mean: channel means on the [0, 1] scale, instead of timm's for these weights; only together with `std`.
        std: channel deviations on the [0, 1] scale.
        input_size: height and width that the network gets.
        class_names: the classes, in the order of the scores; by default ImageNet's where the weights are of it.
        arguments: further keyword arguments of `timm.create_model`.
        seed: of "random" weights.
        name: what the classifier is called; `architecture` by default.

    Raises:
        ModelError: timm is not installed or has no such name; weights cannot be had or do not fit; the classes are not
            known; a forward pass does not give one finite score for each class.
    """
    if (mean is None) != (std is None):
        raise ModelError("expected preprocessing.mean and preprocessing.std together, got one of them")
    timm = extra_module("timm", extra="timm", kind=ModelError)
    stated = _stated(timm, architecture)
    names = tuple(class_names or _published_classes(architecture, stated))
    module = _built(timm, architecture, {"num_classes": len(names), **(arguments or {})}, seed)
    provenance = f"random weights (never trained), seed {seed}"
    if weights != "random":
        path, origin = (Path(weights), "") if weights != "DEFAULT" else _published(stated, architecture, cache, hub)
        state = read_state(path, allow_pickle_code=allow_pickle_code)
        load_into(module, state, hint=f" {architecture} with {len(names)} classes")
        provenance = origin + state.provenance
    return finish(
        module,
        name=name or architecture,
        class_names=names,
        preprocessing=Preprocessing(
            mean or tuple(stated["mean"]), std or tuple(stated["std"]), input_size or tuple(stated["input_size"][1:])
        ),
        architecture=f"timm {architecture}",
        provenance=provenance,
    )


def timm_fit(architecture: str) -> tuple[Fit, tuple[int, int]]:
    """Return resizing and cropping of timm's evaluation of these weights, and the image size (height, width).

    timm's `crop_pct` is the share of the resized picture's side that is cut out.

    Raises:
        ModelError: timm is not installed or has no such name.
    """
    stated = _stated(extra_module("timm", extra="timm", kind=ModelError), architecture)
    height, width = (int(side) for side in stated["input_size"][1:])
    interpolation = stated["interpolation"]
    known: Interpolation = interpolation if interpolation in get_args(Interpolation) else "bicubic"
    if stated.get("crop_mode") == "squash":
        return Fit("squash", None, known), (height, width)
    return Fit("crop", math.floor(max(height, width) / stated["crop_pct"]), known), (height, width)


def _stated(timm: Any, architecture: str) -> dict[str, Any]:
    """Return what timm states of the weights: where they are, their preprocessing, how many classes."""
    known = bool(timm.is_model(architecture))
    found = timm.models.get_pretrained_cfg(architecture, allow_unregistered=False) if known else None
    if found is None:
        close = difflib.get_close_matches(architecture, timm.list_models(), n=5)
        hint = f" (close ones: {', '.join(close)})" if close else ""
        raise ModelError(f"expected a classifier of timm, got {architecture!r}{hint}")
    stated: dict[str, Any] = found.to_dict()
    return stated


def _published_classes(architecture: str, stated: dict[str, Any]) -> tuple[str, ...]:
    tag = str(stated.get("tag") or "")
    if stated.get("num_classes") == 1000 and "in1k" in tag:
        return imagenet_class_names()
    raise ModelError(
        f"{architecture}: timm does not say what its {stated.get('num_classes')} classes are called (say class_names)"
    )


def _built(timm: Any, architecture: str, options: dict[str, Any], seed: int) -> nn.Module:
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module: nn.Module = timm.create_model(architecture, pretrained=False, **options)
    except Exception as error:  # hundreds of builders, each with checks of its own
        raise ModelError(
            f"timm {architecture} cannot be built with {options}: {type(error).__name__}: {error}"
        ) from error
    return module


def _published(stated: dict[str, Any], architecture: str, cache: Path, hub: str | None) -> tuple[Path, str]:
    """Return the file of timm's own weights and where it comes from."""
    repository = stated.get("hf_hub_id")
    if not repository:
        raise ModelError(f"timm publishes no weights for {architecture} (say weights: PATH; add a tag to the name?)")
    repository = f"{repository}{architecture}" if repository.endswith("/") else repository
    folder, commit = fetch_snapshot(
        repository, revision=None, patterns=_FILES, cache=cache, extra="timm", instead="weights: PATH", hub=hub
    )
    files = [folder / each for each in _FILES if (folder / each).is_file()]
    if not files:
        raise ModelError(f"{repository} holds no model.safetensors (fetch the weights and say weights: PATH)")
    return files[0], f"{repository}, commit {commit}, "
