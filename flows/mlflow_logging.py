"""A finished run in MLflow: its verdict, rates and files, and the verdict on the version of the model that was audited.

MLflow is an extra. Where it is comes from MLFLOW_TRACKING_URI, and credentials from its own environment variables.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wolfhound.errors import PlanError
from wolfhound.finished import read_finished
from wolfhound.result import Result

SEAL_TAG = "wolfhound.seal"
FILES = ("report.pdf", "report.html", "evidence.json", "run.json", "plan.yaml", "SHA256SUMS")


def metric_name(finding: str, rate: str) -> str:
    """Return a rate's name as MLflow takes it.

    >>> metric_name("universal/sgd_uap-linf-10of255/net+", "fooling_rate")
    'universal/sgd_uap-linf-10of255/net_/fooling_rate'
    """
    return re.sub(r"[^A-Za-z0-9_\-. /]", "_", f"{finding}/{rate}")


def shares(result: Result) -> Iterator[tuple[str, float]]:
    """Yield every measured rate as a share in [0, 1], by its name; one that was not measured has none."""
    for finding in result.findings:
        for name, rate in finding.rates.items():
            if rate.total:
                yield metric_name(finding.id, name), rate.successes / rate.total


def tags_of(result: Result) -> dict[str, str]:
    """Return what tells a run apart in MLflow: the seal stands for every byte of the run folder."""
    weights = {f"wolfhound.weights.{metric_name(one.name, 'sha256')}": one.weights_sha256 for one in result.classifiers}
    return {
        SEAL_TAG: result.seal,
        "wolfhound.verdict": result.verdict,
        "wolfhound.exit_code": str(result.exit_code),
        "wolfhound.evidence_sha256": result.evidence_sha256,
        **weights,
    }


def log_run(root: Path, *, experiment: str, model: str = "", version: str = "") -> str:
    """Log a finished, verified run, once, and return the id of its run in MLflow.

    With a registered `model` and its `version`, that version is tagged with the verdict and the seal.

    Raises:
        EvidenceError, VerificationError: the run isn't finished, or doesn't verify.
        PlanError: MLflow is not installed, or only one of model and version is given.
    """
    if bool(model) != bool(version):
        raise PlanError(f"expected a model and its version, or neither, got {model!r} and {version!r}")
    result = read_finished(root).result
    client = _client()
    found = client.get_experiment_by_name(experiment)
    place = found.experiment_id if found else client.create_experiment(experiment)
    known = client.search_runs([place], filter_string=f"tags.`{SEAL_TAG}` = '{result.seal}' and status = 'FINISHED'")
    run_id: str = known[0].info.run_id if known else _log(client, place, result, root)
    if model:
        for name in ("wolfhound.verdict", SEAL_TAG):
            client.set_model_version_tag(model, version, name, tags_of(result)[name])
    return run_id


def _log(client: Any, place: str, result: Result, root: Path) -> str:
    run_id = str(client.create_run(place, run_name=result.audit, tags=tags_of(result)).info.run_id)
    for name in ("audit", "seed", "plan_sha256", "started", "finished"):
        client.log_param(run_id, name, getattr(result, name))
    for name, share in shares(result):
        client.log_metric(run_id, name, share)
    for file in (name for name in FILES if (root / name).is_file()):
        client.log_artifact(run_id, str(root / file))
    client.set_terminated(run_id, "FINISHED")
    return run_id


def _client() -> Any:
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise PlanError("expected MLflow to be installed (pip install 'wolfhound[mlflow]')") from error
    return MlflowClient()
