"""What a process has opened already: images and networks, each once, however many steps ask for it."""

import threading
from collections.abc import Callable
from typing import Any

_opened: dict[tuple[object, ...], Any] = {}
_opening = threading.RLock()


def once(key: tuple[object, ...], opener: Callable[[], Any]) -> Any:
    """Return what `opener` made for this key, now or earlier in this process."""
    with _opening:
        if key not in _opened:
            _opened[key] = opener()
        return _opened[key]
