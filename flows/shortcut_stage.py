"""The published wolf/husky experiment as a stage: a shortcut is planted, shown to people, and measured.

It is a demonstration of what a shortcut looks like, and of what LIME and Grad-CAM show of it; the audited networks are
not judged by it.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from explainers.bias.ribeiro import (
    Confounding,
    Display,
    choose_display,
    draw_training,
    judge_images,
    shortcut_classifier,
)
from explainers.bias.verdict import ExcessFlips
from flows.audit_job import AuditJob
from flows.batches import batch_size
from flows.bias_estimated import OFFSETS, sensitivity_text
from flows.finding_steps import packed_finding
from flows.ledgers import csv_bytes
from flows.shortcut_pictures import display_gallery
from flows.shortcut_swaps import Swapped, swap_backgrounds
from flows.steps import StepValue
from flows.subject_classifiers import describe, open_classifier
from wolfhound import demonstration, sources
from wolfhound.classifier import Classifier
from wolfhound.counting import Counted, differs, holds, same
from wolfhound.errors import DataError
from wolfhound.evidence import SHARE, Finding, Gallery, Quantity
from wolfhound.images import ImageSet, check_disjoint
from wolfhound.plan_shortcut import ShortcutSection
from wolfhound.progress import Progress, silent
from wolfhound.statistics import Rate

LEDGER = "per image"
_TEST_SEED = 3_000_003


@dataclass(frozen=True)
class ShortcutEntry:
    """One shortcut section under a name that is unique in the plan."""

    name: str
    section: ShortcutSection


@dataclass(frozen=True, eq=False)
class ShortcutImages:
    """What is trained on and what is tested on, without a common image, and how the two classes are confounded."""

    training: ImageSet
    test: ImageSet
    confounding: Confounding


def shortcut_entries(job: AuditJob) -> tuple[ShortcutEntry, ...]:
    """Return the plan's shortcut sections, named."""
    many = len(job.plan.shortcut) > 1
    return tuple(
        ShortcutEntry(f"shortcut-{index}" if many else "shortcut", section)
        for index, section in enumerate(job.plan.shortcut, start=1)
    )


def open_shortcut_images(job: AuditJob, entry: ShortcutEntry, progress: Progress = silent) -> ShortcutImages:
    """Return the images of a section: few confounded ones to train on, and all others to test on.

    Raises:
        DataError: broken images, classes that are not there, or too few confounded images.
    """
    section, folder = entry.section, job.cache / "images"
    if section.source == "demonstration":
        confounding = Confounding((0, 1), section.usual)
        # Twice as many as are drawn, so that the seed decides which.
        candidates = demonstration.wolf_husky_images(
            folder, count=2 * section.training_images, seed=section.seed, confounding=1.0, progress=progress
        )
        test = demonstration.wolf_husky_images(
            folder, count=section.test_images, seed=section.seed + _TEST_SEED, confounding=0.5, progress=progress
        )
    else:
        candidates = test = _read(section, folder, progress)
        labels = _labels(candidates, section)
        confounding = Confounding(labels, section.usual, stated=candidates.groups is None)
    drawn = draw_training(candidates, confounding, count=section.training_images, seed=section.seed)
    training = candidates.subset(drawn, name=f"{candidates.name}/training")
    kept = [
        position
        for position, content in enumerate(test.hashes)
        if content not in set(training.hashes) and test.labels[position] in confounding.labels
    ]
    test = test.subset(kept, name=f"{test.name}/test")
    check_disjoint(training=training, test=test)
    return ShortcutImages(training, test, confounding)


def _read(section: ShortcutSection, cache: Path, progress: Progress) -> ImageSet:
    assert section.path is not None  # the plan's own validation
    size = (section.size, section.size) if isinstance(section.size, int) else section.size
    fit = sources.Fit("crop", round(min(size) * 256 / 224), "bilinear", True)
    read = sources.read_folder if section.source == "folder" else sources.read_csv
    return read(section.path, cache=cache, size=size, fit=fit, at_least=section.training_images + 2, progress=progress)


