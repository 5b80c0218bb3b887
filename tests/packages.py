"""Packages as an installer would lay them, for tests of plug-ins."""

from pathlib import Path


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
