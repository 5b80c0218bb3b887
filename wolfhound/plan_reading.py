"""From a YAML file to a checked plan. Every fault is reported at once, with its line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from wolfhound.errors import PlanError, fault_list
from wolfhound.plan import AuditPlan
from wolfhound.store import sha256
from wolfhound.yaml_reading import yaml_document

_PATH_KEYS = (
    *("path", "root", "file", "folder", "annotations", "output", "cache", "weights", "class_names"),
    *("boxes", "table", "plates"),
)
_WORDS = {
    "class_names": {"folders", "labels", "images", "imagenet"},
    "weights": {"random"},
    "plates": {"inpainted", "mirrored"},
}
"""Values that stand for something else than a file, by key; elsewhere they are names of files like any other."""
_OTHER_NAMES = "columns"
"""The mapping whose keys are a table's: what it calls the column of paths is no path."""


@dataclass(frozen=True)
class PlanFile:
    """A plan with the bytes that it was read from; relative paths in it are already resolved."""

    plan: AuditPlan
    source: bytes
    path: Path | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes as they were given."""
        return sha256(self.source)


def read_plan(path: Path) -> PlanFile:
    """Return the plan of a YAML file. Relative paths are meant from the file's folder.

    Raises:
        PlanError: the file is missing, no YAML, or has faults; all of them are named, with their lines.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise PlanError(f"expected a plan at {path}, but it cannot be read: {error.strerror}") from error
    return PlanFile(parse_plan(source, name=str(path), folder=path.resolve().parent), source, path)


def parse_plan(source: bytes, *, name: str, folder: Path) -> AuditPlan:
    """Return the plan of YAML bytes; `name` is what faults call it, `folder` what relative paths are meant from.

    Raises:
        PlanError: no YAML, or faults; all of them are named, with their lines.
    """
    document = yaml_document(source, name=name)
    if not isinstance(document, dict):
        raise PlanError(f"{name}: expected a mapping with the keys of a plan (see: wolfhound plan schema)")
    try:
        return AuditPlan.model_validate(_resolve_paths(document, folder))
    except ValidationError as error:
        node = yaml.compose(source.decode(), Loader=yaml.SafeLoader)  # for the lines of the faults
        faults = [_fault(row, node) for row in error.errors()]
        raise PlanError(fault_list(f"{len(faults)} fault(s) in {name}:", faults)) from error


def _fault(row: Any, node: yaml.Node | None) -> str:
    """Return "line 12, universal[0].threat.epsilon: what is wrong"."""
    place, line = "", node.start_mark.line + 1 if node else 1
    for key in row["loc"]:
        place += f"[{key}]" if isinstance(key, int) else f".{key}" if place else str(key)
        child = _child(node, key)
        if child is not None:
            node, line = child, child.start_mark.line + 1
    message = row["msg"].removeprefix("Value error, ")
    if row["type"] == "missing":
        return f"line {line}, {place}: is missing"
    if row["type"] == "extra_forbidden":
        return f"line {line}, {place}: is no key of a plan (see: wolfhound plan schema)"
    shown = "" if isinstance(row["input"], dict | list) else f" (got {row['input']!r})"
    return f"line {line}, {place or 'plan'}: {message}{shown}"


def _child(node: yaml.Node | None, key: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int):
        children: list[yaml.Node] = node.value
        return children[key] if key < len(children) else None
    if isinstance(node, yaml.MappingNode):
        return next((value for name, value in node.value if name.value == str(key)), None)
    return None


def _resolve_paths(value: Any, folder: Path) -> Any:
    """Make the relative paths of the known path keys absolute, wherever they stand."""
    if isinstance(value, list):
        return [_resolve_paths(item, folder) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: item if key == _OTHER_NAMES else _resolved(key, item, folder) for key, item in value.items()}


def _resolved(key: Any, item: Any, folder: Path) -> Any:
    return str(folder / item) if _is_path(key, item) else _resolve_paths(item, folder)


def _is_path(key: Any, item: Any) -> bool:
    if key not in _PATH_KEYS or not isinstance(item, str) or item in _WORDS.get(key, ()):
        return False
    # "weights" may also be a weights name such as IMAGENET1K_V1; a file has a suffix.
    return key != "weights" or bool(Path(item).suffix)
