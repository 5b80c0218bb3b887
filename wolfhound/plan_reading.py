"""From a YAML file to a checked plan. Every fault is reported at once, with its line."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from wolfhound.errors import PlanError, fault_list
from wolfhound.plan import AuditPlan
from wolfhound.store import sha256

_PATH_KEYS = (
    *("path", "root", "file", "folder", "annotations", "output", "cache", "weights", "class_names"),
    *("boxes", "table", "plates"),
)
_MOST_VALUES = 100_000
_WORDS = {
    "class_names": {"folders", "labels", "images", "imagenet"},
    "weights": {"random"},
    "plates": {"inpainted", "mirrored"},
}
"""Values that stand for something else than a file, by key; elsewhere they are names of files like any other."""


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
    try:
        node = yaml.compose(source.decode(), Loader=yaml.SafeLoader)
        document = _UniqueKeyLoader(source.decode()).get_single_data()
    except UnicodeDecodeError as error:
        raise PlanError(f"{name}: expected UTF-8 text, got byte {error.object[error.start]:#x}") from error
    except yaml.YAMLError as error:
        raise PlanError(f"{name} is not valid YAML: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # a date of 99 months, say, or a value no number
        raise PlanError(f"{name} is not valid YAML: a value cannot be read ({error})") from error
    except RecursionError as error:
        raise PlanError(f"{name}: expected a plan, got brackets within brackets, too deep to be read") from error
    if not isinstance(document, dict):
        raise PlanError(f"{name}: expected a mapping with the keys of a plan (see: wolfhound plan schema)")
    if _too_large(document):
        raise PlanError(f"{name}: expected a plan, got more than {_MOST_VALUES:,} values (does an anchor hold itself?)")
    try:
        return AuditPlan.model_validate(_resolve_paths(document, folder))
    except ValidationError as error:
        faults = [_fault(row, node) for row in error.errors()]
        raise PlanError(fault_list(f"{len(faults)} fault(s) in {name}:", faults)) from error


def _too_large(document: Any) -> bool:
    """Return whether a document has too many values once its anchors are written out, which a few lines can do."""
    waiting, seen = [document], 0
    while waiting:
        seen += 1
        if seen > _MOST_VALUES:
            return True
        value = waiting.pop()
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return False


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
    return {
        key: str(folder / item) if _is_path(key, item) else _resolve_paths(item, folder) for key, item in value.items()
    }


def _is_path(key: Any, item: Any) -> bool:
    if key not in _PATH_KEYS or not isinstance(item, str) or item in _WORDS.get(key, ()):
        return False
    # "weights" may also be a weights name such as IMAGENET1K_V1; a file has a suffix.
    return key != "weights" or bool(Path(item).suffix)


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML without repeated keys: the later one would silently win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "expected text as a key", key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is there twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)
