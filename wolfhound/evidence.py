"""What an audit found, as plain frozen values that survive as JSON. Knows no torch: a report is rendered from it alone.

`Evidence` is the whole document. It holds no clock and no machine, so the same plan on the same inputs gives the same
bytes; times, versions and the machine are in a `RunRecord` of its own.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from wolfhound.counting import Counted
from wolfhound.errors import EvidenceError
from wolfhound.statistics import Interval, Rate

SCHEMA = "wolfhound-evidence/1"

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SUFFIX = re.compile(r"(\.[A-Za-z0-9_]+)*")

SHARE = "share of images"
"""Unit of differences between shares, printed in points: a criterion can judge those that have an interval."""

Verdict = Literal["met", "not met", "inconclusive", "not tested"]
Severity = Literal["critical", "high", "medium", "low", "info"]
Kind = Literal["clean", "universal", "transfer", "robust", "targeted", "natural", "bias", "inside"]


@dataclass(frozen=True)
class Doubt:
    """A reason not to trust a finding. A finding with a doubt is inconclusive, never green."""

    code: str
    explanation: str


@dataclass(frozen=True)
class AttackCheck:
    """A check of an attack by itself: what was tried, what came of it, and the code of the doubt that it raised."""

    name: str
    outcome: str
    doubt: str = ""


@dataclass(frozen=True)
class Artefact:
    """A stored file, addressed by the SHA-256 of its bytes."""

    sha256: str
    suffix: str
    bytes: int

    def __post_init__(self) -> None:
        # Both make a path: nothing that leads out of the run folder may come in by a forged document.
        if not (_DIGEST.fullmatch(self.sha256) and _SUFFIX.fullmatch(self.suffix)):
            raise EvidenceError(
                f"expected a SHA-256 in hex and a suffix, got {self.sha256[:80]!r}, {self.suffix[:80]!r}"
            )

    @property
    def path(self) -> str:
        """Where it lies inside the run folder, with forward slashes."""
        return f"artefacts/{self.sha256[:2]}/{self.sha256}{self.suffix}"


@dataclass(frozen=True)
class Picture:
    """A stored PNG with its caption and a text that says what it shows to who can't see it."""

    artefact: Artefact
    caption: str
    alt: str


@dataclass(frozen=True)
class Gallery:
    """Rows of pictures that belong together, with the rule by which they were chosen (never by hand)."""

    title: str
    rows: tuple[tuple[Picture, ...], ...]
    selection: str
    note: str = ""


@dataclass(frozen=True)
class Quantity:
    """A measured number that is no proportion: its value, unit, interval where there is one, and what it means."""

    value: float
    unit: str
    meaning: str
    interval: Interval | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise EvidenceError(f"expected a finite {self.meaning or 'quantity'}, got {self.value}")


@dataclass(frozen=True)
class RateTable:
    """Rates by row and column. `marked` names the cells of special meaning (the white-box diagonal, say)."""

    name: str
    title: str
    row_label: str
    column_label: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Rate | None, ...], ...]
    marked: tuple[tuple[str, str], ...] = ()
    control_rows: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        if len(self.cells) != len(self.rows) or any(len(row) != len(self.columns) for row in self.cells):
            raise EvidenceError(f"table {self.name}: expected {len(self.rows)} x {len(self.columns)} cells")

    def cell(self, row: str, column: str) -> Rate | None:
        """Return one cell by its names; None where it was not measured."""
        return self.cells[self.rows.index(row)][self.columns.index(column)]


@dataclass(frozen=True)
class Finding:
    """One thing that was measured.

    Attributes:
        id: unique, "kind/subject" or "kind/subject/variant".
        subject: the classifier that it is about.
        claim: one sentence that binds the number to its conditions.
        knowledge: what the attacker knew ("white-box", "transfer", ...); "none" where nobody attacked.
        conditions: setting -> value in words (attack, norm, epsilon, images, seeds ...), in printing order.
        rates: name -> rate. Criteria refer to them as "kind.name", and so to quantities of the unit `SHARE`.
        controls: names of those rates that are controls (noise, placebo), not results.
        ledgers: name -> per-image CSV from which every rate can be recomputed.
        checks: of the attack, whether they raised a doubt or not.
        counted: rate -> how its two counts come out of one of the ledgers; a rate that is missing here can't be.
        reproduce: the command that measures it again.
    """

    id: str
    kind: Kind
    subject: str
    title: str
    claim: str
    knowledge: str
    conditions: Mapping[str, str]
    rates: Mapping[str, Rate]
    reproduce: str
    controls: tuple[str, ...] = ()
    quantities: Mapping[str, Quantity] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    tables: tuple[RateTable, ...] = ()
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    series: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
    galleries: tuple[Gallery, ...] = ()
    ledgers: Mapping[str, Artefact] = field(default_factory=dict)
    artefacts: Mapping[str, Artefact] = field(default_factory=dict)
    doubts: tuple[Doubt, ...] = ()
    counted: Mapping[str, Counted] = field(default_factory=dict)
    checks: tuple[AttackCheck, ...] = ()


