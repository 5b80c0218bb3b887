"""Where to look for shortcuts: clusters of heat maps (SpRAy) and slices with a high error rate, as hypotheses alone.

Nothing here has a rate that a criterion could judge, on purpose: an association has to be put to a test first.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from explainers.base import Maps, Targets, explain_in_batches
from explainers.bias.hypotheses import LABEL, MapClusters, cluster_ledger, map_clusters
from explainers.bias.slices import Slice, SliceSearch, find_slices, image_statistics, in_thirds, show_slice
from explainers.drawing.overlay import overlay, picture
from explainers.registry import explainer
from flows.audit_job import AuditJob
from flows.batches import batch_size
from flows.explaining import scores
from flows.finding_steps import packed_finding
from flows.ledgers import csv_bytes
from flows.pictures import store_picture
from flows.steps import StepValue
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from wolfhound.classifier import Classifier
from wolfhound.evidence import SHARE, Finding, Gallery, Picture, Quantity
from wolfhound.images import ImageSet
from wolfhound.plan_hypotheses import HypothesesSection
from wolfhound.progress import Progress, silent

ATTRIBUTES, CLUSTERS = "attributes per image", "clusters"
SHOWN_SLICES = 3


def hypothesis_names(job: AuditJob) -> tuple[str, ...]:
    """Return the classifiers that hypotheses are raised about."""
    return () if job.plan.hypotheses is None else job.plan.chosen(job.plan.hypotheses.classifiers)


def raise_hypotheses(job: AuditJob, name: str, progress: Progress = silent) -> StepValue:
    """Return the hypotheses on one classifier, as a finding without rates. Done once."""
    section = job.plan.hypotheses
    assert section is not None  # names come from the section
    classifier, report = open_classifier(job, name), open_splits(job).splits.report
    step = job.step(
        f"hypotheses/{name}",
        classifier=classifier.identity,
        report=report.fingerprint,
        section=section.model_dump(mode="json"),
        seed=job.seed("hypotheses", name),
    )

    def work() -> StepValue:
        return packed_finding(_Search.run(job, section, name, classifier.to(job.device), report, progress).finding())

    return step.once(work)


@dataclass(frozen=True, eq=False)
class _Search:
    """What was looked at on one classifier, and what is proposed."""

    job: AuditJob
    section: HypothesesSection
    name: str
    images: ImageSet
    pixels: torch.Tensor
    predicted: NDArray[np.int64]
    attributes: dict[str, list[str]]
    maps: Maps
    clusters: tuple[MapClusters, ...]
    search: SliceSearch
    seed: int

    @classmethod
    def run(
        cls,
        job: AuditJob,
        section: HypothesesSection,
        name: str,
        classifier: Classifier,
        report: ImageSet,
        progress: Progress,
    ) -> "_Search":
        images = report.subset(np.argsort(np.array(report.hashes))[: section.images], name="hypotheses")
        seed, pixels = job.seed("hypotheses", name) % 2**31, images.load()
        placed = pixels.to(classifier.device, classifier.dtype)
        predicted = scores(classifier, placed).argmax(dim=1).cpu()
        wrong, attributes = predicted.numpy() != images.labels, _attributes(images, pixels)
        maps = explain_in_batches(
            explainer(section.method),
            classifier,
            placed,
            Targets(predicted),
            layer=section.layer,
            batch_size=batch_size(job),
            progress=progress,
        )
        within = [classifier.class_names[label] for label in predicted.tolist()]
        clusters = map_clusters(maps.raw, within, wrong, least=section.least, shown=section.shown, seed=seed)
        search = find_slices(attributes, wrong, least=section.least)
        return cls(
            job, section, name, images, pixels, predicted.numpy(), attributes, maps, clusters, search, seed
        )  # fmt: skip

    def finding(self) -> Finding:
        store = self.job.store
        wrong, names = self.predicted != self.images.labels, self.images.class_names
        ledger = {"image": list(self.images.hashes), **self.attributes, "wrong": np.where(wrong, "yes", "no")}
        return Finding(
            id=f"bias/hypotheses/{self.name}",
            kind="bias",
            subject=self.name,
            title=f"Hypotheses about {self.name}, not findings",
            claim=self._claim(),
            knowledge="none",
            conditions={
                "images": f"the first {len(self.images)} of the report split in the order of their hashes",
                "maps": f"{self.maps.method}, layer {self.maps.layer}, of the predicted class, within each of them",
                "slices": (
                    f"class, group where there is one, and thirds of image statistics, alone and two together; "
                    f"{len(self.search.slices)} looked at, {self.search.too_small} of fewer than {self.section.least} "
                    "images (or with so few outside) not; Fisher's exact test, Holm over all of them"
                ),
                "worth": "none as evidence: each hypothesis needs an intervention of its own",
                "seed": str(self.seed),
            },
            rates={},
            quantities={f"slice, {one.name}": _quantity(one) for one in self.search.proposed},
            facts={f"maps, {one.label}": one.text for one in self.clusters},
            galleries=(*self._cluster_galleries(names), *self._slice_galleries(names)),
            ledgers={
                ATTRIBUTES: store.put(csv_bytes(pd.DataFrame(ledger)), ".csv"),
                CLUSTERS: store.put(csv_bytes(cluster_ledger(self.clusters, self.images.hashes)), ".csv"),
            },
            reproduce=self.job.command,
        )

    def _claim(self) -> str:
        parted = [one.label for one in self.clusters if one.clusters.count > 1]
        maps = (
            f"the maps of {len(parted)} of {len(self.clusters)} predicted classes fall into clusters"
            if self.clusters
            else "no predicted class has enough maps to look for clusters"
        )
        slices = len(self.search.proposed)
        return (
            f"A {LABEL}: {maps}; {slices} of {len(self.search.slices)} slices have more errors than the other images. "
            "Neither says what the classifier uses."
        )

    def _cluster_galleries(self, names: tuple[str, ...]) -> list[Gallery]:
        return [
            Gallery(
                f"Maps of {one.label}, by cluster ({LABEL})",
                tuple(self._pairs(rows, f"cluster {k + 1}", names) for k, rows in enumerate(one.representatives)),
                f"of each cluster the {self.section.shown} maps nearest to its mean map",
                one.text,
            )
            for one in self.clusters
            if one.clusters.count > 1
        ]

    def _slice_galleries(self, names: tuple[str, ...]) -> list[Gallery]:
        shown = self.search.proposed[:SHOWN_SLICES]
        if not shown:
            return []
        rule = f"drawn at random from each slice, right or wrong (seed {self.seed})"
        rows = tuple(
            self._pairs(show_slice(one, shown=self.section.shown, seed=self.seed), one.name, names) for one in shown
        )
        return [Gallery(f"Images of the {len(shown)} slices with the smallest p ({LABEL})", rows, rule)]

    def _pairs(self, rows: NDArray[np.int64], what: str, names: tuple[str, ...]) -> tuple[Picture, ...]:
        cells: list[Picture] = []
        for row in rows.tolist():
            label, predicted = names[self.images.labels[row]], names[self.predicted[row]]
            right = "right" if label == predicted else "wrong"
            shown, heat = picture(self.pixels[row]), overlay(self.pixels[row], self.maps.normalised[row].cpu())
            store, method = self.job.store, self.maps.method
            texts = (f"{what}: {label}, {right}", f"An image of {label}, predicted {predicted}; {what}.")
            cells.append(store_picture(store, shown, caption=texts[0], alt=texts[1]))
            cells.append(
                store_picture(store, heat, caption=f"{method}: {predicted}", alt=f"{method} of {predicted} over it.")
            )
        return tuple(cells)


def _attributes(images: ImageSet, pixels: torch.Tensor) -> dict[str, list[str]]:
    found = {"class": [images.class_names[label] for label in images.labels]}
    if images.groups is not None:
        found["group"] = list(images.groups)
    statistics = image_statistics(pixels)
    return found | {str(name): in_thirds(statistics[name].to_numpy()) for name in statistics}


def _quantity(one: Slice) -> Quantity:
    meaning = (
        f"error rate {one.errors.text} against {one.rest.text} elsewhere; Fisher p {one.p_value:.2g}, Holm "
        f"{one.p_holm:.2g}; interval not corrected for the choice; {LABEL}"
    )
    return Quantity(one.difference, SHARE, meaning, one.interval)
