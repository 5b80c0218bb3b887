"""Facts about audits of real pretrained classifiers on real photographs: their tables are plausible."""

from pathlib import Path

import pytest

from flows.audit import prepare, run_audit
from flows.audit_job import AuditJob
from tests.flows.real_plans import write_cifar_plan, write_imagenet_plan
from tests.real_subjects import real_subjects
from wolfhound.evidence import Evidence, RateTable

pytestmark = [pytest.mark.real, pytest.mark.timeout(1800)]


def audited(plan: Path) -> Evidence:
    job = AuditJob(
        plan.read_bytes(), plan.parent, plan.parent / "run", plan.parent / "cache", "wolfhound run plan.yaml"
    )
    prepare(job)
    return run_audit(job).evidence


def share(table: RateTable, row: str, column: str) -> float:
    rate = table.cell(row, column)
    assert rate is not None
    return rate.share


@pytest.fixture(scope="module")
def cifar(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    return audited(write_cifar_plan(real_subjects(), tmp_path_factory.mktemp("cifar")))


def test_cifar_networks_are_as_accurate_as_stated(cifar: Evidence) -> None:
    for name, stated in {"resnet20": 0.806, "robust_resnet4b": 0.764}.items():
        bounds = cifar.finding(f"clean/{name}").rates["accuracy"].interval(confidence=0.99)
        assert bounds.low <= stated <= bounds.high


def test_cifar_perturbations_fool_the_plain_network_and_not_the_hardened_one(cifar: Evidence) -> None:
    table = next(table for table in cifar.tables if "sgd_uap" in table.name)
    noise = table.control_rows[0]
    assert share(table, "resnet20", "resnet20") > 0.6
    assert share(table, "resnet20", "resnet20") > share(table, noise, "resnet20") + 0.15
    assert share(table, "robust_resnet4b", "robust_resnet4b") < 0.35


@pytest.mark.slow
def test_imagenet_perturbations_fool_their_own_network_best_and_beat_the_noise(tmp_path: Path) -> None:
    evidence = audited(write_imagenet_plan(real_subjects(), tmp_path))
    (table,) = evidence.tables
    noise = table.control_rows[0]
    for name in table.columns:
        assert share(table, name, name) == max(share(table, name, column) for column in table.columns)
        assert share(table, name, name) > share(table, noise, name) + 0.1
    bounds = {name: evidence.finding(f"clean/{name}").rates["accuracy"].interval() for name in table.columns}
    stated = {"squeezenet1_1": 0.669, "squeezenet1_0": 0.556, "mobilenet_v2": 0.81}
    for name, value in stated.items():
        assert bounds[name].low <= value <= bounds[name].high
