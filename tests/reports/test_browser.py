"""The HTML report in headless Chromium: axe-core finds no fault, on a phone and on a desk, in light and in dark.

axe-core is one file of JavaScript: `make axe` fetches it into .cache, WOLFHOUND_AXE names it elsewhere. Where it or
Chromium is missing the tests are skipped.
"""

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from reports.render import RenderedReport

SHOWN = {"light": "1", "dark": "0"}
"""Chromium's numbers of the preferred colour schemes."""
RUN_AXE = """<pre id="found"></pre><script>
axe.run(document, {resultTypes: ["violations"]}).then(result => {
  const rows = result.violations.map(v => [v.id, v.nodes.length, v.nodes[0].html.slice(0, 300)]);
  const page = document.documentElement, spare = page.clientWidth - page.scrollWidth;
  document.getElementById("found").textContent = JSON.stringify({rows, spare});
});
</script>"""


def chromium() -> str:
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    if found is None:
        pytest.skip("there is no Chromium (Debian: chromium)")
    return found


def axe() -> str:
    path = Path(os.environ.get("WOLFHOUND_AXE", Path(__file__).parents[2] / ".cache" / "axe" / "axe.min.js"))
    if not path.is_file():
        pytest.skip("axe-core is not there (make axe, or WOLFHOUND_AXE=FILE)")
    return path.read_text(encoding="utf-8")


def looked_at(page: str, folder: Path, *, width: int, scheme: str) -> dict[str, Any]:
    """Return what axe-core says of a page in a window of that width: rows of rule, count and first element."""
    script = f"<script>{axe()}</script>{RUN_AXE}"
    (folder / "page.html").write_text(page.replace("</body>", f"{script}</body>"), encoding="utf-8")
    # A window of Chromium's cannot be as narrow as a phone, but a frame can, and media queries go by the frame.
    frame = f'<iframe src="page.html" style="width:{width}px;height:9000px;border:0"></iframe>'
    wait = (
        "const f=document.querySelector('iframe');setInterval(()=>{const t=f.contentDocument.getElementById('found');"
    )
    wait += "if(t&&t.textContent)document.getElementById('copy').textContent=t.textContent},200)"
    (folder / "frame.html").write_text(f'<pre id="copy"></pre>{frame}<script>{wait}</script>', encoding="utf-8")
    command = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"]
    command += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=120000", "--dump-dom"]
    command += [f"--blink-settings=preferredColorScheme={SHOWN[scheme]}", (folder / "frame.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    found = re.search(r'<pre id="copy">([^<]+)</pre>', done.stdout)
    assert found is not None, done.stderr[-2000:]
    result: dict[str, Any] = json.loads(html.unescape(found[1]))
    return result


@pytest.mark.peers
@pytest.mark.parametrize("scheme", list(SHOWN))
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_no_fault_and_the_page_is_no_wider_than_its_window(
    small_report: RenderedReport, tmp_path: Path, width: int, scheme: str
) -> None:
    found = looked_at(small_report.html.read_text(encoding="utf-8"), tmp_path, width=width, scheme=scheme)
    assert found["rows"] == []
    assert found["spare"] >= 0


@pytest.mark.peers
def test_axe_sees_a_fault_where_there_is_one(small_report: RenderedReport, tmp_path: Path) -> None:
    page = small_report.html.read_text(encoding="utf-8").replace("</main>", '<img src="data:,"></main>')
    found = looked_at(page, tmp_path, width=1280, scheme="light")
    assert [row[0] for row in found["rows"]] == ["image-alt"]
