"""The embedded server is begun once it is needed, and what keeps it from starting reaches whoever waits for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flows import prefect_server

# In a process of its own: once Prefect is imported, no audit can make its settings in this one.
FAILING = """
from flows import prefect_server

def fail():
    raise RuntimeError("no port is free")

prefect_server._start_embedded_server = fail
try:
    prefect_server.begin_server().result(timeout=60)
except RuntimeError as error:
    print("waited for:", error)
"""


def test_what_keeps_the_embedded_server_from_starting_reaches_who_waits(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-c", FAILING],
        env=kept | {"PREFECT_HOME": str(tmp_path), "DO_NOT_TRACK": "1"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout.strip() == "waited for: no port is free", done.stderr


def test_nothing_is_started_where_a_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setattr(prefect_server, "_start_embedded_server", lambda: started.append("embedded"))
    begun = prefect_server.begin_server()
    assert begun.done()
    assert begun.result() is None
    assert not started
