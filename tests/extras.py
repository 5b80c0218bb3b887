"""Packages of the extras that open further doors: a test that needs one skips, visibly, where it is absent."""

import importlib
from typing import Any

import pytest

from wolfhound.torchvision_import import torchvision


def needed(*names: str) -> Any:
    """Return the first of the named modules; skip the test, with the reason, where one cannot be imported."""
    torchvision()  # several of them import it, and it has to be imported through its own door
    modules = []
    for name in names:
        try:
            modules.append(importlib.import_module(name))
        except ImportError as error:
            pytest.skip(f"needs the package {name} ({error})")
    return modules[0]
