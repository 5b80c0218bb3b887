"""Facts about runs in MLflow, on a real server of its own: what is logged, once, and what a model's version is told.

They need mlflow-skinny here and MLflow's server (its command in WOLFHOUND_MLFLOW, or `mlflow` on the path).
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.mlflow_logging import log_run
from tests.flows.gated_runs import sealed_run
from tests.flows.servers import answers, free_port, running, wait_until
from wolfhound.errors import PlanError, VerificationError
from wolfhound.finished import read_finished


def test_a_model_without_its_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="a model and its version"):
        log_run(tmp_path, experiment="audits", model="net")


def test_a_changed_run_is_not_logged(tmp_path: Path) -> None:
    root = sealed_run(tmp_path / "run", "1" + "0" * 99)
    (root / "plan.yaml").write_text("name: another\n")
    with pytest.raises(VerificationError):
        log_run(root, experiment="audits")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("mlflow")
    program = os.environ.get("WOLFHOUND_MLFLOW") or shutil.which("mlflow")
    if program is None:
        pytest.skip("MLflow's server is not installed (pip install mlflow, in an environment of its own)")
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [program, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{tmp_path}/mlflow.db",
        "--artifacts-destination",
        str(tmp_path / "kept"),
    ]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")
    }
    with running(command, log=tmp_path / "mlflow.log", cwd=tmp_path, env=environment):
        wait_until(lambda: answers(f"{url}/health"), what="the MLflow server")
        yield url


@pytest.mark.integration
@pytest.mark.timeout(900)
def test_a_run_is_logged_once_with_its_rates_files_and_verdict(server: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    root = sealed_run(tmp_path / "run", "1" * 60 + "0" * 40)
    client = MlflowClient(server)
    client.create_registered_model("net")
    client.create_model_version("net", source="s3://models/net")
    options = ["--experiment", "audits", "--model", "net", "--version", "1"]
    for _ in range(2):
        done = CliRunner().invoke(app, ["mlflow", str(root), *options])
        assert done.exit_code == 0, done.output
    experiment = client.get_experiment_by_name("audits")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    seal = read_finished(root).result.seal
    assert run.info.status == "FINISHED"
    assert (run.data.tags["wolfhound.verdict"], run.data.tags["wolfhound.seal"]) == ("not met", seal)
    assert [value for name, value in run.data.metrics.items() if name.endswith("/fooling_rate")] == [0.6]
    logged = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"evidence.json", "plan.yaml", "SHA256SUMS"} <= logged
    tags = client.get_model_version("net", "1").tags
    assert (tags["wolfhound.verdict"], tags["wolfhound.seal"]) == ("not met", seal)
