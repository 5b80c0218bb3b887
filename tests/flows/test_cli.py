"""Facts about the command line that need no audit: exit codes of bad input, and what each command says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PLAN = """\
wolfhound: 1
name: small
purpose: a test
images: {source: folder, path: photos}
splits: {craft: 1, select: 1, report: 1}
classifiers:
  - {name: net, source: torchvision, architecture: resnet18, weights: nothing.pth}
"""


def wolfhound(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return path


def test_help_names_every_command_and_the_exit_codes(tmp_path: Path) -> None:
    said = wolfhound("--help", cwd=tmp_path).stdout
    for command in ("run", "demo", "explain", "report", "verify", "doctor", "plan"):
        assert f" {command} " in said
    assert "Exit codes" in said


def test_unknown_commands_and_missing_plans_are_bad_usage(tmp_path: Path) -> None:
    assert wolfhound("fly", cwd=tmp_path).returncode == 2
    done = wolfhound("run", "none.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "expected a plan at none.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plan_is_checked_without_running_anything(plan: Path) -> None:
    done = wolfhound("plan", "check", plan, cwd=plan.parent)
    assert done.returncode == 0, done.stderr
    assert "a valid plan with 1 classifier(s)" in done.stdout
    assert list(plan.parent.iterdir()) == [plan]


def test_a_checked_plan_is_told_with_every_section_that_it_has(plan: Path) -> None:
    more = "hypotheses: {}\nshortcut:\n  - {source: demonstration, network: net, layer: maxpool}\n"
    plan.write_text(PLAN.replace("report: 1}", "report: 200}") + more)
    done = wolfhound("plan", "check", plan, cwd=plan.parent)
    assert "these sections: 1 shortcut, hypotheses" in done.stdout, done.stderr


def test_unknown_attacks_and_options_are_found_by_plan_check(plan: Path) -> None:
    plan.write_text(
        PLAN
        + "universal:\n  - {attack: magic, threat: {epsilon: 8/255}}\n"
        + "  - {attack: sgd_uap, threat: {epsilon: 8/255}, options: {sparkle: 1}}\n"
    )
    done = wolfhound("plan", "check", plan, cwd=plan.parent)
    assert done.returncode == 2
    assert "universal[0]: expected a universal attack out of cosine_uap, " in done.stderr
    assert ", sgd_uap, got 'magic'" in done.stderr
    assert "universal[1]" in done.stderr
    assert "sparkle" in done.stderr


def test_missing_images_are_bad_input_and_nothing_is_run(plan: Path) -> None:
    done = wolfhound("run", plan, "--cache", "cache", "--without-prefect", cwd=plan.parent)
    assert done.returncode == 2
    assert "photos" in done.stderr
    assert not (plan.parent / "runs").exists()


def test_the_schema_is_json_for_editors(tmp_path: Path) -> None:
    schema = json.loads(wolfhound("plan", "schema", cwd=tmp_path).stdout)
    assert schema["properties"]["universal"]["type"] == "array"


def test_verify_refuses_what_is_no_run_and_no_report(tmp_path: Path) -> None:
    assert wolfhound("verify", tmp_path / "none", cwd=tmp_path).returncode == 2
    done = wolfhound("verify", tmp_path, cwd=tmp_path)
    assert done.returncode == 1
    assert "SHA256SUMS is missing" in done.stdout


def test_report_of_an_unfinished_run_says_how_to_go_on(tmp_path: Path) -> None:
    done = wolfhound("report", tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert "resume it with" in done.stderr


def test_doctor_looks_at_everything_an_audit_needs(tmp_path: Path) -> None:
    done = wolfhound("doctor", "--cache", tmp_path, cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    for name in ("python", "torch", "torchvision", "weasyprint", "PDF libraries", "device", "prefect server"):
        assert name in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [["plan", "schema"], ["--help"], ["verify", "."], ["report", "."], ["export", "--schema"], ["history", "."]],
)
def test_commands_that_need_no_network_import_no_torch(arguments: list[str], tmp_path: Path) -> None:
    script = (
        "import sys\nfrom flows.cli import main\n"
        f"sys.argv = ['wolfhound', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "assert 'torch' not in sys.modules and 'prefect' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
