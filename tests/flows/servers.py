"""Servers for integration tests: Prefect's, PostgreSQL, a worker. All listen on loopback, write below a test's folder,
and end with the block that they are used in.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

PROJECT = Path(__file__).parent.parent.parent
PATIENCE_SECONDS = 240.0


def free_port() -> int:
    """Return a port of loopback that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_until(true: Callable[[], Any], *, what: str, patience: float = PATIENCE_SECONDS) -> Any:
    """Return the first truth that `true` gives, asked every half second."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found = true()
        if found:
            return found
        time.sleep(0.5)
    raise AssertionError(f"waited {patience:.0f} s for {what}")


def answers(url: str) -> bool:
    """Whether an HTTP server gives a page there."""
    try:
        with urllib.request.urlopen(url, timeout=5) as page:
            return bool(page.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment without settings of whoever runs the tests, Prefect at home in `home`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "WOLFHOUND_"))}
    return kept | {
        "PREFECT_HOME": str(home),
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PYTHONPATH": str(PROJECT),
        "OMP_NUM_THREADS": "1",
        **more,
    }


@contextmanager
def running(command: list[str], *, log: Path, **options: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program beside the block; its output goes to `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, **options)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def prefect(*arguments: str) -> list[str]:
    """Return the command line of Prefect's own command."""
    return [sys.executable, "-m", "prefect", *arguments]


@contextmanager
def prefect_server(folder: Path, *, database: str | None = None) -> Iterator[dict[str, str]]:
    """Run a Prefect server; yield the environment in which clients find it."""
    port, home = free_port(), folder / "prefect"
    api = f"http://127.0.0.1:{port}/api"
    given = {} if database is None else {"PREFECT_API_DATABASE_CONNECTION_URL": database}
    # The page of a server on another port than the usual has to be told where its API is.
    environment = clean_environment(home, PREFECT_UI_API_URL=api, **given)
    command = prefect("server", "start", "--host", "127.0.0.1", "--port", str(port))
    with running(command, log=folder / "server.log", env=environment, cwd=folder):
        wait_until(lambda: answers(f"{api}/health"), what="the Prefect server")
        yield clean_environment(home, PREFECT_API_URL=api)


def postgresql_programs() -> Path | None:
    """Return the folder of PostgreSQL's server programs as Debian installs them, None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@contextmanager
def postgresql(programs: Path) -> Iterator[str]:
    """Run a PostgreSQL of its own; yield the URL of an empty database. It refuses root, so root lends it a user."""
    folder, port = Path(tempfile.mkdtemp(prefix="wolfhound-postgresql-")), free_port()
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    try:
        if as_user:
            shutil.chown(folder, "postgres")
        data = str(folder / "data")
        made = [*as_user, str(programs / "initdb"), "-D", data, "-U", "wolfhound", "--auth=trust", "--encoding=UTF8"]
        subprocess.run(made, check=True, capture_output=True, cwd="/")
        listen = ["-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", str(folder)]
        log = Path(tempfile.mkdtemp()) / "postgresql.log"
        with running([*as_user, str(programs / "postgres"), *listen], log=log, cwd="/"):
            ready = [str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port)]
            wait_until(
                lambda: not subprocess.run(ready, check=False, capture_output=True).returncode, what="PostgreSQL"
            )
            made = [str(programs / "createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "wolfhound", "prefect"]
            subprocess.run(made, check=True, capture_output=True)
            yield f"postgresql+asyncpg://wolfhound@127.0.0.1:{port}/prefect"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def asked(environment: Mapping[str, str], path: str, **body: Any) -> list[dict[str, Any]]:
    """Return what the server's API answers to a filter."""
    answer = httpx.post(f"{environment['PREFECT_API_URL']}/{path}/filter", json=body, timeout=30)
    answer.raise_for_status()
    return list(answer.json())
