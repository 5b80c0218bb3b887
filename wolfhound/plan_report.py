"""The plan's `report` section: how the report looks and who signs it off, without a line of Python."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from wolfhound.plan_base import Section


class PersonSection(Section):
    """Somebody who reviews or approves the report."""

    name: str = Field(min_length=1, max_length=120)
    role: str = Field("", max_length=120, description="what this person answers for, such as: independent validation")


class LogoSection(Section):
    """The organisation's logo, a PNG or an SVG of shapes."""

    file: Path
    alt: str = Field("", max_length=200, description='what it shows, for who cannot see it; by default "Logo"')


class OwnSection(Section):
    """A chapter of your own: Markdown (.md) or plain text (.txt). It is printed as yours, not as evidence."""

    title: str = Field(min_length=1, max_length=120)
    file: Path


class OwnCrosswalk(Section):
    """A YAML file with further laws or standards, in the form of reports/data/crosswalk.yaml."""

    file: Path


class ReportSection(Section):
    """What a report shows beside the evidence. Files are read when the audit starts and stored with the run."""

    language: Literal["en", "de"] = Field("en", description="of the fixed texts; evidence stays as it was recorded")
    logo: LogoSection | None = None
    reviewers: tuple[PersonSection, ...] = Field((), max_length=6)
    approver: PersonSection | None = None
    sections: tuple[OwnSection, ...] = Field((), max_length=12)
    crosswalk: OwnCrosswalk | None = None

    @model_validator(mode="after")
    def _known_formats(self) -> "ReportSection":
        for section in self.sections:
            if section.file.suffix.lower() not in (".md", ".txt"):
                raise ValueError(f"expected a section's file to end in .md or .txt, got {section.file.name!r}")
        if self.logo is not None and self.logo.file.suffix.lower() not in (".png", ".svg"):
            raise ValueError(f"expected a logo that ends in .png or .svg, got {self.logo.file.name!r}")
        return self
