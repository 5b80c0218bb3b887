"""Which checks fit what was handed over: a run folder or a report."""

from pathlib import Path

from reports.pdf_verification import pdf_checks
from wolfhound.errors import PlanError
from wolfhound.verification import Check, verify_run


def verify_path(path: Path) -> list[Check]:
    """Return the checks of a run folder or a PDF report.

    Raises:
        PlanError: the path is neither.
    """
    if path.is_dir():
        report = path / "report.pdf"
        return [*verify_run(path), *(_of_pdf(report) if report.is_file() else [])]
    if path.is_file() and path.suffix.lower() == ".pdf":
        return _of_pdf(path)
    raise PlanError(
        f"expected a run folder or a report.pdf at {path}, found {'another file' if path.exists() else 'nothing'}"
    )


def _of_pdf(path: Path) -> list[Check]:
    return [Check(f"report.pdf, {check.name}", check.ok, check.detail) for check in pdf_checks(path)]
