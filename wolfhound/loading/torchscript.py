"""A network that was saved by torch.jit.save. Its program is TorchScript, which can run no Python."""

import re
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.errors import ModelError
from wolfhound.loading.finish import finish
from wolfhound.store import file_sha256

# What TorchScript can do to files; no classifier needs it.
_TOUCHES_FILES = re.compile(r"torch\.(?:save|from_file)\(")


def load_torchscript(
    file: Path, *, preprocessing: Preprocessing, class_names: Sequence[str], name: str | None = None
) -> Classifier:
    """Return the classifier around the TorchScript network in `file`.

    Args:
        file: what torch.jit.save wrote, of a traced or a scripted network.
        preprocessing: channel means and deviations on the [0, 1] scale, and the input size.
        class_names: the classes, in the order of the network's scores.
        name: what the classifier is called; the file's name by default.

    Raises:
        ModelError: the file is missing, damaged or no TorchScript, its program reads or writes files, or it does not
            give one finite score for each class.
    """
    _check_program(file)
    try:
        with warnings.catch_warnings():  # torch points to torch.export; files of users remain what they are
            warnings.simplefilter("ignore", DeprecationWarning)
            module: Any = torch.jit.load(str(file), map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{file} cannot be read as TorchScript; damaged? ({_first_line(error)})") from error
    digest = file_sha256(file)
    return finish(
        module,
        name=name or file.stem,
        class_names=class_names,
        preprocessing=preprocessing,
        architecture=f"TorchScript {module.original_name} of {file.name}",
        provenance=f"file {file.name}, SHA-256 {digest}",
        # A frozen network keeps its weights as constants of the program.
        weights_digest=None if module.state_dict() else digest,
    )


def _check_program(file: Path) -> None:
    if not file.is_file():
        raise ModelError(f"expected a TorchScript file at {file}, but there is no such file")
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            if not any(name.endswith("constants.pkl") for name in names):
                raise ModelError(
                    f"{file} is no TorchScript: it holds no program (a .pt2 of torch.export is source: exported; a "
                    "state dict needs its architecture by name or a factory)"
                )
            code = b"".join(archive.read(name) for name in names if "/code/" in name and name.endswith(".py"))
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise ModelError(f"{file} cannot be read as TorchScript; damaged? ({error})") from error
    if found := _TOUCHES_FILES.search(code.decode(errors="replace")):
        raise ModelError(
            f"the program in {file} calls {found[0]}…), which reads or writes files; Wolfhound never runs such a "
            "program (save the network without it)"
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
