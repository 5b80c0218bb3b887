"""Steps that are done once: a finished step is found again by a digest of everything that it depended on.

The record is a small JSON file in the run folder. It counts only while every artefact that it names is still there with
the right bytes, so a resumed audit never builds on a damaged file.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from typing import Any

from wolfhound.errors import WolfhoundError
from wolfhound.evidence import Artefact
from wolfhound.progress import Advance
from wolfhound.store import EvidenceStore, sha256

CODE_VERSION = 3
"""Raised when a change of the code changes what a finished step would have found."""

StepValue = dict[str, Any]
LOG = logging.getLogger("wolfhound.steps")
_noted: ContextVar[set[str] | None] = ContextVar("reused steps", default=None)
_looking: ContextVar[bool] = ContextVar("only looking", default=False)


class NotFinishedError(WolfhoundError):
    """A step would have to be done, where only a look was asked for."""


@dataclass(frozen=True)
class Step:
    """A piece of work with a name and all that its result depends on (JSON values)."""

    store: EvidenceStore
    name: str
    depends: Mapping[str, Any]

    @property
    def facts(self) -> dict[str, Any]:
        """All that the result depends on, as JSON has it."""
        facts = {"code": CODE_VERSION, "step": self.name, "depends": self.depends}
        return dict(json.loads(json.dumps(facts, sort_keys=True, default=str, allow_nan=False)))

    @property
    def key(self) -> str:
        """The digest under which the result is found again."""
        return sha256(json.dumps(self.facts, sort_keys=True).encode())

    def finished(self) -> StepValue | None:
        """Return the recorded result, if it is there and every artefact that it names is intact."""
        value = self.store.step(self.name, self.key)
        if value is None or self._lost(value):
            return None
        return dict(value)

    def once(self, work: Callable[[], StepValue]) -> StepValue:
        """Return the recorded result, or do the work and record it.

        Raises:
            NotFinishedError: it would have to be done, inside `only_looking`.
        """
        value = self.finished()
        if value is not None:
            noted = _noted.get()
            if noted is not None:
                noted.add(self.name)
            LOG.info("%s: used again, nothing that it depends on has changed", self.name)
            return value
        reason = self.reason()
        if only_looked_at():
            raise NotFinishedError(reason)
        LOG.info("%s: %s", self.name, reason)
        value = work()
        self.store.finish_step(self.name, self.key, value, facts=self.facts)
        return value

    def reason(self) -> str:
        """Return why an unfinished step has to be done, in words."""
        record = self.store.step_record(self.name)
        if record is None:
            return "to be done, no record of it"
        if record.get("key") != self.key:
            return f"to be done again, {_changed(record.get('facts'), self.facts)}"
        count = len(self._lost(record.get("value")))
        return f"to be done again, {count} of its files {'is' if count == 1 else 'are'} missing or damaged"

    def _lost(self, value: Any) -> list[Artefact]:
        return [artefact for artefact in artefacts_in(value) if not self.store.holds(artefact)]


def _changed(before: Any, now: Mapping[str, Any]) -> str:
    """Return in words what differs between the facts of a record and those of now."""
    if not isinstance(before, Mapping):
        return "its record does not say what it depended on"
    if before.get("code") != now["code"]:
        return f"the code of steps is of version {now['code']}, not {before.get('code')}"
    names = differing(before.get("depends"), now["depends"])
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"changed: {', '.join(names[:4])}{more}"


def differing(before: Any, now: Any, *, place: str = "") -> list[str]:
    """Return the places at which two JSON values differ, in order.

    >>> differing({"seed": 1, "judged": {"a": 1}}, {"seed": 2, "judged": {"a": 1, "b": 1}})
    ['judged.b', 'seed']
    """
    if not (isinstance(before, Mapping) and isinstance(now, Mapping)):
        return [] if before == now else [place or "all"]
    return [
        found
        for name in sorted(before.keys() | now.keys())
        for found in differing(before.get(name), now.get(name), place=f"{place}.{name}" if place else name)
    ]


@contextmanager
def noting_reuse() -> Iterator[set[str]]:
    """Collect the names of the steps that are found done already inside the block."""
    noted: set[str] = set()
    token = _noted.set(noted)
    try:
        yield noted
    finally:
        _noted.reset(token)


@contextmanager
def only_looking() -> Iterator[None]:
    """Let no step be done inside the block: one that is not finished raises NotFinishedError instead."""
    token = _looking.set(True)
    try:
        yield
    finally:
        _looking.reset(token)


def only_looked_at() -> bool:
    """Whether this is inside `only_looking`."""
    return _looking.get()


def refused(description: str, total: int) -> AbstractContextManager[Advance]:
    """The progress of work that must not begin: all long work opens one first, also the training of a network.

    Raises:
        NotFinishedError: always.
    """
    del total
    raise NotFinishedError(f"{description} comes first")


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
