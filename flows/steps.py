"""Steps that are done once: a finished step is found again by a digest of everything that it depended on.

The record is a small JSON file in the run folder. It counts only while every artefact that it names is still there with
the right bytes, so a resumed audit never builds on a damaged file.
"""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from wolfhound.evidence import Artefact
from wolfhound.store import EvidenceStore, sha256

CODE_VERSION = 3
"""Raised when a change of the code changes what a finished step would have found."""

StepValue = dict[str, Any]
_reused: dict[str, set[str]] = {}
_reused_lock = threading.Lock()


@dataclass(frozen=True)
class Step:
    """A piece of work with a name and all that its result depends on (JSON values)."""

    store: EvidenceStore
    name: str
    depends: Mapping[str, Any]

    @property
    def key(self) -> str:
        """The digest under which the result is found again."""
        facts = {"code": CODE_VERSION, "step": self.name, "depends": self.depends}
        return sha256(json.dumps(facts, sort_keys=True, default=str, allow_nan=False).encode())

    def finished(self) -> StepValue | None:
        """Return the recorded result, if it is there and every artefact that it names is intact."""
        value = self.store.step(self.name, self.key)
        if value is None or not all(self.store.holds(artefact) for artefact in artefacts_in(value)):
            return None
        return dict(value)

    def once(self, work: Callable[[], StepValue]) -> StepValue:
        """Return the recorded result, or do the work and record it."""
        value = self.finished()
        if value is not None:
            with _reused_lock:
                _reused.setdefault(str(self.store.root), set()).add(self.name)
            return value
        value = work()
        self.store.finish_step(self.name, self.key, value)
        return value


def reused_steps(store: EvidenceStore) -> tuple[str, ...]:
    """Return the names of the steps of that run folder that this process found done already."""
    return tuple(sorted(_reused.get(str(store.root), ())))


def pack(artefact: Artefact) -> StepValue:
    """Return an artefact as a JSON value."""
    return {"artefact": asdict(artefact)}


def unpack(value: Mapping[str, Any]) -> Artefact:
    """Return the artefact of a packed value."""
    return Artefact(**value["artefact"])


def artefacts_in(value: Any) -> list[Artefact]:
    """Return every packed artefact anywhere inside a JSON value."""
    if isinstance(value, Mapping):
        if set(value) == {"artefact"}:
            return [unpack(value)]
        return [artefact for part in value.values() for artefact in artefacts_in(part)]
    if isinstance(value, list | tuple):
        return [artefact for part in value for artefact in artefacts_in(part)]
    return []
