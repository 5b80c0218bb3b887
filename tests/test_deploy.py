"""Facts about the examples of deployments: which exit codes are tried again; their makers' schemas take them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.test_pipelines import by_interpreter_of

FOLDER = Path(__file__).parent.parent / "docs" / "deploy"
ANSWERS = [1, 2, 3]
"""Exit codes that would only come again: not met, bad input, inconclusive. 4, a fault, may not."""


def job_specs() -> list[dict[str, Any]]:
    parts = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8")))
    jobs = [part["spec"] for part in parts if part["kind"] == "Job"]
    return jobs + [part["spec"]["jobTemplate"]["spec"] for part in parts if part["kind"] == "CronJob"]


def test_kubernetes_tries_faults_again_and_no_answer() -> None:
    specs = job_specs()
    assert len(specs) == 2
    for spec in specs:
        (failing,) = (rule for rule in spec["podFailurePolicy"]["rules"] if rule["action"] == "FailJob")
        assert failing["onExitCodes"]["values"] == ANSWERS
        assert spec["backoffLimit"] > 0
        assert spec["template"]["spec"]["restartPolicy"] == "Never", "else its rules do not hold"


def test_compose_opens_its_server_to_this_machine_alone_and_keeps_telemetry_off() -> None:
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:4200:4200"]
    assert services["server"]["environment"]["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


@pytest.mark.peers
def test_compose_is_valid_by_the_schema_of_its_specification() -> None:
    file = str(FOLDER / "compose.yaml")
    by_interpreter_of("check-jsonschema", "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", file)


@pytest.mark.peers
def test_kubernetes_objects_are_valid_by_its_schemas() -> None:
    program = (
        "import sys, yaml, kubernetes_validate as k; "
        "[k.validate(part, k.latest_version(), strict=True) for part in yaml.safe_load_all(open(sys.argv[1]))]"
    )
    by_interpreter_of("kubernetes-validate", "-c", program, str(FOLDER / "kubernetes.yaml"))
