"""The server that a run reports to: the one named by PREFECT_API_URL, or else one of this process's own.

Prefect is imported only where a server is started, so that the command line can ask for one while it does other things.
"""

import fcntl
import os
from concurrent.futures import Future, ThreadPoolExecutor


def server_is_named() -> bool:
    """Whether this process reports to a server that outlives it."""
    return bool(os.environ.get("PREFECT_API_URL"))


def begin_server() -> "Future[None]":
    """Start this process's embedded server in the background, where none is named; done when it answers.

    That takes seconds, most of them another process's. Ending the process ends the server, also one not yet up.
    """
    starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedded-server")
    starting = starter.submit(_start_embedded_server)
    starter.shutdown(wait=False)
    return starting


def _start_embedded_server() -> None:
    """Start it after any other that is being started from the same PREFECT_HOME: two at once get in each other's way.

    The lock is on the folder itself, and ends with the process, however it ends.
    """
    if server_is_named():
        return
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings

    home = os.open(get_current_settings().home, os.O_RDONLY)
    try:
        fcntl.flock(home, fcntl.LOCK_EX)
        with get_client(sync_client=True) as client:
            client.hello().raise_for_status()
    finally:
        os.close(home)
