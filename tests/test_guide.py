"""The guide is complete where it is made from the source, and its tutorial succeeds."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from attacks import registry
from wolfhound.plan import AuditPlan

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def pages() -> Any:
    spec = importlib.util.spec_from_file_location("guide_pages", ROOT / "scripts" / "guide_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return module


def headings(page: Path) -> set[str]:
    return set(re.findall(r"^### ([a-z0-9-]+)$", page.read_text(), flags=re.MULTILINE))


def test_every_notice_before_a_run_is_explained_and_nothing_else() -> None:
    """The codes of the doubts are explained among the doubts, and named with a link."""
    source = "\n".join(path.read_text() for path in (ROOT / "flows" / "preflight").glob("*.py"))
    raised = set(re.findall(r'Notice\(\s*"([a-z0-9-]+)"', source))
    assert len(raised) >= 15
    assert headings(DOCS / "preflight.md") == raised
    remedies = source.partition("_REMEDIES")[2].partition("\n}\n")[0]
    doubts = set(re.findall(r'^    "([a-z-]+)": \(', remedies, flags=re.MULTILINE))
    assert len(doubts) >= 14
    assert doubts <= headings(DOCS / "doubts.md")
    assert doubts == set(re.findall(r"doubts\.md#([a-z-]+)\)", (DOCS / "preflight.md").read_text()))


def test_every_page_of_the_menu_is_there_or_made(pages: Any) -> None:
    menu = re.findall(r": ([a-zA-Z0-9/_-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), flags=re.MULTILINE)
    made = {"reference/plan.md", "reference/commands.md", "reference/attacks.md", "adr/index.md"}
    assert callable(pages.on_files)
    assert len(menu) >= 20
    assert [page for page in menu if page not in made and not (DOCS / page).is_file()] == []


def test_the_plans_page_names_every_key_of_every_section(pages: Any) -> None:
    text = pages.plan_page()
    schema = AuditPlan.model_json_schema()
    for title, part in [("The plan", schema), *schema["$defs"].items()]:
        section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
        assert section, title
        for key in part.get("properties", {}):
            assert f"| `{key}` |" in section, f"{title}.{key}"


def test_the_commands_page_names_every_command(pages: Any) -> None:
    text = pages.commands_page()
    for command in ("run", "demo", "init", "doctor", "verify", "explain", "plan check", "keys demo"):
        assert f"\n## wolfhound {command}\n" in text
    assert "`--without-prefect`" in text


def test_the_attacks_page_names_every_attack_with_its_options(pages: Any) -> None:
    text = pages.attacks_page()
    for name in {*registry.UNIVERSAL, *registry.IMAGE}:
        assert f"\n### {name}\n" in text
    assert "`most_steps: 20`" in text.partition("### pgd\n")[2].partition("\n### ")[0]


def test_plans_in_the_guide_are_valid_yaml() -> None:
    blocks = [
        (page.name, block)
        for page in DOCS.rglob("*.md")
        for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    ]
    assert len(blocks) >= 8
    for page, block in blocks:
        keys = set(yaml.safe_load(block))
        assert keys <= {*AuditPlan.model_fields, "weights", "preprocessing"}, page


@pytest.mark.slow
def test_the_guide_builds_strictly(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="needs the extra docs (make guide installs it)")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "guide")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "guide" / "tutorial" / "index.html").is_file()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_tutorial_succeeds_as_it_is_written(tmp_path: Path) -> None:
    """Its commands are run as they stand, but for the set-up and the place of the folder."""
    text = (DOCS / "tutorial" / "index.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    shutil.copy(DOCS / "tutorial" / "shapes.py", tmp_path)
    commands = [line for block in blocks[2:] for line in block.splitlines()]
    assert [command.split()[1] for command in commands] == ["init", "doctor", "run", "verify"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WOLFHOUND_CACHE": str(tmp_path / "cache")}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=1500
        )

    drawn = call(sys.executable, "shapes.py")
    assert "right on " in drawn.stdout, drawn.stderr
    for command in commands:
        done = call(sys.executable, "-m", "flows.cli", *command.split()[1:])
        assert done.returncode in ((0, 1, 3) if " run " in command else (0,)), done.stdout + done.stderr
    assert (tmp_path / "runs" / "shapes-audit" / "report.pdf").is_file()
