"""The program of an audit's own Prefect server, a process beside the audit's: `python -P embedded_server.py SOCKET`.

It answers on the listening socket whose number it is given, and ends as soon as its standard input does: with the
process of the audit, however that ends. `flows.prefect_server` starts it.
"""

import fcntl
import os
import socket
import sys
from threading import Thread

import uvicorn
from prefect.server.api.server import create_app


class _OneStartAtATime(uvicorn.Server):
    """A server that starts after any other from the same folder: two at once get in each other's way in the database.

    The lock is on the folder itself, and ends with the process, however it ends.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        home = os.open(os.environ["PREFECT_HOME"], os.O_RDONLY)
        try:
            fcntl.flock(home, fcntl.LOCK_EX)
            await super().startup(sockets)
        finally:
            os.close(home)


def _end_with_standard_input() -> None:
    os.read(0, 1)  # not by way of sys.stdin, whose lock would be missed where the server ends first
    os._exit(0)  # nobody is left to ask, and the database is left as after a power cut, which it is made for


def main() -> None:
    """Serve until standard input ends."""
    listening = socket.socket(fileno=int(sys.argv[1]))
    Thread(target=_end_with_standard_input, daemon=True).start()
    config = uvicorn.Config(create_app(ephemeral=True, final=True), log_level="error", lifespan="on")
    _OneStartAtATime(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
