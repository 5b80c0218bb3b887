"""The audit plan: what to audit, with what, and which thresholds were fixed beforehand. Knows no torch.

Numbers that people write as fractions may be written so: `epsilon: 10/255`, `at_most: 30 %`.
"""

import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from wolfhound.plan_attacks import (
    NaturalSection,
    ProbeSection,
    ReplaySection,
    RobustSection,
    TargetedSection,
    ThreatSection,
    UniversalSection,
)
from wolfhound.plan_base import Name, Names, Section, Share, parse_fraction
from wolfhound.plan_bias import BiasSection, DemonstrationBias, NuisanceBias
from wolfhound.plan_classifiers import (
    DemonstrationClassifier,
    FactoryClassifier,
    Subject,
    TorchvisionClassifier,
)
from wolfhound.plan_groups import GroupsSection
from wolfhound.plan_hypotheses import HypothesesSection
from wolfhound.plan_images import CsvImages, DemonstrationImages, FitSection, FolderImages, Images, TorchvisionImages
from wolfhound.plan_report import ReportSection
from wolfhound.plan_shortcut import ShortcutSection

__all__ = [
    "PLAN_FORMAT",
    "AuditPlan",
    "CsvImages",
    "DemonstrationBias",
    "DemonstrationClassifier",
    "DemonstrationImages",
    "FactoryClassifier",
    "FitSection",
    "FolderImages",
    "NaturalSection",
    "ProbeSection",
    "ReplaySection",
    "ReportSection",
    "RobustSection",
    "TargetedSection",
    "ThreatSection",
    "TorchvisionClassifier",
    "TorchvisionImages",
    "UniversalSection",
    "parse_fraction",
]

PLAN_FORMAT = 1


class SplitSection(Section):
    """How many images craft the perturbations, choose the checkpoint, and report the numbers. Disjoint by content."""

    craft: int = Field(gt=0)
    select: int = Field(gt=0)
    report: int = Field(gt=0)


class InsideSection(Section):
    """What can be seen inside the classifiers: filters, class activation maps with their checks, strongest patches."""

    classifiers: Names = "all"
    filters: bool = Field(True, description="whether the first layer's filters are shown")
    methods: tuple[str, ...] = Field(("gradcam", "layercam"), min_length=1, max_length=6)
    layers: tuple[str, ...] = Field((), description="dotted names; each method's default where none is named")
    images: int = Field(4, ge=1, le=12, description="how many held-out images are shown with their maps")
    measured: int = Field(24, ge=8, description="how many held-out images the maps are measured on")
    road: bool = Field(False, description="whether ROAD is measured too; it takes longer than all the rest")
    patches: int = Field(4, ge=0, le=12, description="how many channels are shown with their strongest patches")
    patches_layer: str | None = Field(None, description="dotted name; the first method's layer by default")

    @model_validator(mode="after")
    def _shown_are_measured(self) -> "InsideSection":
        if self.images > self.measured:
            raise ValueError(f"expected at most as many images shown as measured, got {self.images} of {self.measured}")
        if len(set(self.methods)) != len(self.methods) or len(set(self.layers)) != len(self.layers):
            raise ValueError("expected every method and every layer once")
        return self


class CriterionSection(Section):
    """A threshold fixed before the run. The gate is closed if one is not met."""

    id: Name
    text: str = Field(min_length=1)
    rate: str = Field(pattern=r"^(clean|universal|transfer|robust|targeted|natural|bias)\.[a-z][a-z0-9_]*$")
    subjects: str = Field("*", description="names of classifiers, as a shell pattern")
    at_most: Share | None = None
    at_least: Share | None = None
    clauses: tuple[str, ...] = Field((), description="clauses of a regulation that the criterion speaks to")

    @model_validator(mode="after")
    def _one_bound(self) -> "CriterionSection":
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError("expected exactly one of at_most and at_least")
        return self


class PreflightSection(Section):
    """What is looked for before a run stops it, unless it is accepted here."""

    accept: tuple[str, ...] = Field(
        (), description="codes of faults that are meant (docs/preflight.md); the report names them as limitations"
    )


