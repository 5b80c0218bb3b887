"""The outline of a report: its sections in order, and which of them have something that was tested."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports.data_files import Measure, kind_of_measure
from reports.presentation import OwnText
from wolfhound.evidence import Evidence, Finding, Kind

# anchor, title, and the kinds of finding that a section prints; a section with kinds but no finding was not tested.
_OUTLINE: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("verdict", "Verdict", ()),
    ("scope", "Scope", ()),
    ("register", "Findings register", ()),
    ("clean", "Clean performance", ("clean",)),
    ("table", "Cross-architecture fooling", ("transfer",)),
    ("universal", "Universal perturbations", ("universal",)),
    ("robust", "Per-image attacks", ("robust",)),
    ("targeted", "Targeted fooling", ("targeted",)),
    ("natural", "Natural robustness", ("natural",)),
    ("bias", "Bias probes", ("bias",)),
    ("inside", "Inside the network", ("inside",)),
    ("adequacy", "Adequacy of the attacks", ()),
    ("limitations", "Limitations", ()),
    ("crosswalk", "Clause crosswalk", ()),
    ("since", "Since the last audit", ()),
    ("annexes", "Annexes", ()),
)


@dataclass(frozen=True)
class Section:
    """One numbered section. `tested` is False where its stage did not run, `own` what the organisation wrote."""

    number: int
    anchor: str
    title: str
    tested: bool
    findings: tuple[Finding, ...]
    shared: Mapping[str, str]
    measures: tuple[Measure, ...]
    own: OwnText | None = None


def sections(evidence: Evidence, own: Sequence[OwnText] = ()) -> tuple[Section, ...]:
    """Return the outline, each section with its findings and the conditions that all of those share.

    The organisation's `own` chapters stand before the annexes: after everything that was measured.
    """
    *body, annexes = _OUTLINE
    outline = [_section(number, *row, evidence) for number, row in enumerate(body, start=1)]
    for number, text in enumerate(own, start=1):
        outline.append(Section(len(outline) + 1, f"own-{number}", text.title, True, (), {}, (), text))
    return (*outline, _section(len(outline) + 1, *annexes, evidence))


def anchors() -> tuple[str, ...]:
    """Return the names of the places that every report has, in order."""
    return tuple(anchor for anchor, _, _ in _OUTLINE)


def _section(number: int, anchor: str, title: str, kinds: Sequence[str], evidence: Evidence) -> Section:
    findings = tuple(finding for finding in evidence.findings if finding.kind in kinds)
    has_table = anchor == "table" and bool(evidence.tables)
    tested = not kinds or bool(findings) or has_table
    measures = tuple(dict.fromkeys(kind_of_measure(name) for finding in findings for name in finding.rates))
    defined = tuple(measure for measure in measures if measure.definition)
    return Section(number, anchor, title, tested, findings, shared_conditions(findings), defined)


def section_of(kind: Kind) -> str:
    """Return the anchor of the section that prints findings of that kind.

    >>> section_of("transfer")
    'table'
    """
    return next(anchor for anchor, _, kinds in _OUTLINE if kind in kinds)


def shared_conditions(findings: Sequence[Finding]) -> dict[str, str]:
    """Return the conditions that are the same in every finding, in printing order: they are printed once.

    One finding alone shares nothing: its conditions stay with it.
    """
    if len(findings) < 2:
        return {}
    first, *others = findings
    return {
        name: text for name, text in first.conditions.items() if all(f.conditions.get(name) == text for f in others)
    }


_SIZES = ("threat", "norm", "epsilon", "size", "norm and epsilon", "norm & epsilon")


def capability(section: Section) -> tuple[str, ...]:
    """Return how large a change the section's attackers may make, in the words of the findings' conditions."""
    words = (
        f"{name} {text}"
        for finding in section.findings
        for name, text in finding.conditions.items()
        if name.casefold() in _SIZES
    )
    return tuple(dict.fromkeys(words))
