"""Every fault of a network is named before the run, by its own name and no other; a sound one is left in peace."""

import pytest

from flows import preflight
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
