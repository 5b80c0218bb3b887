"""Published or earlier perturbations read from files, so that they are judged as our own are.

A file says neither its layout nor its scale. Both can be stated; what is guessed is guessed only where nothing else is
plausible, and refused otherwise. Reading runs no code from the file.
"""

import io
import pickle
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd
import safetensors.torch
import scipy.io
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from scipy.io.matlab import MatReadError
from torch import Tensor

from attacks.delivery import RESAMPLING, resample
from attacks.judge import transfer_predictions, under
from attacks.threat import Threat
from wolfhound.classifier import Classifier
from wolfhound.errors import DataError
from wolfhound.images import ImageSet
from wolfhound.progress import Progress, silent
from wolfhound.store import sha256

Layout = Literal["auto", "CHW", "HWC", "WHC"]
Scale = Literal["auto", "unit", "levels"]
Channels = Literal["RGB", "BGR"]

LARGEST_UNIT, SMALLEST_LEVELS, LARGEST_LEVELS = 0.5, 2.0, 64.0
"""Guessed: a largest value up to 0.5 is on the scale [0, 1], one of 2 to 64 on 0..255; any other has to be stated."""

MATLAB_KEY = "r"
"""What the authors of 2017 call a perturbation in their MATLAB files."""

_AXES = {"CHW": (0, 1, 2), "HWC": (2, 0, 1), "WHC": (2, 1, 0)}
_MATLAB_73 = b"MATLAB 7.3 MAT-file"


@dataclass(frozen=True)
class Reading:
    """How to read a perturbation's file.

    Attributes:
        layout: the axes of the array, without leading axes of length 1. Guessed is CHW or HWC by where the 3 channels
            are; that an array is WHC no array shows.
        scale: "unit" for pixels in [0, 1], "levels" for 0..255; guessed by the largest value, levels for integers.
        channels: the order of the colours.
        key: which array of the file, where it holds several (in a .mat, "r" is taken without being asked for).
        index: which one of a stack of several.
    """

    layout: Layout = "auto"
    scale: Scale = "auto"
    channels: Channels = "RGB"
    key: str | None = None
    index: int | None = None


@dataclass(frozen=True, eq=False)
class Replayed:
    """A perturbation from a file, and how it was read.

    Attributes:
        delta: `[3,H,W]` float32, RGB, on the pixel scale, as large as it is in the file.
        digest: SHA-256 (hex) of the file.
        reading: with the layout and scale that were decided.
    """

    name: str
    delta: Tensor
    digest: str
    reading: Reading

    def conditions(self, threat: Threat, size: tuple[int, int]) -> dict[str, str]:
        """Return what has to be said of a rate that it reaches on images of (height, width) `size`."""
        own, found = tuple(self.delta.shape[-2:]), float(threat.size(self.delta))
        resized = float(threat.size(resample(self.delta, size)))
        within = resized <= threat.epsilon * (1 + 1e-6)
        fitted = "as it is" if own == size else f"from {own[0]}x{own[1]} to {size[0]}x{size[1]}: {RESAMPLING}"
        return {
            "perturbation": f"{self.name}, SHA-256 {self.digest}",
            "read as": f"{self.reading.layout}, {self.reading.channels}, {self.reading.scale}",
            "size in the file": f"{threat.norm} {255 * found:.4g}/255",
            "resampled": fitted,
            "bounded": f"within {threat.norm} {threat.epsilon_text}" if within else f"projected on {threat.text}",
        }


def read_perturbation(path: Path, reading: Reading | None = None) -> Replayed:
    """Return the perturbation in a .npy, .pt, .pth, .safetensors or .mat file.

    Raises:
        DataError: no such file, no such format, several arrays, an array that is no perturbation of an RGB image, or a
            layout or scale that has to be stated.
    """
    wanted = reading or Reading()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"expected a perturbation at {path}, but it cannot be read ({error})") from error
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path.name}: expected a file out of {', '.join(_READERS)}, got {path.suffix!r}")
    array = _real(_chosen(reader(path.name, data), wanted.key, path.name), path.name)
    array = _one(array, wanted.index, path.name)
    layout = _layout(array.shape, wanted.layout, path.name)
    scale = _scale(array, wanted.scale, path.name)
    delta = np.transpose(array, _AXES[layout]).astype(np.float64) / (255 if scale == "levels" else 1)
    if wanted.channels == "BGR":
        delta = delta[::-1]
    decided = Reading(layout, scale, wanted.channels, wanted.key, wanted.index)
    return Replayed(path.name, torch.from_numpy(np.ascontiguousarray(delta, dtype=np.float32)), sha256(data), decided)


