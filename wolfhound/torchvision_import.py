"""Import torchvision, also where its compiled operators do not match the installed torch.

torchvision's Python code declares fake kernels for two compiled operators when it is imported. Beside a torch build
that its binary was not compiled for, those operators do not exist and the import fails. Declaring their schemas first
lets the Python parts (model definitions, weight metadata, transforms) work; the two detection operators stay without a
kernel, and no classifier uses them. Where the plain import works, nothing is declared.
"""

import importlib
import sys
from types import ModuleType

import torch

_declared: list[torch.library.Library] = []


def torchvision() -> ModuleType:
    """Return the torchvision package.

    Raises:
        ImportError: torchvision is not installed, or fails to import for another reason.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise ImportError(f"torchvision cannot be imported beside torch {torch.__version__}: {error}") from error
    _forget_half_imported()
    _declare_detection_operators()
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        _forget_half_imported()
        raise ImportError(f"torchvision cannot be imported beside torch {torch.__version__}: {error}") from error


def _declare_detection_operators() -> None:
    if _declared:
        return
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    _declared.append(library)


def _forget_half_imported() -> None:
    for name in [name for name in sys.modules if name == "torchvision" or name.startswith("torchvision.")]:
        del sys.modules[name]
