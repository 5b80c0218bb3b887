"""The sections of a plan that attack, and the one that only disturbs."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from wolfhound.plan_base import Fraction, Name, Names, Options, Section

Tier = Literal["quick", "nightly", "certification"]
Epsilon = Annotated[Fraction, Field(gt=0)]
Severity = Annotated[int, Field(ge=1, le=5)]


class ThreatSection(Section):
    """How far the attacker may change a pixel, on the [0, 1] scale; for a patch, the share of the area it may cover."""

    norm: Literal["linf", "l2", "patch"] = "linf"
    epsilon: Epsilon
    place: Literal["centre", "top left", "top right", "bottom left", "bottom right"] = Field(
        "centre", description="where a patch lies"
    )

    @model_validator(mode="after")
    def _scale(self) -> "ThreatSection":
        if self.norm != "l2" and self.epsilon > 1:
            hint = f" (did you mean {self.epsilon:g}/255?)" if self.norm == "linf" else " (a share of the area)"
            raise ValueError(f"expected epsilon in (0, 1], got {self.epsilon:g}{hint}")
        if self.norm != "patch" and self.place != "centre":
            raise ValueError(f"expected a place for a patch only, got {self.place!r} for {self.norm}")
        return self


class UniversalSection(Section):
    """One universal attack: crafted on each source, and on each ensemble together, evaluated on each target."""

    attack: str
    tier: Tier | None = Field(None, description="how thoroughly; options given here go before those of the tier")
    options: Options = Field(default_factory=dict)
    threat: ThreatSection
    target: str | None = Field(None, description="a class name: push images to it instead of away from their own")
    sources: Names = "all"
    ensembles: dict[Name, tuple[str, ...]] = Field(
        {}, description="name -> classifiers that one perturbation is crafted on together, for the strongest transfer"
    )
    targets: Names = "all"
    seeds: int = Field(1, ge=1, le=20, description="runs with different seeds; the best on the select split is judged")
    epsilons: tuple[Epsilon, ...] = Field((), description="rising; the rate of the same perturbation, scaled to each")

    @model_validator(mode="after")
    def _consistent(self) -> "UniversalSection":
        rising = list(self.epsilons) == sorted(set(self.epsilons))
        if not rising or (self.epsilons and self.epsilons[-1] > self.threat.epsilon * (1 + 1e-9)):
            raise ValueError(
                f"expected rising epsilons of at most {self.threat.epsilon:g}, the threat's, got {list(self.epsilons)}"
            )
        if self.epsilons and self.threat.norm == "patch":
            raise ValueError("expected no epsilons for a patch: its strength is not bounded, so it cannot be scaled")
        small = [name for name, members in self.ensembles.items() if len(set(members)) < 2]
        if small:
            raise ValueError(f"expected at least two different classifiers in an ensemble, got fewer in {small}")
        return self


class ReplayFile(Section):
    """A perturbation in a file."""

    name: Name
    path: Path


class ReplaySection(Section):
    """Published or earlier perturbations, fired at classifiers without any gradient."""

    files: tuple[ReplayFile, ...] = Field(min_length=1, description="perturbations: .npy, .pt, .safetensors or .mat")
    layout: Literal["auto", "CHW", "HWC", "WHC"] = "auto"
    scale: Literal["auto", "unit", "levels"] = Field("auto", description="unit: [0, 1]; levels: 0..255")
    channels: Literal["RGB", "BGR"] = "RGB"
    threat: ThreatSection
    targets: Names = "all"

    @model_validator(mode="after")
    def _named_once(self) -> "ReplaySection":
        names = [file.name for file in self.files]
        if len(set(names)) < len(names):
            raise ValueError(f"expected a name of its own for each file, got {names}")
        return self


class TargetedSection(Section):
    """Targeted fooling: push images to a class that the network does not see in them."""

    attack: str = "targeted_ascent"
    options: Options = Field(default_factory=dict)
    threat: ThreatSection
    classifiers: Names = "all"
    images: int = Field(64, gt=0, description="how many images are attacked")
    start: Literal["images", "noise", "blank"] = Field(
        "images", description="held-out images, uniform noise, or blank grey"
    )
    target: Literal["random", "least likely", "second best", "every"] | int | str = Field(
        "random",
        description="random: any other class; least likely; second best; every: each image to each other class; "
        "or a class by its name or index",
    )
    shown: int = Field(4, ge=1, le=12, description="how many are shown in the report")


class RobustSection(Section):
    """Per-image attacks that leave a class: one attack, or an ensemble of which the worst counts image by image."""

    attack: str | None = Field(None, description="an attack by name; one of attack and ensemble")
    ensemble: Tier | None = Field(
        None, description="certification: the standard ensemble of Croce & Hein (2020); quick and nightly do less"
    )
    options: Options = Field(default_factory=dict)
    threat: ThreatSection
    classifiers: Names = "all"
    surrogate: str | None = Field(None, description="the attack is crafted on this classifier and transferred")
    images: int = Field(200, gt=0, description="how many held-out images are attacked")
    curve: bool = Field(False, description="also the accuracy at every epsilon, until it reaches zero")
    checked: int = Field(64, ge=0, description="images on which the attack is doubted: twice the iterations, linf 0.5")
    shown: int = Field(4, ge=1, le=12, description="how many are shown in the report")

    @model_validator(mode="after")
    def _one_kind(self) -> "RobustSection":
        if (self.attack is None) == (self.ensemble is None):
            raise ValueError("expected exactly one of attack and ensemble")
        if self.ensemble is not None and (self.options or self.surrogate or self.curve):
            raise ValueError("expected no options, surrogate or curve beside an ensemble: its attacks are fixed")
        if self.threat.norm == "patch":
            raise ValueError("expected linf or l2: patches are universal (use the universal section)")
        return self


class ReferenceErrors(Section):
    """Another classifier's mean error under each corruption, for an error relative to it."""

    name: str = Field(min_length=1, description="whose errors these are, and on which images")
    errors: dict[str, Annotated[Fraction, Field(gt=0, le=1)]] = Field(
        description="corruption -> mean error over the five severities"
    )


class NaturalSection(Section):
    """Natural robustness: accuracy under common corruptions. Nobody attacks."""

    classifiers: Names = "all"
    corruptions: Names = Field("all", description="all, or names such as gaussian_noise, motion_blur, fog")
    severities: tuple[Severity, ...] = Field((1, 2, 3, 4, 5), min_length=1)
    images: int | None = Field(None, gt=0, description="how many held-out images are corrupted; by default all")
    reference: ReferenceErrors | None = Field(None, description="errors to state a relative corruption error against")

    @model_validator(mode="after")
    def _severities(self) -> "NaturalSection":
        if list(self.severities) != sorted(set(self.severities)):
            raise ValueError(f"expected rising severities, each once, got {list(self.severities)}")
        if self.reference is not None and len(self.severities) < 5:
            raise ValueError("expected all five severities beside reference errors, which are means over the five")
        return self


class ProbeSection(Section):
    """A probe of an installed plug-in: a function that changes the held-out images. Nobody attacks."""

    plugin: Name = Field(description="the name of its entry point in the group wolfhound.probes")
    options: Options = Field(default_factory=dict)
    classifiers: Names = "all"
