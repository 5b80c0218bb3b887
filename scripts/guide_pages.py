"""Pages of the guide that are made from the source: the plan's keys, the commands, the attacks, the list of decisions.

MkDocs calls `on_files` before it reads any page, so none of these is written by hand or kept in the repository.
"""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages."""
    from mkdocs.structure.files import File

    sys.path.insert(0, str(ROOT))  # the guide is built from this checkout, installed or not
    pages = {
        "reference/plan.md": plan_page,
        "reference/commands.md": commands_page,
        "reference/attacks.md": attacks_page,
        "adr/index.md": decisions_page,
    }
    for path, make in pages.items():
        files.append(File.generated(config, path, content=make()))
    return files


def plan_page() -> str:
    """Return every key of a plan, from the models that check it."""
    from wolfhound.plan import AuditPlan

    schema = AuditPlan.model_json_schema()
    parts = schema["$defs"]
    lines = [
        "# Plans",
        "",
        "Every key of a plan, made from the models that check it. Keys without a default are needed. Numbers may be "
        "written as people do: `10/255`, `30 %`. `wolfhound plan schema` prints the same for editors.",
        "",
        *_section("The plan", schema, parts),
    ]
    for name in _reached(schema, parts):
        lines += _section(name, parts[name], parts)
    return "\n".join(lines)


def _reached(schema: dict[str, Any], parts: dict[str, Any]) -> list[str]:
    """Return the sections in the order in which the plan reaches them."""
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            name = str(value.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found.append(name)
                walk(parts[name])
            for part in value.values():
                walk(part)
        elif isinstance(value, list):
            for part in value:
                walk(part)

    walk(schema["properties"])
    return found


def _section(title: str, schema: dict[str, Any], parts: dict[str, Any]) -> list[str]:
    needed = schema.get("required", [])
    rows = [
        f"| `{key}` | {_type(value, parts)} | {_default(key, value, needed)} | {_cell(value.get('description', ''))} |"
        for key, value in schema.get("properties", {}).items()
    ]
    table = ["| key | value | default | meaning |", "|---|---|---|---|", *rows, ""] if rows else []
    return [f"## {title}", "", _cell(schema.get("description", "")), "", *table]


def _type(value: dict[str, Any], parts: dict[str, Any]) -> str:
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{choice}`" for choice in value["enum"])
    several = value.get("anyOf") or value.get("oneOf")
    if several:
        return " or ".join(dict.fromkeys(_type(part, parts) for part in several if part.get("type") != "null"))
    if value.get("type") == "array":
        inner = value.get("items") or (value.get("prefixItems") or [{}])[0]
        return f"list of {_type(inner, parts)}"
    if value.get("type") == "object":
        inner = value.get("additionalProperties")
        return f"names with {_type(inner, parts)}" if isinstance(inner, dict) else "names with values"
    return _bounded(value)


def _bounded(value: dict[str, Any]) -> str:
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` or `false`"}
    name = {"path": "path", "date": "date"}.get(value.get("format", ""), words.get(value.get("type", ""), "any"))
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {value[key]:g}" for key, sign in signs.items() if key in value and abs(value[key]) < 1e15]
    return f"{name} {', '.join(limits)}".strip()


def _default(key: str, value: dict[str, Any], needed: list[str]) -> str:
    if key in needed or "const" in value:
        return "needed"
    default = value.get("default")
    if default is None or default in ("", [], {}):
        return "none"
    if isinstance(default, dict):
        return "its defaults"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def commands_page() -> str:
    """Return every command with its arguments and options, from the command line itself."""
    import typer

    from flows.cli import app

    root = typer.main.get_command(app)
    lines = ["# Commands", "", _cell(root.help or ""), "", _cell(root.epilog or ""), ""]
    for path, command in _commands("wolfhound", root):
        lines += [f"## {path}", "", *(f"{part}\n" for part in (command.help or "").split("\n\n"))]
        rows = [_parameter(each) for each in command.params if "--help" not in each.opts]
        if rows:
            lines += ["| argument | default | meaning |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _commands(path: str, command: Any) -> list[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        return [(path, command)]
    return [found for name, child in children.items() for found in _commands(f"{path} {name}", child)]


def _parameter(parameter: Any) -> str:
    named = ", ".join(f"`{name}`" for name in parameter.opts) if parameter.param_type_name == "option" else ""
    name = named or f"`{(parameter.metavar or parameter.name).upper()}`"
    shown = parameter.default
    default = "needed" if parameter.required else "none" if shown in (None, False, "", ()) else f"`{shown}`"
    return f"| {name} | {default} | {_cell(getattr(parameter, 'help', None) or '')} |"


def attacks_page() -> str:
    """Return every attack with the first paragraph of its docstring, its options and its source."""
    import ast

    lines = ["# Attacks and corruptions", "", "Names for plans, with their options and defaults.", ""]
    for title, folder in (("Universal", "universal"), ("Per image", "per_image")):
        lines += [f"## {title}", ""]
        for file in sorted((ROOT / "attacks" / folder).glob("*.py")):
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef):
                    lines += _attack(ast, node)
    return "\n".join(lines)


def _attack(ast: Any, node: Any) -> list[str]:
    """Return an attack's entry, or nothing for a class that is none; read without importing torch."""
    constants, options = {}, []
    for part in node.body:
        if not isinstance(part, ast.AnnAssign) or not isinstance(part.target, ast.Name):
            continue
        if ast.unparse(part.annotation).startswith("ClassVar"):
            if part.value is not None:
                constants[part.target.id] = ast.unparse(part.value).strip("'\"")
        elif part.value is not None and part.target.id != "targeted":
            options.append(f"`{part.target.id}: {ast.unparse(part.value)}`")
    if not {"name", "title", "source"} <= set(constants):
        return []
    told = (ast.get_docstring(node) or "").split("\n\n")[0]
    return [
        f"### {constants['name']}",
        "",
        f"{constants['title']} ({constants['source']}). {_cell(told)}",
        "",
        f"Options: {', '.join(options) or 'none'}",
        "",
    ]


def decisions_page() -> str:
    """Return the list of decisions, each with its first line."""
    rows = []
    for path in sorted((ROOT / "docs" / "adr").glob("0*.md")):
        title = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        rows.append(f"- [{title}]({path.name})")
    return "\n".join(
        ["# Decisions", "", "What was hard to take back, with why, and what would change it.", "", *rows, ""]
    )
