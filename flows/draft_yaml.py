"""Sections of a drafted plan as YAML, a key a line, with what a person should look at beside it."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from flows.draft_wanted import Section


def section_lines(section: Section, *, plan: Path, comments: Mapping[str, str], indent: str) -> str:
    """Return a line for each key, indented, with paths as seen from the plan's folder."""
    lines = []
    for key, value in section.items():
        comment = f"   # {comments[key]}" if key in comments else ""
        lines.append(f"{indent}{key}: {shown(value, plan)}{comment}")
    return "\n".join(lines)


def shown(value: Any, plan: Path) -> str:
    """Return a value as it stands in the plan: a path relative to its folder, a mapping or a list on one line."""
    match value:
        case Path():
            return quoted_path(value, plan)
        case Mapping():
            return "{" + ", ".join(f"{key}: {shown(inner, plan)}" for key, inner in value.items()) + "}"
        case str() if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", value) and yaml.safe_load(value) == value:
            return value
    return json.dumps(value, ensure_ascii=False)


def quoted_path(target: Path, plan: Path) -> str:
    """Return `target` as seen from the plan's folder where it lies near it, else in full; quoted for YAML."""
    whole, folder = target.resolve(), plan.resolve().parent
    near = whole.is_relative_to(folder) or whole.is_relative_to(folder.parent)
    return json.dumps(os.path.relpath(whole, folder) if near else str(whole), ensure_ascii=False)
