"""How long a report of about 40 pages with 100 pictures takes, against bare WeasyPrint on the same HTML.

    python -m benchmarks.reports_render [--repeats 5]

Bare WeasyPrint gets the very page, its pictures and fonts from memory, and the same PDF options; it writes no
attachments, no metadata of ours and checks nothing. Each is run in a process of its own; the fastest of the repeats is
compared, and the peak of the process's memory is that of the whole process with its libraries.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

PICTURES = 100


def run_folder(root: Path) -> None:
    """Write a run folder whose report has 100 pictures of 224 pixels on about 40 pages."""
    import numpy as np

    from tests.reports import sample
    from tests.reports.sample_findings import Folder
    from wolfhound.evidence import Gallery

    store = sample.full_run(root)
    evidence, folder, rng = store.evidence(), Folder(root), np.random.default_rng(1)
    held = [len(row) for finding in evidence.findings for gallery in finding.galleries for row in gallery.rows]
    missing, findings = PICTURES - sum(held), []
    for finding in evidence.findings:
        count = min(4, missing) if finding.galleries else 0
        missing -= count
        row = tuple(folder.picture(_squares(rng), "coloured squares", "Coloured squares") for _ in range(count))
        more = (Gallery("Pictures", (row,), "all of them"),) if row else ()
        findings.append(replace(finding, galleries=(*finding.galleries, *more)))
    store.write_evidence(replace(evidence, findings=tuple(findings)), sample.RUN)


def _squares(rng: Any) -> Any:
    import numpy as np

    return np.kron(rng.integers(0, 256, (28, 28, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))


def ours(root: Path) -> Any:
    """Render the folder as `wolfhound report` does: both files, everything checked."""
    from reports.render import render
    from wolfhound.store import EvidenceStore

    return render(EvidenceStore(root)).pdf.stat().st_size


def bare(root: Path) -> Any:
    """Give the same page to WeasyPrint alone. Filling it is not counted."""
    from weasyprint import HTML
    from weasyprint.urls import URLFetcher, URLFetcherResponse

    from reports.page import fill
    from reports.pictures import MemoryLinks
    from reports.render import read
    from reports.scripts import dress
    from reports.typefaces import printable
    from wolfhound.store import EvidenceStore

    links = MemoryLinks()
    page = printable(dress(fill(read(EvidenceStore(root)), links, screen=False), links, screen=False))

    class Fetcher(URLFetcher):  # type: ignore[misc]
        def fetch(self, url: str, headers: dict[str, str] | None = None) -> Any:
            if url not in links.held:
                return super().fetch(url, headers)
            data, kind = links.held[url]
            return URLFetcherResponse(url, data, {"Content-Type": kind})

    def write() -> int:
        document = HTML(string=page, base_url="report:", url_fetcher=Fetcher())
        return len(document.write_pdf(pdf_variant="pdf/a-3a", pdf_tags=True))

    return write


def measure(what: str, root: Path) -> dict[str, float]:
    """Return seconds, bytes and the peak of memory of one rendering in this process."""
    job = bare(root) if what == "bare" else lambda: ours(root)
    import weasyprint  # noqa: F401  (both pay for the import before the clock starts)

    began = time.perf_counter()
    cpu = time.process_time()
    size = job()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - cpu,
        "megabytes": size / 1e6,
        "peak MiB": peak,
    }


def main() -> None:
    """Print one line for each way of rendering, and the ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--one", choices=("bare", "ours"))
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.folder)))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "run"
        run_folder(root)
        best = {what: _best(what, root, arguments.repeats) for what in ("bare", "ours")}
        from pypdf import PdfReader

        pages = len(PdfReader(root / "report.pdf").pages)
    for what, row in best.items():
        print(f"{what:5}  " + "  ".join(f"{name} {value:.2f}" for name, value in row.items()))
    print(
        f"{pages} pages; wall {best['ours']['seconds'] / best['bare']['seconds']:.2f} times, "
        f"processor {best['ours']['cpu'] / best['bare']['cpu']:.2f} times bare WeasyPrint"
    )


def _best(what: str, root: Path, repeats: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.reports_render", "--one", what, "--folder", str(root)]
    rows = [
        json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(repeats)
    ]
    return min(rows, key=lambda row: row["cpu"])


if __name__ == "__main__":
    main()
