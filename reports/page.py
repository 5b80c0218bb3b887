"""Fills the templates: the one page that becomes both the HTML file and the PDF."""

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from reports import data_files, matrix, wording
from reports.adequacy import convergences, unchecked
from reports.attachments import Attachments
from reports.charts import all_shares, line_chart, strip
from reports.crosswalk import clauses_by_section, map_clauses
from reports.extract import deployer_extract
from reports.pictures import PNG, SVG, WOFF2, Link, Pictures, font
from reports.provenance.envelope import openssl_commands
from reports.register import control_checks, register, unjudged
from reports.sections import Section, capability, sections
from reports.typefaces import FONTS
from reports.verdict_page import subjects_shown, verdict_page
from wolfhound import __version__
from wolfhound.comparison import CHANGES, Comparison
from wolfhound.errors import EvidenceError
from wolfhound.evidence import Artefact, Evidence, Finding, Gallery, Judgement, Picture, RunRecord
from wolfhound.verdicts import SEVERITIES

LABELS_SHOWN = 8


@dataclass(frozen=True)
class Signer:
    """Whose key signs the report, as far as its pages say: they are written before they are signed."""

    name: str
    fingerprint: str
    algorithm: str
    demonstration: bool
    chain: tuple[str, ...] = ()


@dataclass(frozen=True)
class Audit:
    """All that a report is made of. `signer` is None where nobody signs, `comparison` where no audit came before."""

    evidence: Evidence
    run: RunRecord
    attachments: Attachments
    pictures: Pictures
    signer: Signer | None = None
    comparison: Comparison | None = None


def fill(audit: Audit, link: Link, *, screen: bool) -> str:
    """Return the whole page as HTML. `link` makes URLs of bytes; `screen` adds what only a browser needs.

    Raises:
        EvidenceError: a value that the page prints is missing.
        VerificationError: a picture's bytes are not those that were stored.
    """
    environment = _environment(audit, link)
    outline = sections(audit.evidence)
    return environment.get_template("report.html").render(
        **_documents(audit),
        screen=screen,
        sections={section.anchor: section for section in outline},
        outline=outline,
        front=verdict_page(audit.evidence),
        subjects_shown=subjects_shown(len(audit.evidence.criteria)),
        entries=register(audit.evidence),
        unjudged=unjudged(audit.evidence),
        control_checks=control_checks(audit.evidence),
        convergences=convergences(audit.evidence.findings),
        unchecked=unchecked(audit.evidence),
        extract=deployer_extract(audit.evidence),
        **_data(audit.evidence),
    )


def _documents(audit: Audit) -> dict[str, Any]:
    return {
        "evidence": audit.evidence,
        "run": audit.run,
        "attachments": audit.attachments,
        "signer": audit.signer,
        "comparison": audit.comparison,
        "changes_in_order": CHANGES,
        "signature_commands": () if audit.signer is None else openssl_commands(audit.signer.algorithm),
        "evidence_sha256": audit.attachments["evidence.json"].sha256,
        "created": f"{wording.moment(audit.run.finished):%Y-%m-%dT%H:%M:%SZ}",
        "version": __version__,
    }


def _data(evidence: Evidence) -> dict[str, Any]:
    crosswalk = data_files.crosswalk()
    return {
        "crosswalk": crosswalk,
        "mapped": map_clauses(crosswalk, evidence),
        "clauses_by_section": clauses_by_section(crosswalk),
        "reference": data_files.reference_2017(),
        "glossary": data_files.glossary(),
        "standing_limitations": data_files.standing_limitations(),
    }


def _environment(audit: Audit, link: Link) -> Environment:
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=wording.refuse_missing,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = ("rate", "number", "quantity", "threshold", "stated", "sentence", "heading", "short", "anchor", "date")
    environment.filters.update(
        {
            name: getattr(wording, name)
            for name in (*filters, "listed", "counted", "upper_bound", "decimals", "phrase", "gist", "gap")
        }
    )
    environment.filters["strip"] = lambda summary: link(strip(summary.observed, summary.criterion), SVG)
    environment.filters.update(measure=data_files.measure, blocks=matrix.blocks, reference_block=matrix.reference_block)
    environment.filters.update(
        columns=_columns, all_shares=all_shares, overview=matrix.overview, top=_top, axes=_axes, capability=capability
    )
    environment.tests["single_picture"] = lambda gallery: [len(row) for row in gallery.rows] == [1]
    environment.globals.update(
        verdict_words=wording.VERDICT_WORDS,
        severities=SEVERITIES,
        sheet=_sheet,
        typefaces={name: link(font(file), WOFF2) for name, file in FONTS.items()},
        picture_url=lambda picture: _picture_url(audit.pictures, picture, link),
        chart_url=lambda points, x_label, y_label: link(line_chart(points, x_label=x_label, y_label=y_label), SVG),
        confusion=lambda finding: _confusion(audit.pictures, finding),
        judgements_of=lambda finding: _judgements_of(audit.evidence, finding),
        criterion_of=lambda judgement: _criterion_of(audit.evidence, judgement),
        section_of_finding=lambda finding: _section_of(audit.evidence, finding),
    )
    return environment


def _sheet(name: str) -> Markup:
    """Return one of our own style sheets as it is; no text of the evidence is in it."""
    return Markup((files("reports") / "css" / name).read_text(encoding="utf-8"))


def _picture_url(pictures: Pictures, picture: Picture, link: Link) -> str:
    return link(pictures.png(picture), PNG)


def _judgements_of(evidence: Evidence, finding: Finding) -> list[Judgement]:
    return [judgement for judgement in evidence.judgements if judgement.finding == finding.id]


def _criterion_of(evidence: Evidence, judgement: Judgement) -> Any:
    return next(criterion for criterion in evidence.criteria if criterion.id == judgement.criterion)


def _section_of(evidence: Evidence, finding: Finding) -> Section:
    return next(section for section in sections(evidence) if finding in section.findings)


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
