"""The embedded server is begun beside the run, ends with it however it ends, and says what kept it from starting."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from unittest.mock import patch

import pytest

from flows.prefect_server import Server, _go_past_proxies, begin_server, server_is_named
from wolfhound.errors import WolfhoundError

PROJECT = Path(__file__).parents[2]

# In a process of its own: one that began a server reports to it ever after.
BEGUN = """
import sys
from flows.prefect_server import begin_server, server_is_named
server = begin_server()
server.wait()
print(server.url, server_is_named(), "prefect" in sys.modules, flush=True)
sys.stdin.read()
"""


def _environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "WOLFHOUND_"))}
    return kept | {"PREFECT_HOME": str(home), "DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"} | more


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"NO_PROXY": "127.0.0.1"}),
        ({"no_proxy": "intra.example"}, {"no_proxy": "intra.example,127.0.0.1"}),
        ({"NO_PROXY": "intra.example,127.0.0.1"}, {"NO_PROXY": "intra.example,127.0.0.1"}),
        ({"NO_PROXY": "*"}, {"NO_PROXY": "*"}),
    ],
)
def test_a_proxy_is_passed_by_without_losing_what_else_passes_it_by(
    before: dict[str, str], after: dict[str, str]
) -> None:
    with patch.dict(os.environ, before, clear=True):
        _go_past_proxies()
        assert dict(os.environ) == after


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=60):
            return True
    except (urllib.error.URLError, OSError):
        return False


def test_the_embedded_server_ends_with_its_process_even_when_that_is_killed(tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text("raise ImportError('the wrong flows')")
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", BEGUN],
        # A proxy at which nothing answers, and the user's own "flows", must not come between it and its server.
        env=_environment(tmp_path, http_proxy="http://127.0.0.1:9", PYTHONPATH=str(PROJECT)),
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        url, *facts = process.stdout.readline().split()
        assert facts == ["False", "False"]  # it does not count as named, and took no import of Prefect
        assert url.startswith("http://127.0.0.1:")
        assert _answers(url)
    finally:
        process.kill()
        process.communicate()
    ended_by = time.monotonic() + 60
    while _answers(url):
        assert time.monotonic() < ended_by, "the server outlives its process"
        time.sleep(0.1)


def test_a_server_that_cannot_start_is_told_to_who_waits(tmp_path: Path) -> None:
    (tmp_path / "file").touch()  # where its database needs a folder
    database = f"sqlite+aiosqlite:///{tmp_path}/file/prefect.db"
    given = _environment(tmp_path, PREFECT_API_DATABASE_CONNECTION_URL=database)
    with patch.dict(os.environ, given, clear=True):
        server = begin_server()
        assert server.process is not None
        try:
            with pytest.raises(WolfhoundError, match=r"ended with code \d+ .*, or run --without-prefect"):
                server.wait()
        finally:
            server.process.kill()
            server.process.communicate()


def test_nothing_is_started_where_a_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert server_is_named()
    named = begin_server()
    assert named == Server("http://127.0.0.1:9/api")
    named.wait()
