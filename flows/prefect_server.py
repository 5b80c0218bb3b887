"""The server that a run reports to: the one named by PREFECT_API_URL, or else one of this process's own.

Prefect is imported only where a server is begun, so that the command line need not wait for it to say what it says.
"""

import fcntl
import os
from concurrent.futures import Future
from threading import Thread


def server_is_named() -> bool:
    """Whether this process reports to a server that outlives it."""
    return bool(os.environ.get("PREFECT_API_URL"))


def begin_server() -> "Future[None]":
    """Start this process's embedded server in the background, where none is named; done when it answers.

    That takes seconds, most of them another process's. Ending this process ends the server, also one not yet up.
    """
    starting: Future[None] = Future()
    if server_is_named():
        starting.set_result(None)
    else:
        # All that both threads need, imported by one: imports in a circle are not safe in two at a time.
        import prefect.main
        import prefect.server.api.server  # noqa: F401

        Thread(target=_start_into, args=(starting,), daemon=True, name="embedded server").start()
    return starting


def _start_into(starting: "Future[None]") -> None:
    try:
        _start_embedded_server()
    except Exception as error:
        starting.set_exception(error)
    else:
        starting.set_result(None)


def _start_embedded_server() -> None:
    """Start it after any other that is being started from the same PREFECT_HOME: two at once get in each other's way.

    The lock is on the folder itself, and ends with the process, however it ends.
    """
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings

    home = os.open(get_current_settings().home, os.O_RDONLY)
    try:
        fcntl.flock(home, fcntl.LOCK_EX)
        with get_client(sync_client=True) as client:
            client.hello().raise_for_status()
    finally:
        os.close(home)
