"""Packages that only some doors need: asked for by name, and named with what to install where they are absent."""

import importlib
from typing import Any

from wolfhound.errors import WolfhoundError
from wolfhound.torchvision_import import torchvision

# They import torchvision themselves, which has to be imported through its own door first.
_AFTER_TORCHVISION = ("timm", "transformers", "onnx2pytorch")


def extra_module(name: str, *, extra: str, kind: type[WolfhoundError]) -> Any:
    """Return the module `name`, which the extra `extra` installs.

    Raises:
        kind: it is not installed or cannot be imported; says how to install it.
    """
    try:
        if name.split(".")[0] in _AFTER_TORCHVISION:
            torchvision()
        return importlib.import_module(name)
    except ImportError as error:
        raise kind(
            f"expected the package {name.split('.')[0]}, which this door needs, got {error} "
            f"(install it: pip install 'wolfhound[{extra}]')"
        ) from error
