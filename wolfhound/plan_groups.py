"""The plan's section on fooling by group."""

from typing import Literal

from pydantic import Field, model_validator

from wolfhound.groups import LEAST_IMAGES
from wolfhound.plan_base import Names, Section

Property = Literal["class", "group"]


class GroupsSection(Section):
    """By which property of the images the attacks' rates are compared. Counted from their ledgers alone."""

    by: tuple[Property, ...] = Field(
        ("class",), min_length=1, description="class: the label; group: the group column of the images' CSV file"
    )
    classifiers: Names = "all"
    least: int = Field(LEAST_IMAGES, ge=2, description="images below which a group's rate is suppressed")

    @model_validator(mode="after")
    def _once(self) -> "GroupsSection":
        if len(set(self.by)) != len(self.by):
            raise ValueError("expected every property once")
        return self
