"""The one judge: it delivers the perturbed images, asks the network and writes down a per-image ledger.

No attack reports on itself. A ledger holds predictions, never rates: rates come from `wolfhound.metrics`. What counts
is the delivered 8-bit image; what the network says of the same perturbation in floating point stands beside it.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from attacks.delivery import add_levels, changed_by_rounding, deliver, quantised_levels, resample, unrounded
from attacks.threat import Threat
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import EvidenceError, ModelError
from wolfhound.images import ImageSet
from wolfhound.metrics import HELD_OUT, Predictions, fooling_rate
from wolfhound.progress import Progress, silent
from wolfhound.statistics import Rate

LEDGER_COLUMNS = ("image", "label", "clean")
FLOAT = " (floating point)"
"""Ends the name of a ledger column of what was judged without rounding."""

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
    return predictions_of(classifier, images.to(classifier.device).to(classifier.dtype).div_(255))


def predictions_of(classifier: Classifier, pixels: Tensor) -> Predictions:
    """Return the predicted class of each of `pixels` `[B,3,H,W]`, floating in [0, 1], as int64 `[B]`.

    Raises:
        ModelError: a logit is NaN or infinite, so that no class is the largest.
    """
    with torch.no_grad():
        logits = classifier.logits(pixels)
    if not bool(torch.isfinite(logits).all()):
        raise ModelError(
            f"{classifier.name}: expected finite logits, got NaN or infinity; its predictions mean nothing"
        )
    chosen: Predictions = logits.argmax(dim=1).cpu().numpy()
    return chosen


@dataclass(frozen=True, eq=False)
class Judgement:
    """What the network says of the proposed versions of a batch.

    Attributes:
        delivered: the 8-bit images, uint8 `[B,3,H,W]` on the CPU.
        adversarial: what it sees in them, int64 `[B]`.
        success: whether that is the goal of the attack, bool `[B]`.
        adversarial_float: what it sees in the same versions bounded and clipped but not rounded, int64 `[B]`.
        success_float: whether that is the goal, bool `[B]`.
    """

    delivered: Tensor
    adversarial: Predictions
    success: NDArray[np.bool_]
    adversarial_float: Predictions
    success_float: NDArray[np.bool_]


def judge(
    classifier: Classifier,
    pixels: Tensor,
    proposed: Tensor,
    targets: NDArray[np.int64],
    threat: Threat | None,
    *,
    targeted: bool,
) -> Judgement:
    """Return what becomes of `proposed` versions of `pixels` (both `[B,3,H,W]`): delivered, asked about, decided.

    They are bounded by `threat` (None: by [0, 1] alone), clipped and rounded to 8 bit, and beside that not rounded.
    Versions that rounding leaves as they are, are asked about once. Success: the prediction is the target, or, for an
    attack that is not `targeted`, anything but it. `pixels` lie on the 8-bit grid. Call it inside `frozen`.

    Raises:
        DataError: pixels off the 8-bit grid.
        EvidenceError: a proposal is not finite.
        ModelError: a logit is NaN or infinite.
    """
    delta = proposed - pixels
    delivered, exact = deliver(pixels, delta, threat), unrounded(pixels, delta, threat)
    adversarial = predictions(classifier, delivered)
    changed = changed_by_rounding(exact, delivered)
    in_float = adversarial.copy()
    if bool(changed.any()):
        in_float[changed.cpu().numpy()] = predictions_of(classifier, exact[changed])
    reached, reached_float = ((found == targets) == targeted for found in (adversarial, in_float))
    return Judgement(delivered.cpu(), adversarial, reached, in_float, reached_float)


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
    in_float: Collection[str] = (),
    batch_size: int = 64,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Return the ledger of one target network: how it classifies every image clean and under each perturbation.

    Each batch of images is read once and serves for the clean prediction and all `perturbations`, whatever their
    threats (name to `[3,h,w]` and threat; `under` gives several the same); only one batch and the perturbations are in
    memory. A perturbation of another size than the images is resampled as `attacks.delivery.RESAMPLING` states. Each is
    bounded by its threat and rounded to 8 bit before it is applied.

    Those named by `in_float` are judged without rounding as well, in a column of their name and `FLOAT`; there is none
    where rounding leaves the perturbation as it is (see `float_column`).

    Returns a table of one row an image: image (content hash), label, clean, and a column for each perturbation.

    Raises:
        EvidenceError: a perturbation is not finite, or is named like one of the ledger's own columns.
        ModelError: a logit is NaN or infinite.
    """
    taken = sorted({name for name in perturbations if name in LEDGER_COLUMNS or name.endswith(FLOAT)})
    if taken:
        raise EvidenceError(f"expected perturbations named otherwise than {LEDGER_COLUMNS}, got {taken}")
    resized = {name: (resample(delta.cpu(), images.size), threat) for name, (delta, threat) in perturbations.items()}
    levels = {name: quantised_levels(delta, threat) for name, (delta, threat) in resized.items()}
    exact = _not_rounded({name: resized[name] for name in resized if name in in_float}, levels)
    columns = {name: np.empty(len(images), dtype=np.int64) for name in ("clean", *levels, *exact)}
    work = len(images) * len(columns)
    with frozen(classifier.module), progress(f"{classifier.name}: judging {len(columns)} columns", work) as advance:
        for positions, batch in uint8_batches(images, batch_size):
            for name, column in columns.items():
                if name in exact:
                    pixels = batch.to(classifier.device).to(classifier.dtype).div_(255)
                    column[positions] = predictions_of(classifier, unrounded(pixels, *exact[name]))
                else:
                    shown = batch if name == "clean" else add_levels(batch, levels[name])
                    column[positions] = predictions(classifier, shown)
                advance(len(batch))
    return pd.DataFrame({"image": list(images.hashes), "label": images.labels, **columns})


def _not_rounded(wanted: Mapping[str, Bounded], levels: Mapping[str, Tensor]) -> dict[str, Bounded]:
    """Return those perturbations that rounding changes, by the name of their column."""
    return {
        name + FLOAT: (delta, threat)
        for name, (delta, threat) in wanted.items()
        if bool(changed_by_rounding(threat.project(delta)[None], levels[name][None]))
    }


def float_column(ledger: pd.DataFrame, name: str) -> str:
    """Return the column of a ledger of `transfer_predictions` that says what a perturbation does without rounding.

    That is the perturbation's own column where rounding leaves it as it is (or it was not judged without).
    """
    return name + FLOAT if name + FLOAT in ledger.columns else name


def fooling_rates(ledger: pd.DataFrame, *, denominator: str = HELD_OUT) -> dict[str, Rate]:
    """Return the fooling rate of every perturbation in a ledger of `transfer_predictions`, by its name."""
    clean = ledger["clean"].to_numpy(dtype=np.int64)
    names = [str(name) for name in ledger.columns if name not in LEDGER_COLUMNS and not str(name).endswith(FLOAT)]
    return {name: fooling_rate(clean, ledger[name].to_numpy(dtype=np.int64), denominator=denominator) for name in names}


def uint8_batches(images: ImageSet, size: int) -> Iterator[tuple[NDArray[np.int64], Tensor]]:
    for start in range(0, len(images), size):
        positions = np.arange(start, min(start + size, len(images)), dtype=np.int64)
        yield positions, torch.from_numpy(images.pixels.read(images.rows[positions]))
