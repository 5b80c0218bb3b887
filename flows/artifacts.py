"""What an audit shows in Prefect's interface: its verdict, its tables, a picture, and how far long work has come.

Only where a server is named by PREFECT_API_URL: the embedded one ends with the run, and nobody could look.
"""

import base64
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from wolfhound.evidence import Evidence, Picture, RateTable
from wolfhound.progress import Advance, Progress
from wolfhound.store import EvidenceStore
from wolfhound.verdicts import overall

UPDATE_EVERY_SECONDS = 10.0
MOST_PICTURE_BYTES = 500_000


def server_is_named() -> bool:
    """Whether this process reports to a server that outlives it."""
    return bool(os.environ.get("PREFECT_API_URL"))


def artifact_key(*names: str) -> str:
    """Return a name as the server takes it: lower case, digits and dashes.

    >>> artifact_key("small audit", "sgd_uap-linf")
    'small-audit-sgd-uap-linf'
    """
    text = "-".join(names).lower()
    return "-".join(part for part in "".join(c if c.isalnum() and c.isascii() else " " for c in text).split())


def told_to_server(name: str, shown: Progress) -> Progress:
    """Return a progress that goes on to `shown` and, where a server is named, to a progress artifact of the task."""
    if not server_is_named():
        return shown

    @contextmanager
    def both(description: str, total: int) -> Iterator[Advance]:
        artifact = create_progress_artifact(progress=0.0, key=artifact_key(name), description=description)
        meter = _Meter(UUID(str(artifact)), total)
        with shown(description, total) as advance:

            def advance_both(steps: int) -> None:
                advance(steps)
                meter.advance(steps)

            yield advance_both
        update_progress_artifact(artifact_id=meter.artifact, progress=100.0)

    return both


class _Meter:
    """Sends a share now and then: the server is not asked for every step."""

    def __init__(self, artifact: UUID, total: int) -> None:
        self.artifact, self._total, self._done = artifact, total, 0
        self._sent, self._lock = time.monotonic(), threading.Lock()

    def advance(self, steps: int) -> None:
        with self._lock:
            self._done += steps
            if time.monotonic() - self._sent < UPDATE_EVERY_SECONDS:
                return
            self._sent = time.monotonic()
        update_progress_artifact(
            artifact_id=self.artifact, progress=min(100.0 * self._done / max(self._total, 1), 99.9)
        )


def publish(evidence: Evidence, root: Path, seal: str) -> None:
    """Show a finished audit on the server: verdict with the way to the report, criteria, rate tables, one picture."""
    name = evidence.name
    create_markdown_artifact(verdict_text(evidence, root, seal), key=artifact_key(name, "verdict"))
    create_table_artifact(judgement_rows(evidence), key=artifact_key(name, "criteria"), description="Criteria")
    for table in evidence.tables:
        create_table_artifact(rate_rows(table), key=artifact_key(name, table.name), description=table.title)
    picture = _first_picture(evidence)
    if picture is not None:
        data = EvidenceStore(root).get(picture.artefact)
        url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
        create_image_artifact(url, key=artifact_key(name, "picture"), description=picture.caption)


def verdict_text(evidence: Evidence, root: Path, seal: str) -> str:
    """Return the verdict in Markdown, with where the report lies and how to check it."""
    return "\n".join(
        [
            f"# {evidence.name}: {overall(evidence.judgements)}",
            "",
            *(
                f"- **{row.criterion}** ({row.finding or 'no finding'}): {row.verdict}; {row.reason}"
                for row in evidence.judgements
            ),
            "",
            f"Report: [{root / 'report.html'}]({(root / 'report.html').as_uri()}), `{root / 'report.pdf'}`  ",
            f"Seal: `{seal}`  ",
            f"Check: `wolfhound verify {root}`",
        ]
    )


def judgement_rows(evidence: Evidence) -> list[dict[str, Any]]:
    """Return a row for each judgement."""
    return [
        {
            "criterion": row.criterion,
            "verdict": row.verdict,
            "finding": row.finding or "",
            "observed": row.observed.text if row.observed else "not measured",
            "reason": row.reason,
        }
        for row in evidence.judgements
    ]


def rate_rows(table: RateTable) -> list[dict[str, Any]]:
    """Return a rate table as rows of texts, its first column the rows' names."""
    return [
        {table.row_label: name}
        | {column: rate.text if rate else "not measured" for column, rate in zip(table.columns, cells, strict=True)}
        for name, cells in zip(table.rows, table.cells, strict=True)
    ]


def _first_picture(evidence: Evidence) -> Picture | None:
    """Return the first picture of the first universal perturbation, small enough to be sent with the artifact."""
    pictures = (
        picture
        for finding in sorted(evidence.findings, key=lambda finding: finding.kind != "universal")
        for gallery in finding.galleries
        for row in gallery.rows
        for picture in row
        if picture.artefact.bytes <= MOST_PICTURE_BYTES
    )
    return next(pictures, None)
