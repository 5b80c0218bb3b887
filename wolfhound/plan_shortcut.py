"""The plan's section on the published wolf/husky experiment: a classifier that is made to learn the background."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from wolfhound.plan_base import Name, Section, Size


class ShortcutSection(Section):
    """A logistic regression on features of a network, from few, fully confounded images (Ribeiro et al. 2016, 6.4)."""

    source: Literal["demonstration", "folder", "csv"] = Field(
        description="demonstration: generated wolves and huskies; folder: one folder of photographs per class; csv: a "
        "CSV file with path and label, and where they exist group (the background) and mask"
    )
    path: Path | None = Field(None, description="the folder or the CSV file")
    size: Size = 224
    network: Name = Field(description="the classifier of the plan whose features are used")
    layer: str = Field(min_length=1, description="dotted name; the paper takes the first max-pooling layer")
    classes: tuple[str, str] = Field(("wolf", "husky"), description="the two classes, by name")
    usual: tuple[str, str] = Field(
        ("snow", "grass"),
        description="the background that each is seen on in training; in a folder, what all images of a class show",
    )
    training_images: int = Field(20, ge=4, multiple_of=2)
    test_images: int = Field(200, ge=20, description="of the demonstration; otherwise all that training leaves")
    strength: float = Field(1.0, gt=0, description="of the fit against its L2 penalty (C of scikit-learn)")
    masks: Literal["given", "grabcut"] | None = Field(
        None,
        description="where object masks for the background swap come from: given in the CSV file, or estimated by "
        "GrabCut (extra grabcut); none: no swap. The demonstration has its own",
    )
    segmenter: Literal["grid", "slic", "quickshift"] = Field("grid", description="LIME's; the others need extra lime")
    seed: int = Field(1, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> "ShortcutSection":
        faults = []
        if (self.path is None) != (self.source == "demonstration"):
            faults.append("a folder or a CSV file needs its path, the demonstration has none")
        if self.masks == "given" and self.source != "csv":
            faults.append("masks are given in a CSV file alone")
        if self.source == "demonstration" and (self.classes, self.usual) != (("wolf", "husky"), ("snow", "grass")):
            faults.append("the demonstration has wolves on snow and huskies on grass alone")
        if len(set(self.classes)) == 1 or len(set(self.usual)) == 1:
            faults.append("expected two different classes and two different backgrounds")
        if faults:
            raise ValueError("; ".join(faults))
        return self
