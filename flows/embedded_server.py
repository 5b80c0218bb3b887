"""Starting the embedded server, one at a time: two at once get in each other's way over database and port."""

import fcntl
import os

from prefect.client.orchestration import get_client
from prefect.settings import get_current_settings


def start_embedded_server() -> None:
    """Start this process's embedded server, after any other that is being started from the same PREFECT_HOME.

    The lock is on the folder itself, and ends with the process, however it ends.
    """
    home = os.open(get_current_settings().home, os.O_RDONLY)
    try:
        fcntl.flock(home, fcntl.LOCK_EX)
        with get_client(sync_client=True) as client:
            client.hello().raise_for_status()
    finally:
        os.close(home)
