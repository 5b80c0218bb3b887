"""Packages as an installer would lay them, for tests of plug-ins and of factories in modules."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def importable(folder: Path, *modules: str) -> Iterator[None]:
    """Let the named modules be imported from `folder`, and leave none behind for the tests that follow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        for name in modules:
            patch.delitem(sys.modules, name, raising=False)
        try:
            yield
        finally:
            for name in modules:
                sys.modules.pop(name, None)


def install(folder: Path, name: str, points: dict[str, dict[str, str]], module: str) -> None:
    """Lay a package into `folder` as an installer would: its module and its metadata."""
    (folder / f"{name}.py").write_text(module)
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [
        f"[{group}]\n" + "".join(f"{key} = {name}:{value}\n" for key, value in each.items())
        for group, each in points.items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines))
