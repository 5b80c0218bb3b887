"""An organisation's own crosswalk file: read, held against what a report can show, and every fault named at once."""

from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any

from pydantic import TypeAdapter, ValidationError

from reports.crosswalk import is_day, known_needs
from reports.data_files import Framework
from reports.presentation import OwnClauses
from reports.sections import anchors
from wolfhound.errors import PlanError, fault_list
from wolfhound.store import sha256
from wolfhound.yaml_reading import yaml_document

MOST_BYTES = 500_000


def own_clauses(data: bytes, *, name: str) -> OwnClauses:
    """Return the frameworks of a YAML file with the one key `frameworks`.

    Raises:
        PlanError: not such a file, or a need or a section that no report has; names every fault.
    """
    if len(data) > MOST_BYTES:
        raise PlanError(f"{name}: expected a crosswalk of at most {MOST_BYTES} bytes, got {len(data)}")
    document = yaml_document(data, name=name)
    if not isinstance(document, dict) or document.keys() != {"frameworks"}:
        raise PlanError(f"{name}: expected one key, frameworks (see reports/data/crosswalk.yaml for its form)")
    frameworks = _frameworks(document["frameworks"], name)
    if faults := [fault for framework in frameworks for fault in _faults(framework)] + _repeated(frameworks):
        raise PlanError(fault_list(f"{len(faults)} fault(s) in {name}:", faults))
    return OwnClauses(frameworks, name, sha256(data))


def _frameworks(value: Any, name: str) -> tuple[Framework, ...]:
    try:
        return TypeAdapter(tuple[Framework, ...]).validate_python(_days_as_text(value))
    except ValidationError as error:
        rows = [f"{'.'.join(map(str, row['loc']))}: {row['msg']}" for row in error.errors()]
        raise PlanError(fault_list(f"{len(rows)} fault(s) in {name}:", rows)) from error


def _days_as_text(value: Any) -> Any:
    """Return the value with dates as ISO text: YAML reads an unquoted day as a date."""
    if isinstance(value, list):
        return [_days_as_text(item) for item in value]
    if isinstance(value, dict):
        return {key: _days_as_text(item) for key, item in value.items()}
    return value.isoformat() if isinstance(value, date) else value


def _faults(framework: Framework) -> Iterator[str]:
    needs, places = known_needs(), anchors()
    if not framework.clauses:
        yield f"{framework.name}: expected at least one clause"
    if framework.verified_on is not None and not is_day(framework.verified_on):
        yield f"{framework.name}: expected verified_on as a day such as 2026-01-31, got {framework.verified_on!r}"
    for clause in framework.clauses:
        where = f"{framework.name}, {clause.clause}"
        if not clause.needs or not clause.sections:
            yield f"{where}: expected at least one need and one section (what is absent needs one, too)"
        yield from (f"{where}: expected a need of {sorted(needs)}, got {n!r}" for n in clause.needs if n not in needs)
        yield from (f"{where}: expected a section of {places}, got {s!r}" for s in clause.sections if s not in places)


def _repeated(frameworks: tuple[Framework, ...]) -> list[str]:
    names = Counter(framework.name for framework in frameworks)
    names.update(f"{framework.name}, {clause.clause}" for framework in frameworks for clause in framework.clauses)
    return [f"{name}: is there {count} times" for name, count in names.items() if count > 1]
