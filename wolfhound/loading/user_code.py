"""A function from a Python file of the user's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from wolfhound.loading.factory import _factory, _neighbours_of


def user_function(file: Path, name: str) -> Callable[..., Any]:
    """Return the function `name` (with dots for attributes) of `file`. Runs the file's code; it may import neighbours.

    Raises:
        ModelError: the file or the function is missing, or the file fails.
    """
    with _neighbours_of(file):
        function: Callable[..., Any] = _factory(file, name)
    return function
