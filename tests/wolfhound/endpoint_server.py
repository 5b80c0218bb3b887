"""A model server on the loopback interface that speaks the open inference protocol, and misbehaves on request."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import numpy as np

from tests.wolfhound.loopback import served

INPUT = {"name": "pixels", "datatype": "FP32", "shape": [-1, 3, 4, 4]}
OUTPUT = {"name": "scores", "datatype": "FP32", "shape": [-1, 3]}


@dataclass
class Server:
    """What the server does, and what it was asked. `refusals` are answered first: (status, headers)."""

    url: str = ""
    weights: Any = field(default_factory=lambda: np.random.default_rng(3).normal(size=(48, 3)))
    refusals: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    metadata: Any = field(default_factory=lambda: {"name": "net", "inputs": [INPUT], "outputs": [OUTPUT]})
    softmax: bool = False
    answer: Any = None
    token: str | None = None
    batches: list[int] = field(default_factory=list)
    questions: int = 0

    def scores(self, pixels: Any) -> Any:
        """Return the scores of float `[B,3,4,4]`: a linear function, or its softmax."""
        logits = np.asarray(pixels).reshape(len(pixels), -1) @ self.weights
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponentials / exponentials.sum(axis=1, keepdims=True) if self.softmax else logits


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Serve on a free port of 127.0.0.1 until the context ends."""
    with served(_handler(server)) as server.url:
        yield server


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self._admitted():
                self._answer(server.metadata if self.path == "/v2/models/net" else None)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not self._admitted():
                return
            (tensor,) = body["inputs"]
            pixels = np.array(tensor["data"]).reshape(tensor["shape"])
            server.batches.append(len(pixels))
            assert (self.path, tensor["name"], tensor["datatype"]) == ("/v2/models/net/infer", "pixels", "FP32")
            scores = server.scores(pixels)
            plain = {"name": "scores", "shape": list(scores.shape), "data": scores.ravel().tolist()}
            self._answer({"outputs": [plain]} if server.answer is None else server.answer)

        def _admitted(self) -> bool:
            server.questions += 1
            if server.refusals:
                status, headers = server.refusals.pop(0)
                self._answer({"error": "busy"}, status, headers)
                return False
            if server.token is not None and self.headers.get("Authorization") != f"Bearer {server.token}":
                self._answer({"error": "who are you?"}, 401)
                return False
            return True

        def _answer(self, body: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(404 if body is None else status)
            for key, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    return Handler
