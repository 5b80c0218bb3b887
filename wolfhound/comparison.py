"""Two audits held against each other: which rates got better, which worse, and where that can't be told.

Every rate that is a share of images is tested on the very same images, matched by the hash of their content, with
McNemar's exact test (McNemar 1947; two-sided, binomial form). All tests of one comparison are adjusted together by
Holm's step-down rule (Holm 1979). Knows no torch: stored evidence is enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from wolfhound.errors import EvidenceError
from wolfhound.evidence import Evidence, Finding
from wolfhound.statistics import Rate, holm, mcnemar_exact

COMPARISON_SCHEMA: Final = "wolfhound-comparison/1"
SIGNIFICANCE = 0.05
"""Adjusted p-values below it are evidence of a change."""

Change = Literal["better", "worse", "no evidence of change", "not comparable"]
CHANGES: tuple[Change, ...] = ("worse", "better", "no evidence of change", "not comparable")
"""The worst first."""
Outcomes = Mapping[str, bool]
"""Image hash -> whether the rate counted it as a success; images outside the rate's total are left out."""

SAID_ONLY = ("seed", "passes", "worst source", "worst corruption")
"""Conditions that may differ between comparable audits: draws, and what was found rather than set. They are said."""


@dataclass(frozen=True)
class Ledger:
    """One rate's images: each image's label (empty where none is stored), the counted outcomes, and the rule."""

    labels: Mapping[str, str]
    outcomes: Outcomes
    rule: str


@dataclass(frozen=True)
class RunIdentity:
    """Which audit a side of the comparison is."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    audit: str
    finished: str
    seal: str
    evidence_sha256: str
    plan_sha256: str


@dataclass(frozen=True)
class SubjectChange:
    """A classifier on either side, by the digest of its weights; empty where that side doesn't have it."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    name: str
    before_sha256: str
    after_sha256: str

    @property
    def text(self) -> str:
        """The change in words."""
        if not self.before_sha256 or not self.after_sha256:
            return "only in the later audit" if self.after_sha256 else "only in the earlier audit"
        return "the same weights" if self.before_sha256 == self.after_sha256 else "other weights"


@dataclass(frozen=True)
class RateChange:
    """One rate of one finding on both sides.

    `only_before` and `only_after` count the discordant pairs: images that were a success only then, or only now, out of
    `pairs` images that both totals count. `p` is McNemar's, `p_adjusted` Holm's. All are None where nothing was tested.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")
    finding: str
    subject: str
    rate: str
    change: Change
    reason: str
    before: Rate | None
    after: Rate | None
    pairs: int | None = None
    only_before: int | None = None
    only_after: int | None = None
    p: float | None = None
    p_adjusted: float | None = None
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """A later audit against an earlier one."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    before: RunIdentity
    after: RunIdentity
    subjects: tuple[SubjectChange, ...]
    changes: tuple[RateChange, ...]
    approved_by: str = ""
    approved_on: str = ""
    schema: Literal["wolfhound-comparison/1"] = COMPARISON_SCHEMA

    def of(self, change: Change) -> tuple[RateChange, ...]:
        """Return the rates that changed so."""
        return tuple(row for row in self.changes if row.change == change)

    @property
    def tests(self) -> int:
        """How many tests were made: what Holm's rule adjusts for."""
        return sum(row.p is not None for row in self.changes)

    @property
    def exit_code(self) -> int:
        """1 if anything is worse; 3 if nothing could be compared, which is no good news; otherwise 0."""
        return 1 if self.of("worse") else 0 if self.tests else 3


@dataclass(frozen=True)
class Side:
    """One audit as the comparison needs it. `ledgers`: (finding id, rate) -> its images, or why there are none."""

    identity: RunIdentity
    evidence: Evidence
    ledgers: Mapping[tuple[str, str], Ledger | str]