def replay(
    classifier: Classifier,
    images: ImageSet,
    perturbations: Mapping[str, Replayed],
    threat: Threat,
    *,
    batch_size: int = 64,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Return the ledger of one network under `perturbations`, each resampled, projected on `threat` and rounded.

    See `attacks.judge.transfer_predictions`.
    """
    deltas = {name: replayed.delta for name, replayed in perturbations.items()}
    return transfer_predictions(classifier, images, under(threat, deltas), batch_size=batch_size, progress=progress)


def _npy(name: str, data: bytes) -> Any:
    try:
        return np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{name}: expected an array of numbers as numpy.save writes it ({error})") from error


def _pt(name: str, data: bytes) -> Any:
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, OSError) as error:
        raise DataError(
            f"{name}: expected tensors alone, which can be read without running code from the file (load it where "
            f"it comes from and save the tensor): {error}"
        ) from error


def _safetensors(name: str, data: bytes) -> Any:
    try:
        return safetensors.torch.load(data)
    except (SafetensorError, ValueError) as error:
        raise DataError(f"{name}: expected a safetensors file ({error})") from error


def _mat(name: str, data: bytes) -> Any:
    if data.startswith(_MATLAB_73):
        raise DataError(
            f"{name}: expected a MATLAB file of version 7 or older, got version 7.3, which is HDF5 "
            "(in MATLAB: load it, then save('converted.mat', 'r', '-v7'))"
        )
    try:
        found = scipy.io.loadmat(io.BytesIO(data))  # type: ignore[arg-type]  # the stubs know of paths alone
    except (MatReadError, ValueError, TypeError, LookupError, OSError, NotImplementedError, zlib.error) as error:
        raise DataError(f"{name}: expected a MATLAB file ({error})") from error
    return {key: value for key, value in found.items() if not key.startswith("__")}


_READERS: Mapping[str, Callable[[str, bytes], Any]] = MappingProxyType(
    {".npy": _npy, ".pt": _pt, ".pth": _pt, ".safetensors": _safetensors, ".mat": _mat}
)


def _chosen(found: Any, key: str | None, name: str) -> Any:
    if not isinstance(found, Mapping):
        if key is not None:
            raise DataError(f"{name}: expected named arrays, as the key {key!r} was asked for, got a single one")
        return found
    if key is None and len(found) > 1 and name.lower().endswith(".mat") and MATLAB_KEY in found:
        return found[MATLAB_KEY]
    offer = ", ".join(map(repr, sorted(found))) or "none"
    if key is not None and key not in found:
        raise DataError(f"{name}: expected an array {key!r}, got {offer}")
    if key is None and len(found) != 1:
        raise DataError(f"{name}: expected one array, got {len(found)} (name one of them as the key: {offer})")
    return found[key] if key is not None else next(iter(found.values()))


def _real(found: Any, name: str) -> NDArray[Any]:
    """Return the array as numbers: signed integers as they are, floating ones as float64."""
    if isinstance(found, Tensor):
        tensor = found.detach().cpu()
        array: Any = (tensor.double() if tensor.is_floating_point() else tensor).numpy()
    else:
        array = found
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fi":
        kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise DataError(f"{name}: expected an array of signed numbers, got {kind} (a difference of images has signs)")
    if not array.size or not bool(np.isfinite(array).all()) or not bool(array.any()):
        raise DataError(f"{name}: expected finite numbers that are not all 0, got {list(array.shape)} of others")
    return array


def _one(array: NDArray[Any], index: int | None, name: str) -> NDArray[Any]:
    """Return the array without leading axes of length 1, or the stated one of a stack."""
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 4:
        array = _stack_first(array, name)
        if index is None or not 0 <= index < len(array):
            raise DataError(
                f"{name}: expected one perturbation, got a stack of shape {list(array.shape)} "
                f"(state an index in [0, {len(array)}), got {index})"
            )
        return np.asarray(array[index])
    if index is not None:
        raise DataError(f"{name}: expected a stack, as index {index} was asked for, got shape {list(array.shape)}")
    return array


def _stack_first(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Return a stack with its own axis first, where MATLAB puts it last: HWCN."""
    if array.shape[2] != 3 or array.shape[1] == 3:
        return array
    if array.shape[3] == 3:
        raise DataError(
            f"{name}: expected a stack that shows which axis counts, got shape {list(array.shape)} (save a single one)"
        )
    return np.moveaxis(array, 3, 0)


def _layout(shape: tuple[int, ...], wanted: Layout, name: str) -> Literal["CHW", "HWC", "WHC"]:
    if len(shape) != 3:
        raise DataError(f"{name}: expected 3 axes (channels, height, width in some order), got shape {list(shape)}")
    first, last = shape[0] == 3, shape[2] == 3
    if wanted != "auto":
        if not (first if wanted == "CHW" else last):
            raise DataError(f"{name}: expected 3 channels in a {wanted} array, got shape {list(shape)}")
        return wanted
    if first == last:
        found = "two axes of 3" if first else "no channel axis of 3 first or last"
        raise DataError(f"{name}: expected a shape that shows the layout, got {found} in {list(shape)} (state it)")
    return "CHW" if first else "HWC"


def _scale(array: NDArray[Any], wanted: Scale, name: str) -> Literal["unit", "levels"]:
    largest = float(np.abs(array.astype(np.float64)).max())
    if wanted != "auto":
        most = 1 if wanted == "unit" else 255
        if largest > most:
            raise DataError(f"{name}: expected values within {most} on the scale {wanted!r}, got {largest:g}")
        return wanted
    if array.dtype.kind == "i" and largest <= LARGEST_LEVELS:
        return "levels"
    if array.dtype.kind == "f" and largest <= LARGEST_UNIT:
        return "unit"
    if SMALLEST_LEVELS <= largest <= LARGEST_LEVELS:
        return "levels"
    raise DataError(
        f"{name}: expected a largest value of at most {LARGEST_UNIT} (pixels in [0, 1]) or of {SMALLEST_LEVELS:g} to "
        f"{LARGEST_LEVELS:g} (0..255), got {largest:g} (state the scale if it is a perturbation at all)"
    )
