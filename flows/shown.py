"""An audit as texts and tables that Prefect's interface shows. Prefect itself is not imported."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flows.pictures import png_bytes
from wolfhound.evidence import Evidence, Gallery, RateTable
from wolfhound.outputs.text import markdown
from wolfhound.store import EvidenceStore
from wolfhound.verdicts import overall

MOST_PICTURE_BYTES = 500_000
MOST_ROWS = 3
LEAST_SIDE = 160


def artifact_key(*names: str) -> str:
    """Return a name as the server takes it: lower case, digits and dashes.

    >>> artifact_key("small audit", "sgd_uap-linf")
    'small-audit-sgd-uap-linf'
    """
    text = "-".join(names).lower()
    return "-".join(part for part in "".join(c if c.isalnum() and c.isascii() else " " for c in text).split())


def verdict_text(evidence: Evidence, root: Path, seal: str) -> str:
    """Return the verdict in Markdown, with where the report lies and how to check it.

    Paths are text: a browser opens no file of its own disk from a page of a server.
    """
    return "\n".join(
        [
            f"# {evidence.name}: {overall(evidence.judgements)}",
            "",
            *(
                f"- **{row.criterion}** ({row.finding or 'no finding'}): {row.verdict}; {row.reason}"
                for row in evidence.judgements
            ),
            "",
            f"Report: `{root / 'report.html'}`, `{root / 'report.pdf'}`  ",
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


def gallery_text(gallery: Gallery, store: EvidenceStore) -> str:
    """Return the first rows of a gallery in Markdown, as many as may be sent, with the rule by which they were chosen.

    Not as image artifacts: their page prints the address of a picture, which here is the whole picture.
    """
    parts, left = [markdown(gallery.selection)], MOST_PICTURE_BYTES
    for row in gallery.rows[:MOST_ROWS]:
        left -= sum(picture.artefact.bytes for picture in row)
        if left < 0:
            break
        parts.append(" ".join(f"![{markdown(one.alt)}]({_address(store.get(one.artefact))})" for one in row))
        parts.append("; ".join(markdown(one.caption) for one in row))
    return "\n\n".join(parts)


def _address(png: bytes) -> str:
    """Return a picture as a data URI; small ones with larger pixels, which the page would not enlarge."""
    with Image.open(io.BytesIO(png)) as picture:
        factor = LEAST_SIDE // max(1, min(picture.size))
        if factor > 1:
            png = png_bytes(np.asarray(picture.convert("RGB")).repeat(factor, axis=0).repeat(factor, axis=1))
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def first_gallery(evidence: Evidence) -> Gallery | None:
    """Return the first gallery, of a universal perturbation if there is one."""
    findings = sorted(evidence.findings, key=lambda finding: finding.kind != "universal")
    return next((gallery for finding in findings for gallery in finding.galleries), None)
