"""Inside the network: first-layer filters, class activation maps with their checks, and the strongest patches.

Nothing here decides anything: these are pictures of what is in a network. So every picture comes with what is known of
its worth, and every score with those of maps that know nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from explainers.base import Maps, Targets
from explainers.checks.baselines import BASELINES
from explainers.checks.comparison import HIGH_IS_GOOD, Comparison, compare
from explainers.checks.randomisation import RandomisationCheck
from explainers.drawing.titles import method_title
from explainers.hooks import find_layer
from flows.audit_job import AuditJob
from flows.batches import batch_size
from flows.explaining import CHECKED_AT_MOST, Key, check_maps, maps_of, scores
from flows.finding_steps import packed_finding
from flows.inside_pictures import filters_gallery, maps_gallery, patches_gallery
from flows.ledgers import csv_bytes
from flows.steps import StepValue
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from wolfhound.classifier import Classifier
from wolfhound.counting import Condition, Counted, holds
from wolfhound.errors import ModelError, fault_list
from wolfhound.evidence import Artefact, Finding, Gallery, Quantity
from wolfhound.images import ImageSet
from wolfhound.plan import DemonstrationClassifier, InsideSection
from wolfhound.progress import Progress, silent
from wolfhound.statistics import Rate

STEPS = 16
"""Steps of deletion and insertion."""

SCORES = "scores per image"


@dataclass(frozen=True)
class InsideEntry:
    """One classifier of one inside section, under a name that is unique in the plan."""

    name: str
    classifier: str
    section: InsideSection


def inside_entries(job: AuditJob) -> tuple[InsideEntry, ...]:
    """Return every classifier that the plan looks into."""
    entries = []
    for index, section in enumerate(job.plan.inside, start=1):
        suffix = f"/{index}" if len(job.plan.inside) > 1 else ""
        entries += [InsideEntry(f"{name}{suffix}", name, section) for name in job.plan.chosen(section.classifiers)]
    return tuple(entries)


def check_layers(job: AuditJob) -> None:
    """Raise unless the named layers exist in every classifier that needs no training to be looked into.

    Raises:
        ModelError: names every layer that is missing.
    """
    trained = {one.name for one in job.plan.classifiers if isinstance(one, DemonstrationClassifier)}
    faults = []
    for entry in inside_entries(job):
        named = [*entry.section.layers, *([entry.section.patches_layer] if entry.section.patches_layer else [])]
        for layer in [] if entry.classifier in trained else named:
            try:
                find_layer(open_classifier(job, entry.classifier).module, layer)
            except ModelError as error:
                faults.append(f"inside, {entry.classifier}: {error}")
    if faults:
        raise ModelError(fault_list(f"{len(faults)} layer(s) of the plan are not there:", faults))


def look_inside(job: AuditJob, entry: InsideEntry, progress: Progress = silent) -> StepValue:
    """Return the finding on one classifier. Done once."""
    classifier, report = open_classifier(job, entry.classifier), open_splits(job).splits.report
    step = job.step(
        f"inside/{entry.name}",
        classifier=classifier.identity,
        report=report.fingerprint,
        section=entry.section.model_dump(mode="json"),
        seed=job.seed("inside", entry.name),
    )

    def work() -> StepValue:
        return packed_finding(_Look(job, entry, classifier.to(job.device), report, progress).finding())

    return step.once(work)


@dataclass(frozen=True, eq=False)
class _Look:
    """One look into one classifier."""

    job: AuditJob
    entry: InsideEntry
    classifier: Classifier
    report: ImageSet
    progress: Progress

    @property
    def seed(self) -> int:
        return self.job.seed("inside", self.entry.name) % 2**31

    def finding(self) -> Finding:
        section, name = self.entry.section, self.entry.classifier
        images = self.report.subset(np.argsort(np.array(self.report.hashes))[: section.measured], name="inside")
        pixels = images.load().to(self.classifier.device, self.classifier.dtype)
        targets = Targets(scores(self.classifier, pixels).argmax(dim=1))
        maps, refused = self._maps(pixels, targets)
        checks = self._checks(pixels, targets, maps)
        compared = self._compared(images, pixels, targets, maps)
        galleries = self._galleries(images, targets, maps, checks)
        return Finding(
            id=f"inside/{self.entry.name}",
            kind="inside",
            subject=name,
            title=f"Inside {name}",
            claim=_claim(name, maps, checks),
            knowledge="none",
            conditions=self._conditions(maps),
            rates=_rates(compared),
            controls=tuple(f"pointing_game {baseline}" for baseline in BASELINES) if _located(compared) else (),
            counted=_counted(compared),
            quantities=_quantities(compared),
            facts=_facts(maps, checks, refused),
            galleries=galleries,
            ledgers=self._ledgers(images, compared, checks),
            reproduce=self.job.command,
        )

    def _maps(self, pixels: Tensor, targets: Targets) -> tuple[dict[Key, Maps], dict[str, str]]:
        """Return the maps by method and layer, and why a method cannot explain this network."""
        found: dict[Key, Maps] = {}
        refused: dict[str, str] = {}
        for method in self.entry.section.methods:
            for layer in self.entry.section.layers or ("",):
                try:
                    found |= maps_of(self.classifier, pixels, targets, [(method, layer)])
                except ModelError as error:
                    refused[f"{method_title(method)}, layer {layer}" if layer else method_title(method)] = str(error)
        return found, refused

    def _checks(
        self, pixels: Tensor, targets: Targets, maps: Mapping[Key, Maps]
    ) -> dict[Key, RandomisationCheck | None]:
        few = slice(CHECKED_AT_MOST)
        subjects = (self.classifier, pixels[few], targets.rows(few))
        return check_maps(*subjects, list(maps), seed=self.seed, progress=self.progress)

    def _compared(
        self, images: ImageSet, pixels: Tensor, targets: Targets, maps: Mapping[Key, Maps]
    ) -> Comparison | None:
        if not maps:
            return None
        masks = None if images.masks is None else images.load_masks()
        # A score of where a map lies needs an object in every image.
        masks = None if masks is None or not bool((masks >= 0.5).flatten(1).any(dim=1).all()) else masks
        return compare(
            self.classifier,
            pixels,
            {_shown(found): found.raw for found in maps.values()},
            targets,
            masks=masks,
            with_road=self.entry.section.road,
            steps=STEPS,
            seed=self.seed,
            batch_size=batch_size(self.job),
            progress=self.progress,
        )

    def _galleries(
        self,
        images: ImageSet,
        targets: Targets,
        maps: Mapping[Key, Maps],
        checks: Mapping[Key, RandomisationCheck | None],
    ) -> tuple[Gallery, ...]:
        section, store = self.entry.section, self.job.store
        galleries = [filters_gallery(store, self.classifier)] if section.filters else []
        if maps:
            verdicts = {key: "passed" if check and check.passed else "not passed" for key, check in checks.items()}
            galleries.append(maps_gallery(store, images, section.images, targets, maps, verdicts))
        layer = section.patches_layer or next((found.layer for found in maps.values() if found.layer), "")
        if section.patches and layer:
            options = {"channels": section.patches, "seed": self.seed, "batch_size": batch_size(self.job)}
            galleries.append(patches_gallery(store, self.classifier, self.report, layer, self.progress, **options))
        return tuple(galleries)

    def _conditions(self, maps: Mapping[Key, Maps]) -> dict[str, str]:
        section = self.entry.section
        layers = list(dict.fromkeys(found.layer or "no layer (the pixels themselves)" for found in maps.values()))
        return {
            "images": f"the first {section.measured} of the report split in the order of their hashes",
            "explained": "the logit of the class that the classifier predicts, image by image",
            "layers": ", ".join(layers) or "no layer",
            "baselines": "the same scores of random maps, of the centre prior and of blurred random maps",
            "sanity check": f"model parameter randomisation (Adebayo et al. 2018), the first {CHECKED_AT_MOST} images",
            "seed": str(self.seed),
        }

    def _ledgers(
        self,
        images: ImageSet,
        compared: Comparison | None,
        checks: Mapping[Key, RandomisationCheck | None],
    ) -> dict[str, Artefact]:
        store, ledgers = self.job.store, {}
        if compared is not None:
            ledgers[SCORES] = store.put(csv_bytes(compared.per_image(images.hashes)), ".csv")
        for key, check in checks.items():
            if check is not None:
                ledgers[f"randomisation of {' '.join(key).strip()}"] = store.put(csv_bytes(check.draws), ".csv")
        return ledgers


def _shown(maps: Maps) -> str:
    return f"{method_title(maps.method)}, {maps.layer}" if maps.layer else method_title(maps.method)


def _claim(name: str, maps: Mapping[Key, Maps], checks: Mapping[Key, RandomisationCheck | None]) -> str:
    if not maps:
        return f"No method of the plan can explain {name}; the reasons are listed below."
    passed = sum(check is not None and check.passed for check in checks.values())
    kinds = f"{passed} of {len(maps)} kinds of maps" if len(maps) > 1 else f"{passed} of 1 kind of map"
    verb = "was" if passed == 1 else "were"
    return (
        f"{kinds} of {name} {verb} shown to depend on what the network learned (randomisation check). "
        "The pictures show correlates, not causes."
    )


def _facts(
    maps: Mapping[Key, Maps], checks: Mapping[Key, RandomisationCheck | None], refused: Mapping[str, str]
) -> dict[str, str]:
    facts = {}
    for key, found in maps.items():
        check = checks.get(key)
        text = "randomisation check impossible: the maps are constant" if check is None else check.text
        caution = f" {found.caution}" if found.caution else ""
        facts[_shown(found)] = f"{text}.{caution}"
    return {**facts, **{method: f"cannot explain this network: {why}" for method, why in refused.items()}}


def _located(compared: Comparison | None) -> bool:
    return compared is not None and "pointing game" in compared.scores


def _rates(compared: Comparison | None) -> dict[str, Rate]:
    """The pointing game is a proportion; everything else is a quantity."""
    if compared is None or not _located(compared):
        return {}
    return {
        f"pointing_game {name}": Rate(int(hits.sum()), len(hits), "measured images")
        for name, hits in compared.scores["pointing game"].items()
    }


def _counted(compared: Comparison | None) -> dict[str, Counted]:
    if compared is None or not _located(compared):
        return {}
    return {
        f"pointing_game {name}": Counted(
            SCORES,
            ((Condition("value", ">", constant="0.5"),),),
            total=(holds("score", "pointing game"), holds("name", name)),
        )
        for name in compared.scores["pointing game"]
    }


def _quantities(compared: Comparison | None) -> dict[str, Quantity]:
    """One row a score and method, with the baselines' scores and the differences in its meaning."""
    if compared is None:
        return {}
    return {
        f"{score}: {method}": _quantity(compared, score, method)
        for score in compared.scores
        for method in compared.methods
        if score != "pointing game"
    }


def _quantity(compared: Comparison, score: str, method: str) -> Quantity:
    found = compared.mean(score, method)
    direction = "high is good" if HIGH_IS_GOOD[score] else "low is good"
    lines = [
        f"{one.baseline} {compared.mean(score, one.baseline).mean:.3f}, difference {one.interval_text}"
        for one in compared.against(score, method)
    ]
    verdict = "better than every baseline" if compared.beats_all(score, method) else "NOT better than every baseline"
    unit = "logits" if "contrast" in score else "share"
    meaning = "; ".join([direction, *lines, verdict])
    return Quantity(found.mean, unit, meaning, found.interval)
