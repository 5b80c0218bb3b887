"""The versioned data files that a report prints: crosswalk, reference table, glossary, names of measures."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml
from pydantic import TypeAdapter

from reports.wording import heading

Standing = Literal["sufficient", "partial", "absent"]


@dataclass(frozen=True)
class Clause:
    """One clause, what it asks for, and what a run must hold (`needs`) to be evidence for it."""

    clause: str
    asks: str
    evidence: str
    needs: tuple[str, ...]
    sections: tuple[str, ...]
    ceiling: Literal["sufficient", "partial"]


@dataclass(frozen=True)
class Framework:
    """A law or standard with its edition; `verified_on` is None as long as nobody compared it with the primary text."""

    name: str
    edition: str
    verified_on: str | None
    clauses: tuple[Clause, ...]


@dataclass(frozen=True)
class Crosswalk:
    """All clauses, with the edition of the file and what in it is still to be verified."""

    edition: str
    note: str
    to_be_verified: tuple[str, ...]
    frameworks: tuple[Framework, ...]


@dataclass(frozen=True)
class ReferenceTable:
    """A published table of fooling rates in percent, as reference only."""

    edition: str
    title: str
    source: str
    conditions: str
    not_comparable: str
    columns: tuple[str, ...]
    rows: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Measure:
    """How a rate is called in print and what it counts."""

    label: str
    definition: str


@dataclass(frozen=True)
class Term:
    """A glossary entry."""

    term: str
    meaning: str


def _read(name: str) -> Any:
    return yaml.safe_load((files("reports") / "data" / name).read_text(encoding="utf-8"))


@cache
def crosswalk() -> Crosswalk:
    """Return the clause crosswalk."""
    return TypeAdapter(Crosswalk).validate_python(_read("crosswalk.yaml"))


@cache
def reference_2017() -> ReferenceTable:
    """Return the cross-architecture table of 2017."""
    return TypeAdapter(ReferenceTable).validate_python(_read("reference_2017.yaml"))


@cache
def glossary() -> tuple[Term, ...]:
    """Return the glossary in alphabetical order."""
    return TypeAdapter(tuple[Term, ...]).validate_python(_read("glossary.yaml"))


@cache
def standing_limitations() -> tuple[str, ...]:
    """Return what limits every audit, whatever it measured."""
    return TypeAdapter(tuple[str, ...]).validate_python(_read("limitations.yaml"))


@cache
def _measures() -> dict[str, Measure]:
    return TypeAdapter(dict[str, Measure]).validate_python(_read("measures.yaml"))


def kind_of_measure(name: str) -> Measure:
    """Return what kind of rate a name stands for: "from caffenet" and "from vgg16" are of one kind.

    >>> kind_of_measure("from caffenet").label
    'Crafted on {}'
    """
    known = _measures()
    for pattern, entry in known.items():
        if pattern.endswith("*") and name.startswith(pattern.removesuffix("*")) and name not in known:
            return entry
    return measure(name)


def measure_pattern(name: str) -> tuple[Measure, str, bool]:
    """Return a rate's measure with `{}` where its name goes, that name, and whether anybody described it.

    >>> measure_pattern("from caffenet")[0].label, measure_pattern("from caffenet")[1]
    ('Crafted on {}', 'caffenet')
    """
    known = _measures()
    if name in known:
        return known[name], "", True
    for pattern, entry in known.items():
        prefix = pattern.removesuffix("*")
        if prefix != pattern and name.startswith(prefix):
            return entry, name.removeprefix(prefix), True
    return Measure(heading(name), ""), "", False


def measure(name: str) -> Measure:
    """Return how a rate of that name is printed. A name that nobody described is printed in words, undefined.

    >>> measure("from caffenet").label
    'Crafted on caffenet'
    >>> measure("my_rate").label
    'My rate'
    """
    entry, named, _ = measure_pattern(name)
    return Measure(entry.label.replace("{}", named), entry.definition)
