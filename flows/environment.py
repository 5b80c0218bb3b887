"""What an audit ran on: versions and the machine in words, without its name."""

import os
import platform
import re
import sys
from collections.abc import Mapping
from functools import cache
from importlib import metadata

import torch

import wolfhound
from wolfhound.evidence import Package

PACKAGES = ("torch", "torchvision", "prefect", "pandas", "jinja2", "weasyprint", "numpy", "scipy", "pydantic")


def versions() -> dict[str, str]:
    """Return the versions of Python, Wolfhound and the packages that numbers depend on."""
    return {
        "wolfhound": wolfhound.__version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in PACKAGES},
    }


def packages() -> tuple[Package, ...]:
    """Return the installed packages that this process loaded and, transitively, those that they require, by name.

    Requirements of extras are left out, as nothing says which were asked for; so is what is required but not installed.
    """
    installed = {_canonical(found.metadata["Name"]): found for found in metadata.distributions() if found.metadata}
    owners = _owners()
    loaded = {module.partition(".")[0] for module in tuple(sys.modules)}
    waiting = [_canonical(name) for module in loaded & owners.keys() for name in owners[module]]
    used: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in used or name not in installed:
            continue
        used.add(name)
        waiting += [_required(text) for text in installed[name].requires or () if "extra ==" not in text]
    return tuple(_package(installed[name]) for name in sorted(used - {"wolfhound"}))


@cache
def _owners() -> Mapping[str, list[str]]:
    """Return which distributions each importable name comes from; it takes seconds, and installed is what is there."""
    return metadata.packages_distributions()


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _required(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return "" if found is None else _canonical(found[0])


def _package(found: metadata.Distribution) -> Package:
    return Package(_canonical(found.metadata["Name"]), found.version, _licence(found))


def _licence(found: metadata.Distribution) -> str:
    """Return the licence that a package states: as an expression, by classifier, or in one short line."""
    for key in ("License-Expression", "License"):
        text = " ".join(found.metadata.get_all(key) or ()).strip()
        if 0 < len(text) <= 100 and "\n" not in text and text.upper() != "UNKNOWN":
            return text
    classified = [c for c in found.metadata.get_all("Classifier") or () if c.startswith("License ::")]
    return "; ".join(c.rpartition(" :: ")[2] for c in classified)


def machine(device: torch.device) -> dict[str, str]:
    """Return what the audit ran on: system, processor, cores, and the device that computed."""
    computing = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": platform.machine(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "device": computing,
    }
