"""The bias sections of a plan: what is changed, of which images, and which classifiers are asked. Knows no torch."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from wolfhound.plan_base import Names, Section, Share

Confounding = Annotated[float, Field(ge=0.5, le=1)]
Among = Literal["all", "labels"]


class DemonstrationBias(Section):
    """The wolf/husky probe: classifiers trained on confounded sets and one on a balanced set, backgrounds swapped.

    They are the controls of the audit itself: a planted shortcut must be caught, a balanced classifier must pass.
    """

    source: Literal["demonstration"]
    architecture: Literal["vgg_f", "caffenet", "googlenet", "vgg16", "vgg19", "resnet152"] = "vgg_f"
    training_images: int = Field(1000, ge=50)
    probe_images: int = Field(200, ge=20)
    confounding: Confounding | tuple[Confounding, ...] = Field(
        1.0,
        description="share of wolves on snow and huskies on grass in training; several make a study",
    )
    shown: int = Field(4, ge=1, le=12, description="images shown at most, as many of each class")
    crossed: int = Field(16, ge=0, description="objects and plates of the crossed design, 0 for none")
    seed: int = Field(1, ge=0)

    @property
    def shares(self) -> tuple[float, ...]:
        """The confounded shares, each with a classifier of its own; the balanced one comes besides."""
        given = self.confounding if isinstance(self.confounding, tuple) else (self.confounding,)
        return tuple(share for share in given if share > 0.5)

    @model_validator(mode="after")
    def _something_is_planted(self) -> "DemonstrationBias":
        given = self.confounding if isinstance(self.confounding, tuple) else (self.confounding,)
        if len(set(given)) != len(given) or not given:
            raise ValueError(f"expected every share of confounding once, got {list(given)}")
        if 1.0 not in given:
            raise ValueError(
                f"expected 1.0 among the shares of confounding, got {list(given)} (a network that saw no "
                "counter-example is the control that must be caught; write [0.8, 1.0] for a study)"
            )
        return self


class MaskBias(Section):
    """Backgrounds and objects swapped in the audited images themselves, by masks, boxes or estimated masks."""

    source: Literal["masks"]
    classifiers: Names = "all"
    boxes: Path | None = Field(
        None, description="a CSV file with the columns path, x0, y0, x1, y1 (pixels of the picture); else the masks"
    )
    estimate: Literal["grabcut"] | None = Field(
        None,
        description="masks estimated by GrabCut (extra grabcut): of what lies in the boxes, or in a centred rectangle "
        "where there are none; the result is measured again with the masks grown and shrunk",
    )
    kinds: Literal["classes", "groups"] = Field(
        "classes", description="what kind of background a picture has: that of its class, or what its group says"
    )
    usual: dict[str, str] = Field({}, description="class -> the kind it is usually seen on, where kinds are groups")
    classes: Literal["all"] | tuple[str, ...] = Field(
        "all", description="the classes asked about; all: every class with enough images and plates"
    )
    plates: Literal["inpainted", "mirrored"] | Path = Field(
        "mirrored",
        description="mirrored: the largest object-free strip of each picture, mirrored over the whole; inpainted: the "
        "object painted over smoothly; or a folder with one folder of object-free pictures a kind",
    )
    decide_among: Among = Field("all", description="all classes, or only those asked about (labels)")
    images: int | None = Field(None, ge=20, description="at most so many of the report split")
    tolerated_control_flips: Share = Field(
        0.10, lt=1, description="a control flips no more than this, or is no control"
    )
    crossed: int = Field(16, ge=0, description="objects and plates of the crossed design, 0 for none")
    shown: int = Field(4, ge=1, le=12, description="images shown at most, as many of each class")

    @model_validator(mode="after")
    def _usual_belongs_to_groups(self) -> "MaskBias":
        if (self.kinds == "groups") != bool(self.usual):
            raise ValueError("expected usual backgrounds exactly where kinds are groups (class: kind)")
        if self.usual and len(set(self.usual.values())) < 2:
            raise ValueError(
                f"expected two kinds of background or more as usual, got {sorted(set(self.usual.values()))}"
            )
        if self.classes != "all" and len(set(self.classes)) < 2:
            raise ValueError(f"expected two different classes or more, got {list(self.classes)}")
        return self


class AttributeBias(Section):
    """Accuracy by attributes that the user states of the images. A correlate: nothing is changed."""

    source: Literal["attributes"]
    classifiers: Names = "all"
    columns: tuple[str, ...] = Field(
        min_length=1, description='columns of the table, or "group": that of the image set'
    )
    table: Path | None = Field(None, description="a CSV file with the column path and the columns named; by path")
    least_group: int = Field(10, ge=2, description="a group of fewer images is suppressed")


class InterventionSection(Section):
    """One change of whole images: a built-in one with settings, or a function of yours."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,40}$")]
    options: dict[str, float] = Field({}, description="settings of a built-in one")
    file: Path | None = Field(None, description="a Python file of yours")
    function: str | None = Field(None, description="what to call in it: pixels [B,3,H,W] in [0,1] -> the same")

    @model_validator(mode="after")
    def _file_has_function(self) -> "InterventionSection":
        if (self.file is None) != (self.function is None):
            raise ValueError("expected file and function together")
        if self.file is not None and self.options:
            raise ValueError("options belong to built-in interventions; a function of yours has none")
        return self


class InterventionBias(Section):
    """Named changes of whole images against placebos of the same norm, for images without masks."""

    source: Literal["interventions"]
    classifiers: Names = "all"
    interventions: tuple[InterventionSection | str, ...] = Field(
        ("tint", "blur", "border_ring", "low_pass", "tile_shuffle"), min_length=1
    )
    decide_among: Among = Field("all", description="all classes, or only the classes of the images (labels)")
    images: int | None = Field(None, ge=20, description="at most so many of the report split")
    tolerated_control_flips: Share = Field(0.10, lt=1, description="a placebo flips no more than this")
    shown: int = Field(2, ge=0, le=12, description="images shown at most of each change, as many of each class")

    @property
    def sections(self) -> tuple[InterventionSection, ...]:
        """Every intervention with its settings."""
        return tuple(InterventionSection(name=one) if isinstance(one, str) else one for one in self.interventions)

    @model_validator(mode="after")
    def _names_differ(self) -> "InterventionBias":
        names = [one.name for one in self.sections]
        if clashing := [name for name in names if f"{name}_placebo" in names or name == "clean"]:
            raise ValueError(f"expected other names than {clashing}: columns of the ledger are called so")
        if len(set(names)) != len(names):
            raise ValueError(f"expected a name of its own for every intervention, got {names}")
        return self


class NuisanceBias(Section):
    """Could the labels be guessed from mean colour and border alone? Of the images; no classifier is asked."""

    source: Literal["nuisance"]
    folds: int = Field(5, ge=2, le=20)


BiasSection = Annotated[
    DemonstrationBias | MaskBias | AttributeBias | InterventionBias | NuisanceBias, Field(discriminator="source")
]
