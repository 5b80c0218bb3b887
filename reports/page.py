"""Fills the templates: the one page that becomes both the HTML file and the PDF."""

from dataclasses import dataclass
from typing import Any

from reports import data_files, wording
from reports.adequacy import convergences, unchecked
from reports.attachments import Attachments
from reports.crosswalk import clauses_by_section, map_clauses, with_own
from reports.extract import deployer_extract
from reports.language import Language, language
from reports.pictures import Link, Pictures
from reports.presentation import PLAIN, Presentation
from reports.provenance.envelope import openssl_commands
from reports.register import control_checks, register, unjudged
from reports.sections import sections
from reports.templating import page_environment
from reports.verdict_page import subjects_shown, verdict_page
from wolfhound import __version__
from wolfhound.comparison import CHANGES, Comparison
from wolfhound.evidence import Evidence, RunRecord


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
    presentation: Presentation = PLAIN

    @property
    def language(self) -> Language:
        """The language of the fixed texts."""
        return language(self.presentation.language)


def fill(audit: Audit, link: Link, *, screen: bool) -> str:
    """Return the whole page as HTML. `link` makes URLs of bytes; `screen` adds what only a browser needs.

    Raises:
        EvidenceError: a value that the page prints is missing.
        VerificationError: a picture's bytes are not those that were stored.
    """
    outline = sections(audit.evidence, audit.presentation.sections)
    environment = page_environment(audit.evidence, audit.pictures, audit.language, link)
    logo = audit.presentation.logo
    return environment.get_template("report.html").render(
        **_documents(audit),
        logo_url="" if logo is None else link(logo.bytes, logo.media_type),
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
        **_data(audit),
    )


def _documents(audit: Audit) -> dict[str, Any]:
    return {
        "evidence": audit.evidence,
        "run": audit.run,
        "attachments": audit.attachments,
        "signer": audit.signer,
        "comparison": audit.comparison,
        "presentation": audit.presentation,
        "changes_in_order": CHANGES,
        "signature_commands": () if audit.signer is None else openssl_commands(audit.signer.algorithm),
        "evidence_sha256": audit.attachments["evidence.json"].sha256,
        "created": f"{wording.moment(audit.run.finished):%Y-%m-%dT%H:%M:%SZ}",
        "version": __version__,
    }


def _data(audit: Audit) -> dict[str, Any]:
    own = audit.presentation.crosswalk
    crosswalk = with_own(data_files.crosswalk(), own)
    compared, reviewed = audit.comparison is not None, bool(audit.presentation.reviewers)
    return {
        "crosswalk": crosswalk,
        "own_frameworks": () if own is None else own.frameworks,
        "mapped": map_clauses(crosswalk, audit.evidence, compared=compared, reviewed=reviewed),
        "clauses_by_section": clauses_by_section(crosswalk),
        "reference": data_files.reference_2017(),
        "glossary": data_files.glossary(),
        "standing_limitations": data_files.standing_limitations(),
    }
