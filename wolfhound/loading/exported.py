"""A network that was saved by torch.export.save (.pt2): a graph of tensor operations and its weights."""

import io
import json
import logging
import types
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.errors import ModelError
from wolfhound.loading.finish import finish, numbers_alone
from wolfhound.loading.fixed_batch import FixedBatch
from wolfhound.store import file_sha256

# Operation -> where its arguments say whether it behaves as in training.
_TRAINING_FLAG = {
    "aten.batch_norm.default": 5,
    "aten.native_batch_norm.default": 5,
    "aten._native_batch_norm_legit.default": 5,
    "aten._native_batch_norm_legit_functional.default": 5,
    "aten.dropout.default": 2,
    "aten.feature_dropout.default": 2,
    "aten.alpha_dropout.default": 2,
    "aten.native_dropout.default": 2,
}


def load_exported(
    file: Path,
    *,
    preprocessing: Preprocessing,
    class_names: Sequence[str],
    allow_pickle_code: bool = False,
    name: str | None = None,
) -> Classifier:
    """Return the classifier around the exported program in `file`. One that was exported for a batch size takes any.

    Args:
        file: what torch.export.save wrote.
        preprocessing: channel means and deviations on the [0, 1] scale, and the input size.
        class_names: the classes, in the order of the network's scores.
        allow_pickle_code: run the code that pickles in the file ask for.
        name: what the classifier is called; the file's name by default.

    Raises:
        ModelError: the file is missing, damaged or no exported program; it could only be read by running its code, or
            holds machine code; it was exported in training mode; or it does not give one finite score for each class.
    """
    program, module = _opened(file, allow_pickle_code)
    _check_mode(file, module)
    digest = file_sha256(file)
    pickled = ", read by running code that the file asks for, as the plan allows" if allow_pickle_code else ""
    return finish(
        _any_batch(_switchable(module), program),
        name=name or file.stem,
        class_names=class_names,
        preprocessing=preprocessing,
        architecture=f"torch.export program of {file.name}",
        provenance=f"file {file.name}, SHA-256 {digest}{pickled}",
        weights_digest=None if module.state_dict() else digest,
    )


def exported_input_size(file: Path) -> tuple[int, int] | None:
    """Return height and width of the images that the program in `file` takes; None where it takes any.

    Raises:
        ModelError: the file is missing, damaged or no exported program, or could only be read by running its code.
    """
    program, _ = _opened(file, False)
    return numbers_alone(_images_of(program)[2:])


def _opened(file: Path, allow_code: bool) -> tuple[Any, Any]:
    _check_archive(file, allow_code)
    try:
        with _without_broken_warning():
            program: Any = torch.export.load(str(file))
        return program, program.module()
    except Exception as error:  # the reader of damaged files raises nearly anything
        raise ModelError(f"{file} cannot be read as an exported program ({type(error).__name__}: {error})") from error


def _check_archive(file: Path, allow_code: bool) -> None:
    """Raise unless torch can read the file without running code: its reader falls back to running pickles."""
    if not file.is_file():
        raise ModelError(f"expected an exported program at {file}, but there is no such file")
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if not any(name.endswith(("models/model.json", "serialized_exported_program.json")) for name in names):
                raise ModelError(f"{file} holds no exported program (write it with torch.export.save)")
            # Two readers may take different ones of two entries of the same name.
            if twice := [name for name, count in Counter(names).items() if count > 1]:
                raise ModelError(f"{file} holds {twice[0]} twice; refused, since readers may differ on which counts")
            machine_code = [name for name in names if "aotinductor" in name or name.endswith((".so", ".cubin"))]
            if machine_code:
                raise ModelError(f"{file} holds machine code ({machine_code[0]}); export the network without it")
            asking = {name: why for name in names if (why := _asks_for_code(archive, name))}
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise ModelError(f"{file} cannot be read as an exported program; damaged? ({error})") from error
    if asking and not allow_code:
        name, why = next(iter(asking.items()))
        raise ModelError(
            f"{file} can only be read by running code that {name} asks for ({why}), which Wolfhound does only "
            "where the plan says allow_pickle_code: true. Better export the network again with tensors alone, or save "
            "program.state_dict as safetensors and name the architecture or its factory"
        )


def _asks_for_code(archive: zipfile.ZipFile, name: str) -> str:
    """Return why an entry cannot be read as plain tensors, or nothing."""
    if "custom_obj" in name:
        return "an object of a class of its own"
    if name.endswith(".pt"):
        return _pickle_fault(archive.read(name))
    if not name.endswith("_config.json"):
        return ""
    try:
        payloads = json.loads(archive.read(name))["config"].values()
        pickled = [payload["path_name"] for payload in payloads if payload["use_pickle"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"{archive.filename}: {name} is damaged ({type(error).__name__}: {error})") from error
    folder = name.rpartition("/")[0]
    found = (
        _pickle_fault(archive.read(f"{folder}/{path}")) for path in pickled if f"{folder}/{path}" in archive.namelist()
    )
    return next((why for why in found if why), "")


def _pickle_fault(data: bytes) -> str:
    try:
        torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # the reader of damaged files raises nearly anything
        return next((line.strip() for line in str(error).splitlines() if "GLOBAL" in line), type(error).__name__)
    return ""


@contextmanager
def _without_broken_warning() -> Iterator[None]:
    """Silence torch's warning that it ran a pickle's code: its own arguments do not fit, and the provenance says it."""
    logger = logging.getLogger("torch._export.serde.serialize")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


def _check_mode(file: Path, module: nn.Module) -> None:
    """Raise where an operation behaves as in training: an exported program keeps the mode of its export."""
    graph: Any = module.graph
    for node in graph.nodes:
        place = _TRAINING_FLAG.get(str(node.target))
        if place is not None and len(node.args) > place and node.args[place] is True:
            raise ModelError(
                f"{file} was exported in training mode ({node.target}, {node.name}), and an exported program cannot "
                "leave it; call network.eval() and export again"
            )


def _switchable(module: nn.Module) -> nn.Module:
    """Let `eval` and `train` do what they do elsewhere; an exported module refuses both, as they change nothing."""
    for name in ("train", "eval"):
        setattr(module, name, types.MethodType(getattr(nn.Module, name), module))
    return module


def _any_batch(module: nn.Module, program: Any) -> nn.Module:
    size = _images_of(program)[0]
    return FixedBatch(module, size) if isinstance(size, int) else module


def _images_of(program: Any) -> Sequence[object]:
    """Return the shape of the one input, images `[B,3,H,W]`: a number for each side that is fixed."""
    inputs = [node for node in program.graph.nodes if node.name in program.graph_signature.user_inputs]
    if len(inputs) != 1:
        raise ModelError(f"expected a network with one input, the images, got {len(inputs)} inputs")
    shape: Sequence[object] = inputs[0].meta["val"].shape
    if len(shape) != 4:
        raise ModelError(f"expected an input of images [B, 3, H, W], got one of {len(shape)} dimensions")
    return shape
