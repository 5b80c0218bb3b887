"""What a run will find done already in its run folder, and why the rest is to be done; said before it starts."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import yaml

from flows.audit_job import AuditJob
from flows.steps import StepValue, differing, only_looking, refused
from flows.units import Unit, work
from flows.waves import attack_units, classifier_units, crafted_runs, replayed_files, table_targets, table_units
from wolfhound.errors import WolfhoundError

MOST_SHOWN = 12


@dataclass(frozen=True)
class Forecast:
    """What a run will use again, and what it will do and why.

    Attributes:
        reused: names of units that are finished.
        to_do: name of a unit and the reason why it has to be done.
    """

    reused: tuple[str, ...]
    to_do: tuple[tuple[str, str], ...]


def forecast(job: AuditJob) -> Forecast:
    """Return what a run of this job would use again. Nothing is measured, trained or written."""
    found: dict[tuple[str, str], StepValue] = {}
    to_do: list[tuple[str, str]] = []
    units = [*classifier_units(job), *attack_units(job)]
    _look(units, found, to_do)
    if all((unit.kind, unit.label) in found for unit in units if unit.kind == "universal"):
        with only_looking():
            read = replayed_files(job)
        _look(table_units(job, crafted_runs(job, found), read), found, to_do)
    else:
        to_do += [(f"table: {name}", "perturbations that it judges are to be crafted") for name in table_targets(job)]
    return Forecast(tuple(f"{kind}: {label}" for kind, label in found), tuple(to_do))


def _look(units: Sequence[Unit], found: dict[tuple[str, str], StepValue], to_do: list[tuple[str, str]]) -> None:
    for unit in units:
        try:
            with only_looking():
                found[unit.kind, unit.label] = work(unit, progress=refused).value
        except WolfhoundError as reason:  # not finished, or a fault that the run itself will meet at this unit
            to_do.append((unit.name, str(reason)))


def reuse_lines(job: AuditJob) -> Iterator[str]:
    """Yield what a person wants to know before a run that goes on; nothing where the run folder holds no step."""
    if not job.store.has_steps():
        return
    yield from _plan_lines(job)
    ahead = forecast(job)
    yield f"{len(ahead.reused)} unit(s) are finished and used again, {len(ahead.to_do)} to do"
    for name in ahead.reused[:MOST_SHOWN]:
        yield f"  used again  {name}"
    for name, reason in ahead.to_do[:MOST_SHOWN]:
        yield f"  to do       {name}: {reason}"
    more = max(len(ahead.reused) - MOST_SHOWN, 0) + max(len(ahead.to_do) - MOST_SHOWN, 0)
    if more:
        yield f"  and {more} more"


def _plan_lines(job: AuditJob) -> Iterator[str]:
    """Yield whether the plan is that of the earlier run, and where not."""
    try:
        before = (job.root / "plan.yaml").read_bytes()
    except FileNotFoundError:
        return
    if before == job.source:
        yield "an earlier run of this plan is there"
        return
    places = differing(_indexed(yaml.safe_load(before)), _indexed(yaml.safe_load(job.source)))
    where = ", ".join(places) or "its text alone"
    yield f"an earlier run of another version of this plan is there; it differs in {where}"


def _indexed(value: object) -> object:
    """Return a YAML value with its lists as mappings from the index, so that a difference has a place."""
    if isinstance(value, dict):
        return {str(name): _indexed(part) for name, part in value.items()}
    if isinstance(value, list):
        return {str(index): _indexed(part) for index, part in enumerate(value)}
    return value
