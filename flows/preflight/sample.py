"""What the checks look at: the plan, the opened images, and each network beside a few dozen labelled images."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from flows.audit_job import AuditJob
from flows.subject_classifiers import open_classifier
from flows.subject_images import OpenedImages, open_splits
from wolfhound.classifier import Classifier, Preprocessing, frozen
from wolfhound.images import ImageSet
from wolfhound.plan import DemonstrationClassifier

FEW, SOME, MANY = 32, 64, 128
"""Images of the small sample, by what a network costs. No clock decides, so that the same audit says the same."""

WIDER = 3
"""How many times as many images are classified once for what needs labels."""

_CHEAP, _DEAR = 2e8, 4e9  # floating-point operations of one forward pass


@dataclass(frozen=True, eq=False)
class Sample:
    """One network and labelled images of the select and craft splits, never of the report split.

    Attributes:
        pixels: the small sample on the network's device, `[B,3,H,W]` in [0, 1].
        labels: its labels, int64 `[B]`.
        wider: the images that are classified once.
    """

    classifier: Classifier
    pixels: Tensor
    labels: Tensor
    wider: ImageSet

    @property
    def name(self) -> str:
        """The classifier's name in the plan."""
        return self.classifier.name

    @cached_property
    def predicted(self) -> Tensor:
        """What the network says of the wider sample, int64 `[N]`, on the CPU."""
        with frozen(self.classifier.module), torch.no_grad():
            parts = [self.classifier.logits(self._placed(batch)).argmax(dim=1).cpu() for _, batch in self._batches()]
        return torch.cat(parts)

    @property
    def wanted(self) -> Tensor:
        """The labels of the wider sample, int64 `[N]`."""
        return torch.from_numpy(self.wider.labels)

    def right(self, preprocessing: Preprocessing, *, pixels: Tensor | None = None) -> Tensor:
        """Return on which images of the small sample the network is right with another preprocessing, bool `[B]`.

        `pixels`: other versions of the same images.
        """
        shown = self.pixels if pixels is None else pixels
        with frozen(self.classifier.module), torch.no_grad():
            right: Tensor = self.classifier.module(preprocessing.apply(shown)).argmax(dim=1) == self.labels
        return right

    def _batches(self) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
        return self.wider.batches(len(self.pixels))

    def _placed(self, pixels: Tensor) -> Tensor:
        return pixels.to(self.classifier.device, self.classifier.dtype)


@dataclass(frozen=True, eq=False)
class Inspected:
    """All that a check may look at. Demonstration classifiers, trained when a run needs them, have no sample."""

    job: AuditJob
    images: OpenedImages
    samples: tuple[Sample, ...]


def inspect(job: AuditJob) -> Inspected:
    """Return what the checks look at; opens whatever is not open yet."""
    loadable = [s.name for s in job.plan.classifiers if not isinstance(s, DemonstrationClassifier)]
    return Inspected(job, open_splits(job), tuple(_sample(job, name) for name in loadable))


def _sample(job: AuditJob, name: str) -> Sample:
    classifier = open_classifier(job, name).to(job.device)
    splits = open_splits(job).splits
    # In the order of the hashes, so that any number of them is a random choice that each run makes alike.
    select, craft = (images.subset(np.argsort(np.array(images.hashes))) for images in (splits.select, splits.craft))
    count = sample_size(classifier)
    few = joined(select, craft, most=count)
    pixels = few.load().to(classifier.device, classifier.dtype)
    labels = torch.from_numpy(few.labels).to(classifier.device)
    return Sample(classifier, pixels, labels, joined(select, craft, most=WIDER * count))


def joined(first: ImageSet, second: ImageSet, *, most: int) -> ImageSet:
    """Return at most `most` images, of `first` before those of `second`; both lie in one pixel file."""
    rows = np.concatenate([first.rows, second.rows])[:most]
    positions = range(min(most, len(first)))
    if len(rows) == len(positions):
        return first.subset(positions)
    return ImageSet(
        name=f"{first.name}+{second.name}",
        pixels=first.pixels,
        rows=rows,
        labels=np.concatenate([first.labels, second.labels])[:most],
        class_names=first.class_names,
        hashes=(*first.hashes, *second.hashes)[:most],
    )


def sample_size(classifier: Classifier) -> int:
    """Return how many images are affordable: fewer, the more one forward pass computes."""
    height, width = classifier.preprocessing.input_size
    blank = torch.full((1, 3, height, width), 0.5, device=classifier.device, dtype=classifier.dtype)
    counter = FlopCounterMode(display=False)
    with frozen(classifier.module), torch.no_grad(), counter:
        classifier.module(classifier.preprocessing.apply(blank))
    spent = counter.get_total_flops()
    return MANY if spent <= _CHEAP else SOME if spent <= _DEAR else FEW
