"""Facts about the files for servers and clusters: they name what exists, and keep to what the documents promise."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.test_pipelines import by_interpreter_of

PROJECT = Path(__file__).parent.parent
DEPLOY = PROJECT / "docs" / "deploy"


def parameters_of(entrypoint: str) -> set[str]:
    """Return the parameters of a function by its dotted name, read from the source."""
    module, _, name = entrypoint.rpartition(".")
    source = (PROJECT / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
    (function,) = (node for node in ast.parse(source).body if getattr(node, "name", "") == name)
    assert isinstance(function, ast.FunctionDef)
    return {argument.arg for argument in function.args.args}


def kubernetes() -> dict[str, Any]:
    documents = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8"))
    return {document["kind"]: document for document in documents}


def test_every_deployment_names_a_flow_that_exists_and_parameters_that_it_has() -> None:
    deployments = yaml.safe_load((PROJECT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    assert {deployment["name"] for deployment in deployments} == {"nightly", "on-demand"}
    for deployment in deployments:
        assert set(deployment["parameters"]) <= parameters_of(deployment["entrypoint"])
        assert (PROJECT / deployment["parameters"]["plan"]).is_file()


def test_the_form_says_of_every_parameter_what_it_is() -> None:
    """Prefect takes the descriptions from the docstring."""
    source = (PROJECT / "flows" / "scheduled.py").read_text(encoding="utf-8")
    (function,) = (node for node in ast.parse(source).body if getattr(node, "name", "") == "scheduled_audit")
    described = re.findall(r"^    (\w+): \w", ast.get_docstring(function).partition("Args:")[2], re.MULTILINE)
    assert set(described) == parameters_of("flows.scheduled.scheduled_audit")


def test_the_composed_server_is_open_to_this_machine_alone() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert published == ["127.0.0.1:4200:4200"]


def test_an_answer_of_the_gate_is_not_tried_again_on_kubernetes_and_a_break_is() -> None:
    job, cron = kubernetes()["Job"]["spec"], kubernetes()["CronJob"]["spec"]
    for spec in (job, cron["jobTemplate"]["spec"]):
        (fail, ignore) = spec["podFailurePolicy"]["rules"]
        assert fail["onExitCodes"]["values"] == [1, 2, 3]
        assert ignore["onPodConditions"] == [{"type": "DisruptionTarget"}]
        assert spec["backoffLimit"] > 0
    assert cron["concurrencyPolicy"] == "Forbid"


@pytest.mark.peers
def test_the_cluster_objects_are_valid_by_the_schemas_of_kubernetes() -> None:
    program = (
        "import sys, yaml, kubernetes_validate as k; "
        "[k.validate(part, k.latest_version(), strict=True) for part in yaml.safe_load_all(open(sys.argv[1]))]"
    )
    by_interpreter_of("kubernetes-validate", "-c", program, str(DEPLOY / "kubernetes.yaml"))


@pytest.mark.peers
def test_the_compose_file_is_valid_by_the_compose_specification() -> None:
    file = str(DEPLOY / "compose.yaml")
    by_interpreter_of("check-jsonschema", "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", file)
