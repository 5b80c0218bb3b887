"""Questions to a model server over HTTP, in the open inference protocol (KServe V2): JSON, one tensor in, one out.

Source: the protocol's REST part, "Open Inference Protocol" of the KServe project: GET and POST of
v2/models/NAME[/versions/VERSION][/infer].
"""

import http.client
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wolfhound.errors import ModelError

# Busy, or away for a moment: the same question may be answered the next time. Anything else is an answer.
_TRY_AGAIN = frozenset((408, 425, 429, 500, 502, 503, 504))
_LONGEST_WAIT = 60.0
_MOST_BYTES = 1 << 30


@dataclass(frozen=True)
class EndpointSettings:
    """How a server is asked: at most `requests_per_second`, `retries` times again, waiting `timeout` seconds each."""

    url: str
    model: str
    version: str | None = None
    timeout: float = 30.0
    retries: int = 5
    first_wait: float = 0.5
    requests_per_second: float | None = None
    token_variable: str | None = None

    @property
    def address(self) -> str:
        """The model's address."""
        version = f"/versions/{urllib.parse.quote(self.version, safe='')}" if self.version else ""
        return f"{self.url.rstrip('/')}/v2/models/{urllib.parse.quote(self.model, safe='')}{version}"


@dataclass
class EndpointClient:
    """Asks a server, no faster than allowed, and again where it was busy or away.

    `clock` and `sleep` are handed in so that waiting can be tested without waiting.
    """

    settings: EndpointSettings
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _next: float = field(default=0.0, repr=False)

    def metadata(self) -> dict[str, Any]:
        """Return what the server says of the model: its inputs and outputs.

        Raises:
            ModelError: the server cannot be reached, knows no such model, or answers something else.
        """
        found = self._ask(self.settings.address, None)
        for kind in ("inputs", "outputs"):
            tensors = found.get(kind)
            if not isinstance(tensors, list) or not all(isinstance(t, dict) and "name" in t for t in tensors):
                raise ModelError(
                    f"{self.settings.address}: expected a list of {kind}, each with a name, got {tensors!r}"
                )
        return found

    def infer(self, name: str, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the first output of the model for the input `name`, in the shape that the server states.

        Raises:
            ModelError: the server cannot be reached, refuses the question, or answers something else.
        """
        tensor = {"name": name, "shape": list(values.shape), "datatype": "FP32", "data": values.ravel().tolist()}
        found = self._ask(f"{self.settings.address}/infer", {"inputs": [tensor]})
        try:
            output = found["outputs"][0]
            return np.asarray(output["data"], dtype=np.float64).reshape([int(side) for side in output["shape"]])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ModelError(
                f"{self.settings.address}: expected outputs with numbers and their shape, got {str(found)[:200]} "
                f"({type(error).__name__}: {error})"
            ) from error

    def _ask(self, address: str, question: Mapping[str, Any] | None) -> dict[str, Any]:
        body = None if question is None else json.dumps(question).encode()
        request = urllib.request.Request(address, data=body, headers=self._headers())
        for attempt in range(self.settings.retries + 1):
            self._keep_to_the_rate()
            try:
                with urllib.request.urlopen(request, timeout=self.settings.timeout) as answer:
                    return self._parsed(address, answer.read(_MOST_BYTES))
            except urllib.error.HTTPError as error:
                fault, wait = self._refused(address, error, attempt)
            except (OSError, http.client.HTTPException) as error:
                fault, wait = f"cannot be reached ({getattr(error, 'reason', None) or error})", self._wait(attempt)
            if attempt < self.settings.retries:
                self.sleep(wait)
        tries = self.settings.retries + 1
        raise ModelError(
            f"the model server at {address} {fault}; asked {tries} time(s). Is the url right, and is it up?"
        )

    def _refused(self, address: str, error: urllib.error.HTTPError, attempt: int) -> tuple[str, float]:
        """Return what is wrong and how long to wait, for an answer that may be another the next time.

        Raises:
            ModelError: it would be the same again.
        """
        with error:
            said = error.read(500).decode(errors="replace").strip()
        fault = f"answers {error.code} {error.reason}" + (f": {said}" if said else "")
        if error.code not in _TRY_AGAIN:
            hint = " (set the variable that token_variable names)" if error.code in (401, 403) else ""
            raise ModelError(f"the model server at {address} {fault}{hint}") from error
        stated = error.headers.get("Retry-After", "")
        return fault, min(float(stated), _LONGEST_WAIT) if stated.isdecimal() else self._wait(attempt)

    def _wait(self, attempt: int) -> float:
        return float(min(self.settings.first_wait * 2**attempt, _LONGEST_WAIT))

    def _keep_to_the_rate(self) -> None:
        if self.settings.requests_per_second is None:
            return
        now = self.clock()
        if now < self._next:
            self.sleep(self._next - now)
        self._next = max(now, self._next) + 1 / self.settings.requests_per_second

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if (variable := self.settings.token_variable) is not None:
            if not (token := os.environ.get(variable)):
                raise ModelError(f"expected a token in the environment variable {variable}, but it is not set")
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _parsed(self, address: str, body: bytes) -> dict[str, Any]:
        try:
            found = json.loads(body)
        except ValueError as error:
            raise ModelError(f"{address}: expected JSON, got {body[:100]!r}") from error
        if not isinstance(found, dict):
            raise ModelError(f"{address}: expected a JSON object, got {type(found).__name__}")
        return found
