"""Masks that GrabCut estimates for a masks section, and whether its result stays when they grow and shrink."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explainers.bias.grabcut import DilationSensitivity, GrabCut, dilation_sensitivity
from explainers.bias.plates import boxes_of
from explainers.bias.swap_flips import swap_flips, swap_ledger
from explainers.bias.verdict import BackgroundProbe, ExcessFlips
from flows.audit_job import AuditJob
from flows.batches import batch_size
from flows.bias_tables import stored_masks
from flows.ledgers import csv_bytes
from wolfhound.classifier import Classifier
from wolfhound.errors import DataError
from wolfhound.evidence import Doubt, Finding
from wolfhound.images import ImageSet
from wolfhound.progress import Progress

UNSTABLE = "bias-masks-unstable"
OFFSETS = "by mask"


@dataclass(frozen=True, eq=False)
class Estimated:
    """Images with estimated masks, in words how these were made, and how many images have none that is usable."""

    images: ImageSet
    how: str
    left_out: int


def with_estimated_masks(job: AuditJob, images: ImageSet, *, boxed: bool, progress: Progress) -> Estimated:
    """Return the images whose object GrabCut found, each with that mask in place of any other.

    Args:
        boxed: the images' masks are boxes, to look inside of; otherwise a centred rectangle is taken.

    Raises:
        DataError: OpenCV is not installed, a box that leaves no background, or no mask that is usable.
    """
    masks, usable, how = [], [], ""
    with progress(f"masks of {images.name}", len(images)) as advance:
        for positions, pixels in images.batches(batch_size(job)):
            boxes = _left_first(boxes_of(images.load_masks(positions))) if boxed else None
            found = GrabCut().masks(pixels, boxes)
            masks += list((found.masks[:, 0] * 255).byte().numpy())
            usable.append(found.usable)
            how = found.source
            advance(len(positions))
    kept = np.flatnonzero(np.concatenate(usable))
    if not len(kept):
        raise DataError(f"{images.name}: GrabCut found no object of 2 % to 90 % of its image (give boxes, or masks)")
    complete = replace(images, masks=stored_masks(job.cache / "estimated", images, masks))
    return Estimated(complete.subset(kept, name=images.name), how, len(images) - len(kept))


def _left_first(boxes: Tensor) -> Tensor:
    """Return boxes `[N,4]` (top, left, bottom, right) as (left, top, right, bottom)."""
    return boxes[:, [1, 0, 3, 2]]


def mask_sensitivity(
    job: AuditJob, classifier: Classifier, probed: ImageSet, plates: ImageSet, probe: BackgroundProbe
) -> DilationSensitivity:
    """Return the probe's excess flips with the masks grown and shrunk, every image on the plates that it was put on.

    The plates are those made with the masks as they were estimated.
    """
    where = {content: i for i, content in enumerate(probed.hashes)}
    of_plate = {content: i for i, content in enumerate(plates.hashes)}
    rows = [where[content] for content in probe.ledger["image"]]
    same, other = ([of_plate[one] for one in probe.ledger[f"plate_{which}"]] for which in ("same", "other"))
    pixels, masks = probed.load(rows), probed.load_masks(rows)
    backgrounds = plates.load(same), plates.load(other)
    classes = probe.question.classes if probe.settings.among_classes else None
    placed = classifier.to(job.device)

    def measure(changed: Tensor, positions: NDArray[np.int64]) -> ExcessFlips:
        chosen = torch.from_numpy(positions)
        parts = (pixels[chosen], changed, *(one[chosen] for one in backgrounds))
        return swap_flips(swap_ledger(placed, *parts, classes=classes, batch_size=batch_size(job)))

    return dilation_sensitivity(measure, masks)


def with_sensitivity(job: AuditJob, finding: Finding, found: DilationSensitivity) -> Finding:
    """Return the finding labelled as one on estimated masks; in doubt where the result does not stay."""
    doubt = Doubt(UNSTABLE, "the masks are estimates, and the result does not stay when they grow and shrink")
    return replace(
        finding,
        claim=f"{finding.claim} The masks are estimates.",
        facts={**finding.facts, "masks grown and shrunk": sensitivity_text(found)},
        ledgers={**finding.ledgers, OFFSETS: job.store.put(csv_bytes(found.table), ".csv")},
        doubts=finding.doubts if found.stays else (*finding.doubts, doubt),
    )


def sensitivity_text(found: DilationSensitivity) -> str:
    """Return every offset's excess with its interval, and whether the result stays."""
    table = found.table
    lines = [
        f"{row['pixels']:+.0f} px {100 * row['excess']:+.1f} points [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
        for row in table.to_dict("records")
    ]
    verdict = "the result stays" if found.stays else "the result does NOT stay, so it says nothing about backgrounds"
    return f"{verdict}: {', '.join(lines)}; {table['images'].iloc[0]} images, {found.left_out} left out"
