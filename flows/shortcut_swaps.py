"""Background swaps on a planted shortcut: with drawn masks and plates, or with masks given or estimated."""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from explainers.bias.grabcut import (
    DilationSensitivity,
    GrabCut,
    dilation_sensitivity,
    pair_plates,
    plates_without_objects,
)
from explainers.bias.ribeiro import Confounding
from explainers.bias.swap_flips import swap_flips, swap_ledger
from explainers.bias.verdict import ExcessFlips
from flows.audit_job import AuditJob
from flows.batches import batch_size
from wolfhound import demonstration
from wolfhound.classifier import Classifier
from wolfhound.images import ImageSet
from wolfhound.plan_shortcut import ShortcutSection

PLATES = 40
_PLATE_SEED = 4_000_003


@dataclass(frozen=True, eq=False)
class Swapped:
    """Flips under other backgrounds.

    Attributes:
        ledger: swapped (yes or no), prediction_same and prediction_other (empty where not swapped), in the images'
            order.
        sensitivity: the same with masks grown and shrunk, where masks are not exact by construction.
        how: in words.
    """

    flips: ExcessFlips
    ledger: pd.DataFrame = field(repr=False)
    sensitivity: DilationSensitivity | None
    how: str


def swap_backgrounds(
    job: AuditJob, section: ShortcutSection, classifier: Classifier, images: ImageSet, confounding: Confounding
) -> Swapped | None:
    """Return what swapping backgrounds does; None where there are no masks and none are to be estimated."""
    if section.source == "demonstration":
        return _on_drawn_plates(job, section, classifier, images)
    if section.masks is None:
        return None
    pixels = images.load()
    if section.masks == "grabcut":
        estimated = GrabCut(seed=section.seed).masks(pixels)
        masks, usable, how = estimated.masks, np.flatnonzero(estimated.usable), estimated.source
    else:
        masks, how = images.load_masks(), "masks given"
        usable = np.flatnonzero(masks.flatten(1).amax(dim=1).numpy() > 0)
    kinds = [confounding.backgrounds(images)[i] for i in usable]
    same, other = pair_plates(kinds, seed=section.seed)
    masks, pixels = masks[torch.from_numpy(usable)], pixels[torch.from_numpy(usable)]
    plates = plates_without_objects(pixels, masks)

    def measure(changed: Tensor, rows: NDArray[np.int64]) -> ExcessFlips:
        chosen = torch.from_numpy(rows)
        parts = (pixels[chosen], changed, plates[same[rows]], plates[other[rows]])
        return swap_flips(swap_ledger(classifier, *parts, batch_size=batch_size(job)))

    ledger = swap_ledger(classifier, pixels, masks, plates[same], plates[other], batch_size=batch_size(job))
    how += (
        f" on {len(usable)} of {len(images)} images; plates are other images of the same or the other class with their "
        "object painted over (Telea 2004); what a mask missed of an object stays on its plate"
    )
    flips = swap_flips(ledger)
    return Swapped(flips, _in_order(ledger, usable, len(images)), dilation_sensitivity(measure, masks), how)


def _on_drawn_plates(job: AuditJob, section: ShortcutSection, classifier: Classifier, images: ImageSet) -> Swapped:
    plates = demonstration.background_plates(
        job.cache / "images", per_background=PLATES, seed=section.seed + _PLATE_SEED
    )
    rng = np.random.default_rng([section.seed, 9])
    of_kind = {
        kind: rng.permutation(np.flatnonzero(np.array(plates.groups) == kind))
        for kind in sorted(set(plates.groups or ()))
    }
    opposite = dict(zip(of_kind, reversed(of_kind), strict=True))
    groups = images.groups or ()
    same = np.array([of_kind[kind][i % PLATES] for i, kind in enumerate(groups)])
    other = np.array([of_kind[opposite[kind]][i % PLATES] for i, kind in enumerate(groups)])
    parts = (images.load(), images.load_masks(), plates.load(same), plates.load(other))
    ledger = swap_ledger(classifier, *parts, batch_size=batch_size(job))
    every, how = np.arange(len(images)), f"drawn masks and object-free plates, {PLATES} of each kind"
    return Swapped(swap_flips(ledger), _in_order(ledger, every, len(images)), None, how)


def _in_order(ledger: pd.DataFrame, rows: NDArray[np.int64], count: int) -> pd.DataFrame:
    cells = pd.DataFrame({"swapped": ["no"] * count, "prediction_same": [""] * count, "prediction_other": [""] * count})
    cells.loc[rows, "swapped"] = "yes"
    for name in ("same", "other"):
        cells.loc[rows, f"prediction_{name}"] = [str(value) for value in ledger[name]]
    return cells
