"""Where the folder of real classifiers and photographs is, for the tests that need it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "WOLFHOUND_REAL"


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
