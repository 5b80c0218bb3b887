"""A function from a Python file of the user's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from wolfhound.loading.factory import attribute_of, imported, neighbours_of


def user_function(file: Path, name: str) -> Callable[..., Any]:
    """Return the function `name` (with dots for attributes) of `file`. Runs the file's code; it may import neighbours.

    Raises:
        ModelError: the file or the function is missing, or the file fails.
    """
    with neighbours_of(file):
        function: Callable[..., Any] = attribute_of(imported(file), name, str(file))
    return function
