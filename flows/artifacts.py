"""What an audit shows in Prefect's interface: its verdict, its tables, a picture, and how far long work has come.

Only where a server is named by PREFECT_API_URL: the embedded one ends with the run, and nobody could look.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from prefect.artifacts import (
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from flows.prefect_server import server_is_named
from flows.shown import artifact_key, first_gallery, gallery_text, judgement_rows, rate_rows, verdict_text
from wolfhound.evidence import Evidence
from wolfhound.progress import Advance, Progress
from wolfhound.store import EvidenceStore
from wolfhound.verdicts import overall

UPDATE_EVERY_SECONDS = 10.0


def told_to_server(name: str, shown: Progress) -> Progress:
    """Return a progress that goes on to `shown` and, where a server is named, to one progress artifact of the task."""
    if not server_is_named():
        return shown
    artifacts: list[UUID] = []  # a unit of several stretches shows one artifact, which begins anew with each

    @contextmanager
    def both(description: str, total: int) -> Iterator[Advance]:
        if artifacts:
            update_progress_artifact(artifact_id=artifacts[0], progress=0.0, description=description)
        else:
            made = create_progress_artifact(progress=0.0, key=artifact_key(name), description=description)
            artifacts.append(UUID(str(made)))
        meter = _Meter(artifacts[0], total)
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
    """Show a finished audit on the server: verdict with the place of the report, criteria, rate tables, pictures."""
    name = evidence.name
    create_markdown_artifact(
        verdict_text(evidence, root, seal), key=artifact_key(name, "verdict"), description=overall(evidence.judgements)
    )
    create_table_artifact(judgement_rows(evidence), key=artifact_key(name, "criteria"), description="Criteria")
    for table in evidence.tables:
        create_table_artifact(rate_rows(table), key=artifact_key(name, table.name), description=table.title)
    gallery = first_gallery(evidence)
    if gallery is not None:
        text = gallery_text(gallery, EvidenceStore(root))
        create_markdown_artifact(text, key=artifact_key(name, "pictures"), description=gallery.title)
