"""Which checks fit what was handed over: a run folder or a report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reports.pdf_verification import pdf_checks
from reports.provenance.check import folder_checks
from reports.signing.pades import load_roots
from wolfhound.errors import PlanError
from wolfhound.verification import Check, verify_run


def verify_path(path: Path, *, trust: Sequence[Path] = ()) -> list[Check]:
    """Return the checks of a run folder or a PDF report; `trust` names files of root certificates.

    Raises:
        PlanError: the path is neither, or a root cannot be read.
    """
    roots = load_roots(tuple(trust)) if trust else None
    if path.is_dir():
        report = path / "report.pdf"
        return [*verify_run(path), *folder_checks(path), *(_of_pdf(report, roots) if report.is_file() else [])]
    if path.is_file() and path.suffix.lower() == ".pdf":
        return _of_pdf(path, roots)
    raise PlanError(
        f"expected a run folder or a report.pdf at {path}, found {'another file' if path.exists() else 'nothing'}"
    )


def _of_pdf(path: Path, roots: Sequence[Any] | None) -> list[Check]:
    return [Check(f"report.pdf, {check.name}", check.ok, check.detail) for check in pdf_checks(path, roots=roots)]
