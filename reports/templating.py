"""What templates can do beside printing: filters that word values, and functions that turn evidence into pictures."""

from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports import matrix, wording
from reports.charts import all_shares, line_chart, strip
from reports.crosswalk import method_of
from reports.language import Language
from reports.own_text import own_html
from reports.pictures import PNG, SVG, WOFF2, Link, Pictures, font
from reports.sections import Section, capability
from reports.typefaces import FONTS
from wolfhound.errors import EvidenceError
from wolfhound.evidence import Artefact, Evidence, Finding, Gallery, Judgement, Picture
from wolfhound.verdicts import SEVERITIES

LABELS_SHOWN = 8
_NUMBERS = ("rate", "counts", "number", "numbers", "quantity", "threshold", "upper_bound", "decimals", "gap")
_SPOKEN = (*_NUMBERS, "stated", "date", "day", "listed", "said", "measure", "terms")
_NEUTRAL = ("sentence", "heading", "short", "anchor", "phrase", "gist", "tied")


def strict_environment(language: Language) -> Environment:
    """Return an environment that knows a language; everything is escaped, and a missing value is an error."""
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=language.value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({name: getattr(language, name) for name in _SPOKEN})
    environment.globals.update(t=language)
    return environment


def page_environment(evidence: Evidence, pictures: Pictures, language: Language, link: Link) -> Environment:
    """Return the templates' environment: everything is escaped, and a missing value is an error."""
    environment = strict_environment(language)
    environment.filters.update({name: getattr(wording, name) for name in _NEUTRAL})
    environment.filters.update(
        strip=lambda summary: link(strip(summary.observed, summary.criterion), SVG),
        named=lambda section: _named(section, language),
        shown=lambda label: label.replace("{}", "…") + ("" if label.endswith("{}") else "."),
        breadth=lambda part: f"{wording.decimals(100 * part, 2)}%",  # a style's number has a point in every language
        probability=lambda p: language.numbers(f"{p:.2g}"),
    )
    _add_tables(environment, language)
    _add_pictures(environment, pictures, language, link)
    environment.tests["single_picture"] = lambda gallery: [len(row) for row in gallery.rows] == [1]
    environment.globals.update(
        verdict_words=wording.VERDICT_WORDS,
        severities=SEVERITIES,
        sheet=_sheet,
        judgements_of=lambda finding: _judgements_of(evidence, finding),
        criterion_of=lambda judgement: _criterion_of(evidence, judgement),
    )
    return environment


def _add_tables(environment: Environment, language: Language) -> None:
    environment.filters.update(
        blocks=matrix.blocks,
        reference_block=matrix.reference_block,
        overview=lambda findings: matrix.overview(findings, language.measure),
        columns=_columns,
        all_shares=all_shares,
        top=_top,
        axes=_axes,
        capability=capability,
        method_of=method_of,
        own_html=own_html,
    )


def _add_pictures(environment: Environment, pictures: Pictures, language: Language, link: Link) -> None:
    def chart_url(points: Any, x_label: str, y_label: str) -> str:
        return link(line_chart(points, x_label=x_label, y_label=y_label, comma=language.decimal_comma), SVG)

    environment.globals.update(
        typefaces={name: link(font(file), WOFF2) for name, file in FONTS.items()},
        picture_url=lambda picture: _picture_url(pictures, picture, link),
        chart_url=chart_url,
        confusion=lambda finding: _confusion(pictures, finding),
    )


def _named(section: Section, language: Language) -> str:
    return section.title if section.own is not None else language.text(section.title)


def _sheet(name: str) -> Markup:
    """Return one of our own style sheets as it is; no text of the evidence is in it."""
    return Markup((files("reports") / "css" / name).read_text(encoding="utf-8"))


def _picture_url(pictures: Pictures, picture: Picture, link: Link) -> str:
    return link(pictures.png(picture), PNG)


def _judgements_of(evidence: Evidence, finding: Finding) -> list[Judgement]:
    return [judgement for judgement in evidence.judgements if judgement.finding == finding.id]


def _criterion_of(evidence: Evidence, judgement: Judgement) -> Any:
    return next(criterion for criterion in evidence.criteria if criterion.id == judgement.criterion)


def _confusion(pictures: Pictures, finding: Finding) -> matrix.Confusion | None:
    """Return a finding's confusion matrix, or None if it stored none."""
    artefact: Artefact | None = finding.artefacts.get("confusion matrix")
    if artefact is None:
        return None
    return matrix.confusion(pictures.store.get(artefact), name=f"{finding.id}: confusion matrix")


def _columns(gallery: Gallery) -> int:
    """Return how many pictures stand in a row; the widest row decides."""
    return max((len(row) for row in gallery.rows), default=1)


def _top(counts: dict[str, int]) -> tuple[list[tuple[str, int, float]], int, int]:
    """Return the largest counts, each also relative to the largest, and how many labels and counts are left over.

    No share of all is given: a finding may have counted the most frequent labels only.
    """
    if not counts or min(counts.values()) < 0:
        raise EvidenceError(f"expected counts of at least 0, got {dict(counts)}")
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown, rest = ordered[:LABELS_SHOWN], ordered[LABELS_SHOWN:]
    largest = max(1, ordered[0][1])
    return [(name, count, count / largest) for name, count in shown], len(rest), sum(count for _, count in rest)


def _axes(name: str) -> tuple[str, str]:
    """Return the x and y label of a series "quantity by step".

    >>> _axes("fooling rate on the select split by pass")
    ('pass', 'fooling rate on the select split')
    """
    quantity, _, step = name.rpartition(" by ")
    return (step, quantity) if quantity else ("step", name)