class AuditPlan(Section):
    """A whole audit."""

    wolfhound: Literal[1] = Field(description="version of the plan format")
    name: Name
    purpose: str = Field(min_length=1, description="what the classifiers are for, in the words of who answers for them")
    organisation: str = ""
    responsible: str = ""
    seed: int = Field(0, ge=0, lt=2**63)
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    batch_size: PositiveInt | Literal["auto"] = Field(
        64, description="images that go through a network at once; auto: as many as fit. It changes no result"
    )
    mixed_precision: bool = Field(
        False,
        description="take gradients in 16 bits where a sample is predicted the same; judged is always in 32 bits",
    )
    preflight: PreflightSection = PreflightSection()
    output: Path | None = Field(None, description="run folder; by default runs/NAME beside where you call wolfhound")
    cache: Path | None = Field(None, description="folder for decoded images and trained demonstration classifiers")
    compare_with: str | None = Field(
        None, description='the run folder of an earlier audit, or "approved": the one in approved.json beside the runs'
    )
    images: Images
    splits: SplitSection
    classifiers: tuple[Subject, ...] = Field(min_length=1)
    universal: tuple[UniversalSection, ...] = ()
    replay: tuple[ReplaySection, ...] = ()
    robust: tuple[RobustSection, ...] = ()
    targeted: tuple[TargetedSection, ...] = ()
    natural: tuple[NaturalSection, ...] = ()
    probes: tuple[ProbeSection, ...] = ()
    bias: tuple[BiasSection, ...] = ()
    shortcut: tuple[ShortcutSection, ...] = ()
    groups: GroupsSection | None = Field(None, description="fooling by group; without it no rate is cut by group")
    hypotheses: HypothesesSection | None = Field(None, description="where to look for shortcuts; proposes, never finds")
    inside: tuple[InsideSection, ...] = ()
    criteria: tuple[CriterionSection, ...] = ()
    fixed_on: datetime.date | None = Field(None, description="the day on which the criteria were fixed")
    report: ReportSection = ReportSection()

    @property
    def classifier_names(self) -> tuple[str, ...]:
        """Names of the audited classifiers, in the plan's order."""
        return tuple(classifier.name for classifier in self.classifiers)

    @property
    def sections(self) -> dict[str, int]:
        """How many sections of each kind say what is measured; kinds without one are left out."""
        attacks = {"universal": self.universal, "replay": self.replay, "robust": self.robust, "targeted": self.targeted}
        further = {"natural": self.natural, "probes": self.probes, "bias": self.bias, "shortcut": self.shortcut}
        counts = {kind: len(sections) for kind, sections in {**attacks, **further}.items()}
        counts |= {"groups": int(self.groups is not None), "hypotheses": int(self.hypotheses is not None)}
        return {kind: count for kind, count in {**counts, "inside": len(self.inside)}.items() if count}

    def chosen(self, names: Names) -> tuple[str, ...]:
        """Return the classifiers that `names` stands for, in the plan's order."""
        return self.classifier_names if names == "all" else tuple(n for n in self.classifier_names if n in names)

    @model_validator(mode="after")
    def _consistent(self) -> "AuditPlan":
        faults = [*_duplicates("classifier", self.classifier_names)]
        faults += _duplicates("criterion", tuple(criterion.id for criterion in self.criteria))
        for place, names in _references(self):
            unknown = [name for name in names if name not in self.classifier_names]
            faults += [f"{place} names {name!r}, which is none of {list(self.classifier_names)}" for name in unknown]
        if self.images.source != "demonstration" and any(c.source == "demonstration" for c in self.classifiers):
            faults.append("demonstration classifiers know only the demonstration images")
        if self.images.source == "demonstration" and sum(dict(self.splits).values()) >= self.images.count:
            faults.append(f"the splits leave none of the {self.images.count} demonstration images to train on")
        faults += _too_many_images(self)
        faults += [
            f"inside[{index}].measured is {section.measured}, but the report split has {self.splits.report} images"
            for index, section in enumerate(self.inside)
            if section.measured > self.splits.report
        ]
        if faults:
            raise ValueError("; ".join(faults))
        return self


def _duplicates(what: str, names: tuple[str, ...]) -> list[str]:
    return [f"{what} {name!r} is there twice" for name in sorted({n for n in names if names.count(n) > 1})]


def _too_many_images(plan: AuditPlan) -> list[str]:
    asked = [(f"robust[{i}]", section.images) for i, section in enumerate(plan.robust)]
    asked += [
        (f"targeted[{i}]", section.images) for i, section in enumerate(plan.targeted) if section.start == "images"
    ]
    asked += [(f"natural[{i}]", section.images or 0) for i, section in enumerate(plan.natural)]
    asked += [("hypotheses", plan.hypotheses.images)] if plan.hypotheses is not None else []
    held_out = plan.splits.report
    return [
        f"{place}.images asks for {count} images; the report split has {held_out}"
        for place, count in asked
        if count > held_out
    ]


def _references(plan: AuditPlan) -> list[tuple[str, tuple[str, ...]]]:
    places: list[tuple[str, Names]] = []
    for index, section in enumerate(plan.universal):
        places += [(f"universal[{index}].sources", section.sources), (f"universal[{index}].targets", section.targets)]
        places += [(f"universal[{index}].ensembles.{name}", members) for name, members in section.ensembles.items()]
    places += [(f"replay[{index}].targets", s.targets) for index, s in enumerate(plan.replay)]
    places += [(f"targeted[{index}].classifiers", s.classifiers) for index, s in enumerate(plan.targeted)]
    places += [(f"robust[{index}].classifiers", s.classifiers) for index, s in enumerate(plan.robust)]
    places += [(f"robust[{index}].surrogate", (s.surrogate,)) for index, s in enumerate(plan.robust) if s.surrogate]
    places += [(f"natural[{index}].classifiers", s.classifiers) for index, s in enumerate(plan.natural)]
    places += [(f"probes[{index}].classifiers", s.classifiers) for index, s in enumerate(plan.probes)]
    places += [
        (f"bias[{index}].classifiers", s.classifiers)
        for index, s in enumerate(plan.bias)
        if not isinstance(s, DemonstrationBias | NuisanceBias)
    ]
    places += [(f"shortcut[{index}].network", (section.network,)) for index, section in enumerate(plan.shortcut)]
    places += [("groups.classifiers", plan.groups.classifiers)] if plan.groups is not None else []
    places += [("hypotheses.classifiers", plan.hypotheses.classifiers)] if plan.hypotheses is not None else []
    places += [(f"inside[{index}].classifiers", section.classifiers) for index, section in enumerate(plan.inside)]
    return [(place, names) for place, names in places if not isinstance(names, str)]
