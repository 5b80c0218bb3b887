"""Every fault of a network is named before the run, by its own name and no other; a sound one is left in peace."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows import preflight
from flows.audit_job import AuditJob
from flows.cli import app
from flows.doctor import inspect_plan
from tests.flows.preflight.conftest import ATTACK, NONE, ONE, Plan, codes
from wolfhound.errors import PlanError


def test_a_sound_set_up_raises_nothing(make_job: Plan) -> None:
    job = make_job()
    assert codes(job) == []
    preflight.stop_at_errors(job)
    assert preflight.limitations(job) == ()


@pytest.mark.parametrize(
    ("network", "errors"),
    [
        ("training", ["training-mode"]),
        ("batch_statistics", ["batch-dependent"]),
        ("softmax", ["probabilities"]),
        ("detached", ["disconnected-gradients"]),
        ("blue_first", ["colour-order"]),
        ("moved_by_one", ["label-order"]),
        ("shuffled", ["label-order"]),
        ("untrained", ["near-chance"]),
    ],
)
def test_a_fault_that_makes_every_number_wrong_stops_the_run_by_its_name(
    network: str, errors: list[str], make_job: Plan
) -> None:
    job = make_job(network)
    assert codes(job, "error") == errors
    with pytest.raises(PlanError) as raised:
        preflight.stop_at_errors(job)
    assert f"({errors[0]})" in str(raised.value)
    assert "To do: " in str(raised.value)


@pytest.mark.parametrize(
    ("network", "warnings"),
    [
        ("noisy", ["randomised"]),
        ("floored", ["log-of-softmax"]),
        ("scaled_up", ["saturated-softmax"]),
        ("squashed", ["vanishing-gradients"]),
        ("straight_through", ["gradient-mismatch"]),
    ],
)
def test_a_fault_that_weakens_attacks_is_a_warning_that_the_report_prints(
    network: str, warnings: list[str], make_job: Plan
) -> None:
    job = make_job(network)
    assert codes(job) == warnings
    preflight.stop_at_errors(job)
    (printed,) = preflight.limitations(job)
    assert printed.startswith("Seen before the run, net: ")
    assert "Advised: " in printed


@pytest.mark.parametrize(
    ("network", "mean", "std", "code"),
    [
        ("normalises_itself", [1.5] * 3, [0.25] * 3, "double-normalisation"),
        ("sound", NONE, ONE, "missing-normalisation"),
        ("from_bytes", NONE, ONE, "pixel-range"),
    ],
)
def test_a_wrong_preprocessing_is_named(
    network: str, mean: list[float], std: list[float], code: str, make_job: Plan
) -> None:
    job = make_job(network, mean=mean, std=std)
    assert codes(job, "error") == [code]
    assert "input-statistics" in codes(job, "warning")


def test_a_hidden_gradient_is_a_warning_as_attacks_that_ask_may_still_work(make_job: Plan) -> None:
    assert "masked-gradients" in codes(make_job("rounding"), "warning", "error")


def test_a_plan_without_gradients_needs_none(make_job: Plan) -> None:
    natural = "natural:\n  - {corruptions: [fog], severities: [1], images: 10}\n"
    assert "disconnected-gradients" not in codes(make_job("detached", rest=natural))


def test_attacks_that_only_ask_need_no_gradients(make_job: Plan) -> None:
    asking = "robust:\n  - {attack: square, threat: {norm: linf, epsilon: 8/255}, images: 4}\n"
    assert "disconnected-gradients" not in codes(make_job("detached", rest=asking))


def test_a_network_that_refuses_other_sizes_by_an_assertion_is_not_at_fault(make_job: Plan) -> None:
    assert "other-resolution" not in codes(make_job("particular", size=56))


def test_an_error_that_the_plan_accepts_is_a_limitation_and_no_obstacle(make_job: Plan) -> None:
    job = make_job("softmax", rest=ATTACK + "preflight: {accept: [probabilities]}\n")
    preflight.stop_at_errors(job)
    (printed,) = preflight.limitations(job)
    assert "probabilities" in printed
    assert printed.endswith("The plan accepts it.")


def test_accepting_one_error_does_not_accept_another(make_job: Plan) -> None:
    job = make_job("softmax", rest=ATTACK + "preflight: {accept: [near-chance]}\n")
    with pytest.raises(PlanError, match="probabilities"):
        preflight.stop_at_errors(job)


def test_near_chance_is_not_said_beside_the_fault_that_explains_it(make_job: Plan) -> None:
    assert codes(make_job("shuffled"), "error") == ["label-order"]


def test_the_doctor_of_a_plan_says_what_stops_it_and_writes_no_run(make_job: Plan, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_bytes(_at(make_job("softmax"), tmp_path))
    lines: list[str] = []
    cache = tmp_path / "cache"
    assert not inspect_plan(tmp_path / "plan.yaml", output=None, cache=cache, default_cache=cache, say=lines.append)
    assert any(line.startswith("error    net: every row of the outputs") for line in lines)
    assert any(line.startswith("cost     sgd_uap") for line in lines)
    assert lines[-1].endswith("plan.yaml: 1 fault(s) stop the run")
    assert not (tmp_path / "runs").exists()


def test_a_run_is_stopped_before_anything_is_written(make_job: Plan, tmp_path: Path) -> None:
    (tmp_path / "plan.yaml").write_bytes(_at(make_job("shuffled"), tmp_path))
    arguments = ["run", str(tmp_path / "plan.yaml"), "--output", str(tmp_path / "runs"), "--without-prefect"]
    done = CliRunner().invoke(app, [*arguments, "--cache", str(tmp_path / "cache")])
    assert isinstance(done.exception, PlanError)
    assert "label-order" in str(done.exception)
    assert not (tmp_path / "runs").exists()


def _at(job: AuditJob, folder: Path) -> bytes:
    """Return the job's plan for another folder, into which what it names is linked."""
    for name in ("images", "nets.py", "net.safetensors"):
        (folder / name).symlink_to(job.folder / name)
    return job.source
