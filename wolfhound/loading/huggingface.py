"""An image classifier of the library transformers, from a local folder or by its name on a hub."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.errors import ModelError, fault_list
from wolfhound.extras import extra_module
from wolfhound.hub import fetch_snapshot
from wolfhound.loading.finish import finish
from wolfhound.sources.fit import Fit, Interpolation

Channel = tuple[float, float, float]

_FILES = ("*.json", "*.safetensors", "*.bin")
# Pillow's numbers for what processors call resample.
_RESAMPLING: dict[int, Interpolation] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
# What transformers calls classes that nobody named.
_UNNAMED = re.compile(r"LABEL_[0-9]+")


class LogitsAlone(nn.Module):
    """The logits of a transformers model, which returns them among other things."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return `[B,classes]` for normalised `images` `[B,3,H,W]`."""
        logits: Tensor = self.network(pixel_values=images).logits
        return logits


def load_huggingface(
    *,
    folder: Path | None = None,
    model: str | None = None,
    revision: str | None = None,
    hub: str | None = None,
    cache: Path,
    mean: Channel | None = None,
    std: Channel | None = None,
    input_size: tuple[int, int] | None = None,
    class_names: Sequence[str] | None = None,
    unnamed: Sequence[str] | None = None,
    name: str | None = None,
) -> Classifier:
    """Return an image classifier of transformers with its own preprocessing and class names. Runs no code of the model.

    Args:
        folder: a local folder with config.json, weights, and preprocessor_config.json; or
        model: a name on the hub.
        revision: branch, tag or commit on the hub. The report names the commit.
        hub: address of a mirror of the hub.
        cache: where downloads are kept.
        mean: channel means on the [0, 1] scale, instead of the model's own; only together with `std`.
        std: channel deviations on the [0, 1] scale.
        input_size: height and width that the network gets, instead of the model's own.
        class_names: the classes, in the order of the scores, instead of the model's own.
        unnamed: the classes where the model does not name its own.
        name: what the classifier is called.

    Raises:
        ModelError: transformers is not installed; the folder or the model is not there, or the hub cannot be reached;
            weights are missing, superfluous or of another shape; the preprocessing is not known; a forward pass does
            not give one finite score for each class.
    """
    place, provenance = huggingface_place(folder=folder, model=model, revision=revision, hub=hub, cache=cache)
    preprocessing = _preprocessing(place, mean, std, input_size)
    network = _network(place)
    names = tuple(class_names) if class_names else _named(network) or tuple(unnamed or ())
    return finish(
        LogitsAlone(network),
        name=name or (model or place.name).rpartition("/")[2],
        class_names=names,
        preprocessing=preprocessing,
        architecture=f"transformers {type(network).__name__}",
        provenance=provenance,
    )


def huggingface_place(
    *, folder: Path | None, model: str | None, revision: str | None = None, hub: str | None = None, cache: Path
) -> tuple[Path, str]:
    """Return the local folder of a model, fetched where it is named on a hub, and in words where it comes from.

    Raises:
        ModelError: neither is named; or huggingface_hub is not installed, or the hub is away or has no such name.
    """
    if folder is not None:
        return folder, f"folder {folder.name}"
    if model is None:
        raise ModelError("expected a folder or the name of a model, got neither")
    place, commit = fetch_snapshot(
        model, revision=revision, patterns=_FILES, cache=cache, extra="huggingface", instead="folder: PATH", hub=hub
    )
    return place, f"{model}, commit {commit}"


def huggingface_fit(folder: Path) -> tuple[Fit, tuple[int, int]] | None:
    """Return resizing and cropping that the model's own processor does, and the size (height, width) that is left.

    None where the folder states no processor. `crop_pct` (ConvNeXT's): below a shorter side of 384 the picture is
    resized to the side over it and cut, from there on squashed.

    Raises:
        ModelError: what is stated cannot be read, or says no size.
    """
    stated = _stated(folder)
    if stated is None:
        return None
    size = _input_size(stated, folder)
    how = _RESAMPLING.get(stated.get("resample", 2), "bilinear")
    shorter = stated["size"].get("shortest_edge") if isinstance(stated.get("size"), dict) else None
    if shorter and stated.get("crop_pct") and shorter < 384:
        return Fit("crop", int(shorter / stated["crop_pct"]), how), size
    if shorter and stated.get("do_center_crop"):
        return Fit("crop", max(int(shorter), *size), how), size
    return Fit("squash", None, how), size


