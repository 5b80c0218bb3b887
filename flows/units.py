"""A unit: the piece of an audit that is worth retrying, finding again and sending elsewhere alone."""

import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from flows.steps import StepValue, noting_reuse
from wolfhound.progress import Progress, silent

STAGES = {
    "classifier": "classifiers",
    "universal": "universal perturbations",
    "table": "universal perturbations",
    "robust": "per-image attacks",
    "targeted": "targeted fooling",
    "natural": "natural robustness",
    "probe": "natural robustness",
    "bias": "bias probes",
    "shortcut": "bias probes",
    "hypotheses": "bias probes",
    "inside": "inside the network",
}
"""Kind of unit -> the stage that its time is counted to."""


@dataclass(frozen=True)
class Unit:
    """One call of a plain function, known to people as "kind: label". Small enough to travel to another machine.

    Attributes:
        arguments: of `function`, without its `progress`; the job, names and sections, never tensors or networks.
    """

    kind: str
    label: str
    function: Callable[..., StepValue]
    arguments: tuple[Any, ...]

    @property
    def name(self) -> str:
        """Its name to people."""
        return f"{self.kind}: {self.label}"


class Parcel:
    """A unit in one piece: what schedulers carry they also look into, and they take tuples and models apart."""

    def __init__(self, unit: Unit) -> None:
        self._packed = pickle.dumps(unit)

    def unpacked(self) -> Unit:
        """Return the unit."""
        unit: Unit = pickle.loads(self._packed)
        return unit


@dataclass(frozen=True)
class UnitResult:
    """What a unit found, how long it took, and which steps it found done already."""

    value: StepValue
    seconds: float
    reused: tuple[str, ...]


def work(unit: Unit, *, progress: Progress = silent) -> UnitResult:
    """Run one unit in this process."""
    begun = time.monotonic()
    with noting_reuse() as reused:
        value = unit.function(*unit.arguments, progress=progress)
    return UnitResult(value, time.monotonic() - begun, tuple(sorted(reused)))


class Call(Protocol):
    """Runs units that do not need one another, in any order and anywhere, and returns their results in theirs."""

    def __call__(self, units: Sequence[Unit], *, progress: Progress) -> list[UnitResult]: ...


def directly(units: Sequence[Unit], *, progress: Progress) -> list[UnitResult]:
    """Run units in this very process, one after another, without Prefect."""
    return [work(unit, progress=progress) for unit in units]


@dataclass
class Tally:
    """What the units of one audit took and found again, counted as they come back."""

    seconds: dict[str, float] = field(default_factory=dict)
    reused: set[str] = field(default_factory=set)

    def run(self, units: Sequence[Unit], *, call: Call, progress: Progress) -> Mapping[tuple[str, str], StepValue]:
        """Run units and return what they found, by kind and label."""
        results = call(units, progress=progress)
        for unit, result in zip(units, results, strict=True):
            stage = STAGES[unit.kind]
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + result.seconds, 2)
            self.reused |= set(result.reused)
        return {(unit.kind, unit.label): result.value for unit, result in zip(units, results, strict=True)}
