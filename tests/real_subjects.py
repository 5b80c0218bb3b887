"""Where the folder of real classifiers and photographs is, for the tests that need it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "WOLFHOUND_REAL"

# As the folder's index says: the file was trained with TensorFlow's padding, which a rotated network repeats exactly.
EXACT_MOBILENET = """
import torch
from archs import Rot180Wrap
from wolfhound.torchvision_import import torchvision

def mobilenet(weights):
    network = torchvision().models.mobilenet_v2()
    state = torch.load(weights, weights_only=True)
    network.load_state_dict({k: v.flip((2, 3)) if v.ndim == 4 and v.shape[-1] > 1 else v for k, v in state.items()})
    return Rot180Wrap(network)
"""


def find_real_subjects() -> Path:
    """Return where the folder should be: $WOLFHOUND_REAL, else shared/real beside the repository."""
    stated = os.environ.get(VARIABLE)
    return Path(stated) if stated else Path(__file__).resolve().parents[2] / "shared" / "real"


def real_subjects() -> Path:
    """Return the folder of real classifiers and photographs; skip the test, with the reason, where it is absent."""
    folder = find_real_subjects()
    if not (folder / "index.json").is_file():
        pytest.skip(f"needs the folder of real classifiers and photographs (set {VARIABLE}; it is not at {folder})")
    return folder


def real_index() -> dict[str, Any]:
    """Return what the folder states about its files; skip the test where it is absent."""
    index: dict[str, Any] = json.loads((real_subjects() / "index.json").read_text())
    return index