def _network(folder: Path) -> Any:
    if not (folder / "config.json").is_file():
        raise ModelError(f"expected a folder with config.json and weights at {folder}, but it has no config.json")
    transformers = extra_module("transformers", extra="huggingface", kind=ModelError)
    try:
        network, report = transformers.AutoModelForImageClassification.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False, output_loading_info=True, dtype="float32"
        )
    except Exception as error:  # transformers raises nearly anything
        raise ModelError(
            f"{folder} cannot be loaded as an image classifier ({type(error).__name__}: {str(error)[:500]})"
        ) from error
    # transformers fills what is missing with random numbers, and only warns.
    faults = [
        f"{what.replace('_', ' ')}: {key}" for what in _FAULTS for key in sorted(map(str, report.get(what) or ()))
    ]
    if faults:
        raise ModelError(fault_list(f"the weights in {folder} do not fit its config.json:", faults, most=20))
    return network


_FAULTS = ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")


def _named(network: Any) -> tuple[str, ...]:
    """Return the names of the classes in the order of the scores; none where the model does not name them."""
    labels = {int(index): str(label) for index, label in network.config.id2label.items()}
    if sorted(labels) != list(range(len(labels))) or all(_UNNAMED.fullmatch(label) for label in labels.values()):
        return ()
    return tuple(labels[index] for index in range(len(labels)))


def _preprocessing(
    folder: Path, mean: Channel | None, std: Channel | None, input_size: tuple[int, int] | None
) -> Preprocessing:
    if (mean is None) != (std is None):
        raise ModelError("expected preprocessing.mean and preprocessing.std together, got one of them")
    stated = _stated(folder)
    if stated is None and (mean is None or std is None or input_size is None):
        raise ModelError(
            f"{folder} has no preprocessor_config.json: say preprocessing with mean, std and input_size in the plan"
        )
    size = input_size or _input_size(stated or {}, folder)
    own_mean, own_std = (mean, std) if mean and std else _normalisation(stated or {}, folder)
    return Preprocessing(own_mean, own_std, size)


def _stated(folder: Path) -> dict[str, Any] | None:
    for file, key in (("preprocessor_config.json", None), ("processor_config.json", "image_processor")):
        if (folder / file).is_file():
            found = _json(folder / file)
            return found if key is None else found.get(key)
    return None


def _normalisation(stated: dict[str, Any], folder: Path) -> tuple[Channel, Channel]:
    """Return means and deviations on the [0, 1] scale: (255 r p - m) / s = (p - m / 255r) / (s / 255r)."""
    if stated.get("rescale_offset"):
        raise ModelError(f"{folder} shifts pixels when it rescales them: say preprocessing.mean and std in the plan")
    scale = 255 * float(stated.get("rescale_factor", 1 / 255)) if stated.get("do_rescale", True) else 255.0
    if not stated.get("do_normalize", True):
        return (0.0, 0.0, 0.0), (1 / scale, 1 / scale, 1 / scale)
    mean, std = stated.get("image_mean"), stated.get("image_std")
    if not (isinstance(mean, list) and isinstance(std, list) and len(mean) == len(std) == 3):
        raise ModelError(f"{folder} states no image_mean and image_std: say preprocessing.mean and std in the plan")
    return _channels(mean, scale), _channels(std, scale)


def _channels(values: list[Any], scale: float) -> Channel:
    red, green, blue = (float(value) / scale for value in values)
    return red, green, blue


def _input_size(stated: dict[str, Any], folder: Path) -> tuple[int, int]:
    size = stated.get("crop_size") if stated.get("do_center_crop") else stated.get("size")
    if isinstance(size, int):
        return size, size
    if isinstance(size, dict) and {"height", "width"} <= set(size):
        return int(size["height"]), int(size["width"])
    if isinstance(size, dict) and "shortest_edge" in size:
        return int(size["shortest_edge"]), int(size["shortest_edge"])
    raise ModelError(f"{folder} states no input size: say preprocessing.input_size in the plan")


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"expected JSON in {file}, but it cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise ModelError(f"expected a JSON object in {file}, got {type(found).__name__}")
    return found
