"""The one judge: it delivers the perturbed images, asks the network and writes down a per-image ledger.

No attack reports on itself. A ledger holds predictions, never rates: rates come from `wolfhound.metrics`.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from attacks.delivery import add_levels, quantised_levels, resample
from attacks.threat import Threat
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import EvidenceError, ModelError
from wolfhound.images import ImageSet
from wolfhound.metrics import HELD_OUT, Predictions, fooling_rate
from wolfhound.progress import Progress, silent
from wolfhound.statistics import Rate

LEDGER_COLUMNS = ("image", "label", "clean")

Bounded = tuple[Tensor, Threat]
"""A perturbation `[3,h,w]` on the pixel scale and the threat that it is held to when it is judged."""


def under(threat: Threat, perturbations: Mapping[str, Tensor]) -> dict[str, Bounded]:
    """Return each of `perturbations` with that one threat."""
    return {name: (delta, threat) for name, delta in perturbations.items()}


def predictions(classifier: Classifier, images: Tensor) -> Predictions:
    """Return the predicted class of each of `images`, uint8 `[B,3,H,W]`, as int64 `[B]`. Call it inside `frozen`.

    Raises:
        ModelError: a logit is NaN or infinite, so that no class is the largest.
    """
    pixels = images.to(classifier.device).to(classifier.dtype).div_(255)
    with torch.no_grad():
        logits = classifier.logits(pixels)
    if not bool(torch.isfinite(logits).all()):
        raise ModelError(
            f"{classifier.name}: expected finite logits, got NaN or infinity; its predictions mean nothing"
        )
    chosen: Predictions = logits.argmax(dim=1).cpu().numpy()
    return chosen


def predict(
    classifier: Classifier, images: ImageSet, *, batch_size: int = 64, progress: Progress = silent
) -> Predictions:
    """Return the clean prediction of every image, int64 `[N]`.

    Raises:
        ModelError: a logit is NaN or infinite.
    """
    rows = []
    with frozen(classifier.module), progress(f"{classifier.name}: clean predictions", len(images)) as advance:
        for _, batch in uint8_batches(images, batch_size):
            rows.append(predictions(classifier, batch))
            advance(len(batch))
    return np.concatenate(rows) if rows else np.empty(0, dtype=np.int64)


def transfer_predictions(
    classifier: Classifier,
    images: ImageSet,
    perturbations: Mapping[str, Bounded],
    *,
    batch_size: int = 64,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Return the ledger of one target network: how it classifies every image clean and under each perturbation.

    Each batch of images is read once and serves for the clean prediction and all `perturbations`, whatever their
    threats (name to `[3,h,w]` and threat; `under` gives several the same); only one batch and the perturbations are in
    memory. A perturbation of another size than the images is resampled as `attacks.delivery.RESAMPLING` states. Each is
    bounded by its threat and rounded to 8 bit before it is applied.

    Returns a table of one row an image: image (content hash), label, clean, and a column for each perturbation.

    Raises:
        EvidenceError: a perturbation is not finite, or is named like one of the ledger's own columns.
        ModelError: a logit is NaN or infinite.
    """
    taken = sorted(set(perturbations) & set(LEDGER_COLUMNS))
    if taken:
        raise EvidenceError(f"expected perturbations named otherwise than {LEDGER_COLUMNS}, got {taken}")
    levels = {
        name: quantised_levels(resample(delta.cpu(), images.size), threat)
        for name, (delta, threat) in perturbations.items()
    }
    columns = {name: np.empty(len(images), dtype=np.int64) for name in ("clean", *levels)}
    work = len(images) * len(columns)
    with frozen(classifier.module), progress(f"{classifier.name}: judging {len(columns)} columns", work) as advance:
        for positions, batch in uint8_batches(images, batch_size):
            for name, column in columns.items():
                shown = batch if name == "clean" else add_levels(batch, levels[name])
                column[positions] = predictions(classifier, shown)
                advance(len(batch))
    return pd.DataFrame({"image": list(images.hashes), "label": images.labels, **columns})


def fooling_rates(ledger: pd.DataFrame, *, denominator: str = HELD_OUT) -> dict[str, Rate]:
    """Return the fooling rate of every perturbation in a ledger of `transfer_predictions`, by its name."""
    clean = ledger["clean"].to_numpy(dtype=np.int64)
    names = [str(name) for name in ledger.columns if name not in LEDGER_COLUMNS]
    return {name: fooling_rate(clean, ledger[name].to_numpy(dtype=np.int64), denominator=denominator) for name in names}


def uint8_batches(images: ImageSet, size: int) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    for start in range(0, len(images), size):
        positions = np.arange(start, min(start + size, len(images)), dtype=np.int64)
        yield positions, torch.from_numpy(images.pixels.read(images.rows[positions]))