def _labels(images: ImageSet, section: ShortcutSection) -> tuple[int, int]:
    missing = [name for name in section.classes if name not in images.class_names]
    if missing:
        raise DataError(
            f"{images.name}: expected the classes {', '.join(missing)}, got {', '.join(images.class_names)}"
        )
    return images.class_names.index(section.classes[0]), images.class_names.index(section.classes[1])


def plant_shortcut(job: AuditJob, entry: ShortcutEntry, progress: Progress = silent) -> StepValue:
    """Return the finding on one planted shortcut. Done once."""
    images, network = open_shortcut_images(job, entry, progress), open_classifier(job, entry.section.network)
    step = job.step(
        f"shortcut/{entry.name}",
        network=network.identity,
        training=images.training.fingerprint,
        test=images.test.fingerprint,
        section=entry.section.model_dump(mode="json"),
    )

    def work() -> StepValue:
        found = _Planted.plant(job, entry, network.to(job.device), images, progress)
        return packed_finding(found.finding(), subject=describe(found.classifier))

    return step.once(work)


@dataclass(frozen=True, eq=False)
class _Planted:
    """One planted shortcut with everything that was measured on it."""

    job: AuditJob
    entry: ShortcutEntry
    images: ShortcutImages
    classifier: Classifier
    residual: float
    ledger: pd.DataFrame
    display: Display
    swapped: Swapped | None
    progress: Progress

    @classmethod
    def plant(
        cls, job: AuditJob, entry: ShortcutEntry, network: Classifier, images: ShortcutImages, progress: Progress
    ) -> "_Planted":
        section, options = entry.section, {"batch_size": batch_size(job)}
        classifier, fit = shortcut_classifier(
            network, images.training, images.confounding, layer=section.layer, strength=section.strength, **options
        )
        classifier = replace(classifier, name=entry.name)
        ledger = judge_images(classifier, images.test, images.confounding, **options)
        display = choose_display(ledger, classifier.class_names, seed=section.seed)
        swapped = swap_backgrounds(job, section, classifier, images.test, images.confounding)
        ledger["shown"] = ["yes" if row in set(display.rows.tolist()) else "no" for row in range(len(ledger))]
        if swapped is not None:
            ledger = ledger.join(swapped.ledger)
        return cls(job, entry, images, classifier, fit.residual, ledger, display, swapped, progress)

    def finding(self) -> Finding:
        store, rates = self.job.store, self._rates()
        ledgers = {LEDGER: store.put(csv_bytes(self.ledger), ".csv")}
        if self.swapped is not None and self.swapped.sensitivity is not None:
            ledgers[OFFSETS] = store.put(csv_bytes(self.swapped.sensitivity.table), ".csv")
        return Finding(
            id=f"bias/{self.entry.name}",
            kind="bias",
            subject=self.entry.name,
            title=f"A planted shortcut: {' or '.join(self.classifier.class_names)} from few images",
            claim=self._claim(rates),
            knowledge="none",
            conditions=self._conditions(),
            rates=rates,
            controls=("flip_rate_placebo",) if "flip_rate_placebo" in rates else (),
            counted=_counted(rates),
            quantities=self._quantities(),
            facts=self._facts(),
            galleries=(self._gallery(),),
            ledgers=ledgers,
            reproduce=self.job.command,
        )

    def _gallery(self) -> Gallery:
        section = self.entry.section
        return display_gallery(
            self.job.store,
            self.classifier,
            self.images.test,
            self.ledger,
            self.display,
            layer=f"network.{section.layer}",
            segmenter=section.segmenter,
            seed=section.seed,
            batch_size=batch_size(self.job),
            progress=self.progress,
        )

    def _rates(self) -> dict[str, Rate]:
        right = (self.ledger["prediction"] == self.ledger["label"]).to_numpy()
        usual = (self.ledger["usual"] == "yes").to_numpy()
        rates = {"accuracy": Rate(int(right.sum()), len(right), "test images")}
        for name, flags in (("usual", usual), ("unusual", ~usual)):
            if flags.any():
                of = f"test images on {name} backgrounds"
                rates[f"accuracy_{name}_background"] = Rate(int(right[flags].sum()), int(flags.sum()), of)
        if self.swapped is not None:
            flips = self.swapped.flips
            rates |= {"flip_rate_other_background": flips.other, "flip_rate_placebo": flips.placebo}
        return rates

    def _claim(self, rates: dict[str, Rate]) -> str:
        shown = self.ledger.iloc[self.display.rows]
        wrong = int((shown["prediction"] != shown["label"]).sum())
        usual = rates.get("accuracy_usual_background")
        text = f"Fitted to {len(self.images.training)} images, each class on its own background, it was right on "
        text += (
            "none of the usual background, as no test image shows it,"
            if usual is None
            else f"{usual.successes} of {usual.total} test images on the usual background"
        )
        unusual = rates.get("accuracy_unusual_background")
        text += (
            "; no test image shows the other background, so these images cannot tell whether it learned the animal or "
            "the background"
            if unusual is None
            else f" and on {unusual.successes} of {unusual.total} on the other one"
        )
        if self.swapped is not None:
            flips = self.swapped.flips
            text += (
                f". With the object fixed, a background of the other class changed {flips.other.successes} of "
                f"{flips.other.total} predictions, another one of the same class {flips.placebo.successes}"
            )
        return f"{text}. Of the ten predictions shown, {wrong} are wrong."

    def _conditions(self) -> dict[str, str]:
        section, stated = self.entry.section, self.images.confounding.stated
        backgrounds = " and ".join(
            f"{name} on {where}" for name, where in zip(self.classifier.class_names, section.usual, strict=True)
        )
        said = ", as the plan states (the images carry no background)" if stated else ""
        return {
            "classifier": self.classifier.architecture,
            "training": f"{len(self.images.training)} images drawn by seed, {backgrounds} in all of them{said}",
            "role": "a shortcut planted on purpose; no network of the plan is judged by it",
            "tested on": f"{len(self.images.test)} other images",
            "fit": f"L2-penalised logistic regression, C = {section.strength:g}, gradient {self.residual:.1e}",
            "source": "Ribeiro, Singh & Guestrin 2016, section 6.4",
            **({} if self.swapped is None else {"intervention": self.swapped.how}),
            "seed": str(section.seed),
        }

    def _facts(self) -> dict[str, str]:
        shown = self.ledger.iloc[self.display.rows]
        facts = {"ten predictions": f"{int((shown['prediction'] != shown['label']).sum())} of {len(shown)} wrong"}
        if not self.display.balanced:
            facts["not the published display"] = f"it needs images that are not there: {self.display.missing}"
        if self.swapped is None:
            facts["no intervention"] = "the images have no object masks, and the plan asks for none to be estimated"
        elif self.swapped.sensitivity is not None:
            facts["masks grown and shrunk"] = sensitivity_text(self.swapped.sensitivity)
        return facts

    def _quantities(self) -> dict[str, Quantity]:
        if self.swapped is None:
            return {}
        return _excess(self.swapped.flips)


def _excess(flips: ExcessFlips) -> dict[str, Quantity]:
    meaning = "flips beyond the placebo's, paired"
    found = {
        "excess flip rate": Quantity(flips.difference, SHARE, meaning, flips.interval),
        "McNemar p": Quantity(flips.p_value, "p-value", "exact, other background against placebo"),
    }
    if flips.detectable is not None:
        meaning = "the smallest excess that this many images find with 80 % power"
        found["minimum detectable excess"] = Quantity(flips.detectable, SHARE, meaning)
    return found


def _counted(rates: dict[str, Rate]) -> dict[str, Counted]:
    right, swapped = ((same("prediction", "label"),),), (holds("swapped", "yes"),)
    rules = {
        "accuracy": Counted(LEDGER, right),
        "accuracy_usual_background": Counted(LEDGER, right, total=(holds("usual", "yes"),)),
        "accuracy_unusual_background": Counted(LEDGER, right, total=(holds("usual", "no"),)),
        "flip_rate_other_background": Counted(LEDGER, ((differs("prediction_other", "prediction"),),), total=swapped),
        "flip_rate_placebo": Counted(LEDGER, ((differs("prediction_same", "prediction"),),), total=swapped),
    }
    return {name: rule for name, rule in rules.items() if name in rates}