def compare_audits(before: Side, after: Side) -> Comparison:
    """Return every rate that either audit measured, with its verdict; the first audit's order, then what is new."""
    changes = [
        _change(before, after, finding, rate)
        for finding, rate in dict.fromkeys([*_rates(before.evidence), *_rates(after.evidence)])
    ]
    return Comparison(before.identity, after.identity, _subjects(before, after), tuple(_adjusted(changes)))


def _rates(evidence: Evidence) -> list[tuple[str, str]]:
    return [(finding.id, rate) for finding in evidence.findings for rate in finding.rates]


def _subjects(before: Side, after: Side) -> tuple[SubjectChange, ...]:
    old, new = ({s.name: s.weights_sha256 for s in side.evidence.subjects} for side in (before, after))
    return tuple(SubjectChange(name, old.get(name, ""), new.get(name, "")) for name in dict.fromkeys([*old, *new]))


def _change(before: Side, after: Side, finding: str, rate: str) -> RateChange:
    old, new = (_find(side.evidence, finding) for side in (before, after))
    subject = (new or old or _missing(finding)).subject
    row = RateChange(
        finding,
        subject,
        rate,
        "not comparable",
        "",
        None if old is None else old.rates.get(rate),
        None if new is None else new.rates.get(rate),
    )
    if row.before is None or row.after is None or old is None or new is None:
        return replace(row, reason=f"measured only in the {'later' if row.before is None else 'earlier'} audit")
    row = replace(row, said=_said(before, after, old, new))
    if obstacle := _obstacle(before, after, old, new, rate):
        return replace(row, reason=obstacle)
    first, second = before.ledgers[finding, rate], after.ledgers[finding, rate]
    assert isinstance(first, Ledger)  # _obstacle returned for the others
    assert isinstance(second, Ledger)
    return _tested(row, first.outcomes, second.outcomes)


def _find(evidence: Evidence, identifier: str) -> Finding | None:
    return next((finding for finding in evidence.findings if finding.id == identifier), None)


def _missing(finding: str) -> Finding:
    raise EvidenceError(f"expected the finding {finding!r} in one of two audits, found it in neither")


def _said(before: Side, after: Side, old: Finding, new: Finding) -> tuple[str, ...]:
    """Return what differs and doesn't hinder the comparison."""
    said = [_difference(name, old, new) for name in SAID_ONLY if old.conditions.get(name) != new.conditions.get(name)]
    if before.evidence.seed != after.evidence.seed and "seed" not in old.conditions:
        said.append(f"the plans' seed: {before.evidence.seed} before, {after.evidence.seed} now")
    for side, finding in (("earlier", old), ("later", new)):
        said += [f"the {side} finding is in doubt: {doubt.code}" for doubt in finding.doubts]
    return tuple(said)


def _difference(name: str, old: Finding, new: Finding) -> str:
    absent = "not stated"
    return f"{name}: {old.conditions.get(name, absent)} before, {new.conditions.get(name, absent)} now"


def _obstacle(before: Side, after: Side, old: Finding, new: Finding, rate: str) -> str:
    """Return why a rate can't be compared; empty if it can."""
    if better_when(old, rate) is None:
        return "the classifier has no say in this rate, or it isn't stated which way it is better"
    if before.evidence.class_names != after.evidence.class_names:
        return "other classes"
    if old.knowledge != new.knowledge:
        return f"other threat: {old.knowledge} before, {new.knowledge} now"
    names = [name for name in dict.fromkeys([*old.conditions, *new.conditions]) if name not in SAID_ONLY]
    other = [_difference(name, old, new) for name in names if old.conditions.get(name) != new.conditions.get(name)]
    if other:
        return f"other {'threat' if any(text.startswith('threat:') for text in other) else 'conditions'}: " + "; ".join(
            other
        )
    if old.rates[rate].denominator != new.rates[rate].denominator:
        return f"other denominator: {old.rates[rate].denominator} before, {new.rates[rate].denominator} now"
    return _obstacle_in_ledgers(before.ledgers[old.id, rate], after.ledgers[new.id, rate])


