"""Every run of a folder, the oldest first: what a person asks before trusting the newest."""

from collections.abc import Sequence
from pathlib import Path

from reports.language import Language, language
from reports.presentation import stored_presentation
from wolfhound.errors import PlanError, WolfhoundError
from wolfhound.finished import read_finished
from wolfhound.history import HistoryRow, row_of
from wolfhound.store import EvidenceStore


def read_history(folder: Path) -> list[HistoryRow]:
    """Return a row for each folder below `folder` that holds a run or a part of one, the oldest run first.

    A run that can't be read or doesn't verify has a row that says so: nothing is left out without a word.

    Raises:
        PlanError: there is no such folder.
    """
    if not folder.is_dir():
        raise PlanError(f"expected a folder of run folders at {folder}, found none")
    roots = sorted(path.parent for path in folder.glob("*/plan.yaml"))
    return sorted((_row(root) for root in roots), key=lambda row: (row.finished or "~", row.folder))


def _row(root: Path) -> HistoryRow:
    try:
        return row_of(root.name, read_finished(root))
    except WolfhoundError as error:
        return HistoryRow(root.name, fault=str(error).splitlines()[0])


def newest_language(folder: Path, rows: Sequence[HistoryRow]) -> Language:
    """Return the language of the newest usable run's report, English where there is none: the page is for its readers.

    Raises:
        EvidenceError: what that run says of its report is malformed.
    """
    usable = [row for row in rows if not row.fault]
    if not usable:
        return language("en")
    return language(stored_presentation(EvidenceStore(folder / usable[-1].folder)).language)


def history_lines(rows: list[HistoryRow]) -> list[str]:
    """Return the table for the terminal: two lines a run."""
    if not rows:
        return ["no runs"]
    lines = []
    for row in rows:
        if row.fault:
            lines += [f"{row.folder:24} UNUSABLE       {row.fault}"]
            continue
        lines += [f"{row.folder:24} {row.verdict:14} {row.finished}  {row.audit}  seal {row.seal}"]
        lines += [f"{'':24} {worst.text}" for worst in row.worst]
    return lines
