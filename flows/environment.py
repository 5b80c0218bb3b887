"""What an audit ran on: versions and the machine in words, without its name."""

import os
import platform
from importlib import metadata

import torch

import wolfhound

PACKAGES = ("torch", "torchvision", "prefect", "pandas", "jinja2", "weasyprint", "numpy", "scipy", "pydantic")


def versions() -> dict[str, str]:
    """Return the versions of Python, Wolfhound and the packages that numbers depend on."""
    return {
        "wolfhound": wolfhound.__version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in PACKAGES},
    }


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
