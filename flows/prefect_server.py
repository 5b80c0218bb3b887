"""The server that a run reports to: the one named by PREFECT_API_URL, or else one of this process's own.

Prefect could start one itself, but only once it is imported, and the run would wait for it. Begun by a command that
needs neither Prefect nor torch, it starts on another core while this process imports both (ADR 0098).
"""

import os
import socket
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from wolfhound.errors import WolfhoundError

_OWN = "WOLFHOUND_EMBEDDED_SERVER"
_HOST = "127.0.0.1"
_PROGRAM = Path(__file__).with_name("embedded_server.py")


def server_is_named() -> bool:
    """Whether this process reports to a server that outlives it."""
    url = os.environ.get("PREFECT_API_URL")
    return bool(url) and url != os.environ.get(_OWN)


@dataclass(frozen=True)
class Server:
    """A server at `url`; `process` is the embedded one's, and None where the user named a server."""

    url: str
    process: "subprocess.Popen[bytes] | None" = None

    def wait(self) -> None:
        """Return when an embedded server answers; one that is named is asked by Prefect.

        Raises:
            WolfhoundError: it ended, or did not answer within PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS.
        """
        if self.process is None:
            return
        seconds = float(os.environ.get("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120"))
        try:
            # It listens from the beginning, so that the question waits for it, and is refused once it has ended.
            with urllib.request.urlopen(f"{self.url}/health", timeout=seconds):
                return
        except (URLError, OSError) as error:
            raise WolfhoundError(
                f"expected Prefect's embedded server to start, but it {self._what_it_did(seconds)} ({error}); what it "
                "wrote stands above. Name a server with PREFECT_API_URL, or run --without-prefect"
            ) from error

    def _what_it_did(self, seconds: float) -> str:
        assert self.process is not None
        try:
            # One that ends closes its socket a moment before.
            return f"ended with code {self.process.wait(timeout=5)}"
        except subprocess.TimeoutExpired:
            return f"did not answer within {seconds:.0f} s"


def begin_server() -> Server:
    """Start this process's embedded server in the background, unless one is named; call it before importing Prefect.

    It ends when this process does, however it ends. Prefect finds it by PREFECT_API_URL, which is set here.
    """
    if server_is_named():
        return Server(os.environ["PREFECT_API_URL"])
    _go_past_proxies()
    with socket.create_server((_HOST, 0)) as listening:
        url = f"http://{_HOST}:{listening.getsockname()[1]}/api"
        process = subprocess.Popen(
            # By its path and with -P: a folder "flows" of the user's must not come before ours.
            [sys.executable, "-P", str(_PROGRAM), str(listening.fileno())],
            stdin=subprocess.PIPE,  # closed with this process, which is how the server knows
            stdout=subprocess.DEVNULL,
            pass_fds=[listening.fileno()],
            start_new_session=True,  # Ctrl-C is for the audit, which still tells the server
        )
    os.environ |= {"PREFECT_API_URL": url, _OWN: url}
    return Server(url, process)


def _go_past_proxies() -> None:
    """Let this process reach its own server directly also where the environment names a proxy for everything else."""
    for name in {"no_proxy", "NO_PROXY"} & set(os.environ) or {"NO_PROXY"}:
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        if "*" not in hosts and _HOST not in hosts:
            os.environ[name] = ",".join([*hosts, _HOST])