def _obstacle_in_ledgers(old: Ledger | str, new: Ledger | str) -> str:
    if isinstance(old, str):
        return old
    if isinstance(new, str):
        return new
    if old.rule != new.rule:
        return f"counted another way: {old.rule} before, {new.rule} now"
    if old.labels.keys() != new.labels.keys():
        common = len(old.labels.keys() & new.labels.keys())
        return f"other images: {len(old.labels)} before, {len(new.labels)} now, {common} in common"
    relabelled = sum(old.labels[image] != new.labels[image] for image in old.labels)
    if relabelled:
        return f"other labels: {relabelled} of {len(old.labels)} images carry another label now"
    return "" if old.outcomes.keys() & new.outcomes.keys() else "no image that both audits counted"


def _tested(row: RateChange, before: Outcomes, after: Outcomes) -> RateChange:
    images = before.keys() & after.keys()
    only_before = sum(before[image] and not after[image] for image in images)
    only_after = sum(after[image] and not before[image] for image in images)
    said = row.said
    if len(images) < max(len(before), len(after)):
        said = (*said, f"paired on the {len(images)} images that both audits counted ({len(before)}, {len(after)})")
    p = mcnemar_exact(only_before, only_after)
    return replace(row, pairs=len(images), only_before=only_before, only_after=only_after, p=p, said=said)


def _adjusted(changes: Sequence[RateChange]) -> list[RateChange]:
    """Return the changes with Holm's adjusted p-values and the verdicts that follow."""
    values = iter(holm([row.p for row in changes if row.p is not None]))
    return [row if row.p is None else _judged(row, next(values)) for row in changes]


def _judged(row: RateChange, adjusted: float) -> RateChange:
    assert row.only_before is not None  # tested rows have counts
    assert row.only_after is not None
    counts = f"{row.only_before} images only before, {row.only_after} only now, of {row.pairs}"
    if adjusted >= SIGNIFICANCE:
        return replace(row, change="no evidence of change", reason=counts, p_adjusted=adjusted)
    rose = row.only_after > row.only_before
    change: Change = "better" if rose == (direction(row.finding.partition("/")[0], row.rate) == "high") else "worse"
    return replace(row, change=change, reason=counts, p_adjusted=adjusted)


def better_when(finding: Finding, rate: str) -> Literal["high", "low"] | None:
    """Return which way a rate of a finding is better for the classifier; None where it has no say in it."""
    return direction(finding.kind, rate)


_HIGH = ("accuracy", "robust_accuracy", "right_under_all", "worst_corruption", "clean_accuracy")
_LOW = (
    "fooling",
    "error_rate",
    "attack_success",
    "noise_control",
    "flip_rate",
    "targeted_",
    "worst_transfer",
    "from ",
    "file ",
)
_NEITHER = ("trivial_baseline",)


def direction(kind: str, rate: str) -> Literal["high", "low"] | None:
    """Return which way a rate is better for the classifier, by its name; None where that isn't stated.

    >>> direction("clean", "accuracy"), direction("transfer", "from vgg16"), direction("clean", "trivial_baseline")
    ('high', 'low', None)
    """
    if kind == "inside" or rate in _NEITHER:
        return None
    if rate.startswith(_LOW):
        return "low"
    return "high" if rate.startswith(_HIGH) or rate.endswith("_accuracy") else None


_COMPARISON = TypeAdapter(Comparison)


def dump_comparison(comparison: Comparison) -> bytes:
    """Return the comparison as indented UTF-8 JSON; equal comparisons give equal bytes."""
    return _COMPARISON.dump_json(comparison, indent=1) + b"\n"


def load_comparison(data: bytes) -> Comparison:
    """Return the comparison of a JSON document.

    Raises:
        EvidenceError: another schema, or a malformed document.
    """
    try:
        return _COMPARISON.validate_json(data)
    except ValidationError as error:
        raise EvidenceError(f"expected a comparison of {COMPARISON_SCHEMA}, but: {error}") from error
