"""A hub of models and data sets on the loopback interface, with what goes wrong in downloads, on request."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.wolfhound.loopback import served

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the hub holds, and how it fails.

    Attributes:
        files: name -> bytes, of the one repository and as plain files under their name.
        repository: its name; any other is unknown.
        cut: names of which half of the bytes come before the connection is closed.
        altered: names of which other bytes come, as many as were promised.
        refused: status that every question is answered with.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    repository: str = "owner/net"
    cut: set[str] = field(default_factory=set)
    altered: set[str] = field(default_factory=set)
    refused: int | None = None
    asked: list[str] = field(default_factory=list)

    def hold(self, folder: Path) -> None:
        """Hold every file of a folder."""
        self.files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@contextmanager
def hub_serving(hub: Hub) -> Iterator[Hub]:
    """Serve on a free port of 127.0.0.1 until the context ends."""
    with served(_handler(hub)) as hub.url:
        yield hub


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = urlsplit(self.path).path.lstrip("/")
            hub.asked.append(path)
            if hub.refused is not None:
                self._answer(hub.refused, b"{}")
            elif path.startswith(f"api/models/{hub.repository}/tree/"):
                tree = [{"type": "file", "path": name, **held} for name, held in _blobs(hub).items()]
                self._answer(200, json.dumps(tree).encode())
            elif path.startswith(f"api/models/{hub.repository}"):
                self._answer(200, json.dumps(_repository(hub)).encode())
            elif path.startswith(f"{hub.repository}/resolve/{COMMIT}/") or path in hub.files:
                self._file(path.rpartition("/")[2])
            else:
                self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

        def _file(self, name: str) -> None:
            data = hub.files.get(name)
            if data is None:
                self._answer(404, b"{}", {"X-Error-Code": "EntryNotFound"})
                return
            digest = hashlib.sha256(data).hexdigest()
            if name in hub.altered:
                data = bytes(byte ^ 1 for byte in data)
            self._answer(200, data, {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT}, cut=name in hub.cut)

        def _answer(
            self, status: int, body: bytes, headers: dict[str, str] | None = None, *, cut: bool = False
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "application/json")
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[: len(body) // 2] if cut else body)
            self.close_connection = cut or self.close_connection

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _repository(hub: Hub) -> dict[str, object]:
    siblings = [
        {"rfilename": name, "blobId": held["oid"], "size": held["size"], "lfs": held.get("lfs")}
        for name, held in _blobs(hub).items()
    ]
    return {"id": hub.repository, "modelId": hub.repository, "sha": COMMIT, "siblings": siblings, "tags": []}


def _blobs(hub: Hub) -> dict[str, dict[str, Any]]:
    """Return what a hub says of each file: weights by their SHA-256, text by its git blob."""
    found: dict[str, dict[str, Any]] = {}
    for name, data in hub.files.items():
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        found[name] = {"oid": blob, "size": len(data)}
        if name.endswith((".safetensors", ".bin")):
            digest = hashlib.sha256(data).hexdigest()
            found[name]["lfs"] = {"oid": digest, "sha256": digest, "size": len(data), "pointerSize": 100}
    return found
