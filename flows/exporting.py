"""Writes a verified run's results in the formats that pipelines read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wolfhound.errors import PlanError
from wolfhound.finished import read_finished
from wolfhound.outputs import github, gitlab
from wolfhound.outputs.junit import junit
from wolfhound.outputs.openlineage import openlineage
from wolfhound.outputs.sarif import criterion_lines, sarif
from wolfhound.result import Result, dump_result, metrics
from wolfhound.store import write_atomically


@dataclass(frozen=True)
class Exported:
    """What was written, and the lines that the pipeline reads from standard output."""

    result: Result
    files: tuple[Path, ...]
    lines: tuple[str, ...]


def export_run(root: Path, folder: Path, *, formats: Sequence[str], plan_path: str, step_summary: str = "") -> Exported:
    """Write the results of a run folder into another folder.

    `step_summary` is the file that GitHub gives a step for its summary; the summary is appended to it.

    Raises:
        EvidenceError, VerificationError: the run isn't finished, or doesn't verify.
        PlanError: the files would go into the run folder, which is sealed.
    """
    if folder.resolve().is_relative_to(root.resolve()):
        raise PlanError(f"expected a folder outside the run folder, which is sealed, got {folder} (--to FOLDER)")
    result = read_finished(root).result
    plan = (root / "plan.yaml").read_bytes()
    made = {name: data for form in formats for name, data in _files(form, result, plan, plan_path).items()}
    for name, data in made.items():
        write_atomically(folder / name, data)
    lines: list[str] = []
    if "github" in formats:
        lines = github.annotations(result, plan_path=plan_path, lines=criterion_lines(plan))
        if step_summary:
            with Path(step_summary).open("ab") as stream:
                stream.write(made["summary.md"])
    return Exported(result, tuple(folder / name for name in made), tuple(lines))


def _files(form: str, result: Result, plan: bytes, plan_path: str) -> dict[str, bytes]:
    match form:
        case "json":
            return {"result.json": dump_result(result)}
        case "junit":
            return {"junit.xml": junit(result)}
        case "sarif":
            return {"results.sarif": sarif(result, plan, plan_path=plan_path)}
        case "metrics":
            return {"metrics.json": metrics(result)}
        case "github":
            return {"summary.md": github.summary(result).encode()}
        case "gitlab":
            return {"junit.xml": junit(result), "wolfhound.env": gitlab.dotenv(result)}
        case "openlineage":
            return {"openlineage.ndjson": openlineage(result, namespace="wolfhound")}
    raise PlanError(f"expected a format out of json, junit, sarif, metrics, github, gitlab, openlineage, got {form!r}")