@dataclass(frozen=True)
class Criterion:
    """A threshold that the plan fixed before the run: `rate` ("kind.name") of the matching subjects."""

    id: str
    text: str
    rate: str
    subjects: str
    comparator: Literal["at most", "at least"]
    threshold: float
    fixed_on: str
    clauses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """A criterion held against one finding. `finding` and `observed` are None where nothing was tested.

    A criterion may also speak of a share that is no proportion of images, the gap between two groups' rates say: then
    `quantity` has what was observed, with its interval, and `observed` is None.
    """

    criterion: str
    verdict: Verdict
    reason: str
    severity: Severity = "info"
    finding: str | None = None
    observed: Rate | None = None
    quantity: Quantity | None = None


@dataclass(frozen=True)
class Subject:
    """An audited classifier, as far as a reader needs to know it.

    Where the weights were not seen (`weights_seen` false: a model server), their digest is of what stands for them, as
    the provenance says, and `parameters` means nothing.
    """

    name: str
    architecture: str
    provenance: str
    weights_sha256: str
    parameters: int
    input_size: tuple[int, int]
    classes: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    weights_seen: bool = True


@dataclass(frozen=True)
class ImageRecord:
    """An image set or one of its splits."""

    name: str
    role: str
    count: int
    classes: int
    size: tuple[int, int]
    fingerprint: str
    provenance: str


@dataclass(frozen=True)
class Evidence:
    """The whole deterministic document of one audit."""

    name: str
    purpose: str
    plan_sha256: str
    seed: int
    subjects: tuple[Subject, ...]
    images: tuple[ImageRecord, ...]
    class_names: tuple[str, ...]
    findings: tuple[Finding, ...]
    criteria: tuple[Criterion, ...]
    judgements: tuple[Judgement, ...]
    tables: tuple[RateTable, ...]
    not_tested: tuple[str, ...]
    limitations: tuple[str, ...]
    responsible: str = ""
    organisation: str = ""
    schema: str = SCHEMA

    def finding(self, identifier: str) -> Finding:
        """Return the finding of that id.

        Raises:
            EvidenceError: there is none.
        """
        for finding in self.findings:
            if finding.id == identifier:
                return finding
        raise EvidenceError(f"expected a finding {identifier!r} in the evidence, found none")


@dataclass(frozen=True)
class Package:
    """An installed package that a run had loaded, or that one of those needs; `licence` is empty if none is stated."""

    name: str
    version: str
    licence: str = ""


@dataclass(frozen=True)
class RunRecord:
    """When, where and with what an audit ran: what differs between two runs of the same plan."""

    started: str
    finished: str
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    seconds: Mapping[str, float]
    reused: tuple[str, ...] = ()
    packages: tuple[Package, ...] = ()


_EVIDENCE = TypeAdapter(Evidence)
_RUN = TypeAdapter(RunRecord)


def dump_evidence(evidence: Evidence) -> bytes:
    """Return the document as indented UTF-8 JSON; equal evidence gives equal bytes.

    Raises:
        EvidenceError: it could not be read back, because a value is NaN or infinite, say.
    """
    data = _EVIDENCE.dump_json(evidence, indent=1) + b"\n"
    load_evidence(data)
    return data


def load_evidence(data: bytes) -> Evidence:
    """Return the evidence of a JSON document.

    Raises:
        EvidenceError: another schema, or a malformed document; names every fault.
    """
    try:
        evidence = _EVIDENCE.validate_json(data)
    except ValidationError as error:
        raise EvidenceError(f"evidence.json is malformed: {error}") from error
    if evidence.schema != SCHEMA:
        raise EvidenceError(f"expected evidence of schema {SCHEMA}, got {evidence.schema!r}")
    return evidence


def dump_run(record: RunRecord) -> bytes:
    """Return the run record as indented UTF-8 JSON."""
    return _RUN.dump_json(record, indent=1) + b"\n"


def load_run(data: bytes) -> RunRecord:
    """Return the run record of a JSON document.

    Raises:
        EvidenceError: malformed.
    """
    try:
        return _RUN.validate_json(data)
    except ValidationError as error:
        raise EvidenceError(f"run.json is malformed: {error}") from error
