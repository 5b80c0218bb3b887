"""How a classifier fares under common corruptions: a per-image ledger, and the numbers that follow from it alone.

A ledger has the columns image (content hash), label, clean and one "corruption/severity" for each condition; it holds
predictions, so every number can be computed again without the network.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from attacks.corruptions.registry import SEVERITIES, Corruption
from attacks.judge import LEDGER_COLUMNS, predictions, uint8_batches
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import DataError, PlanError
from wolfhound.images import ImageSet
from wolfhound.metrics import HELD_OUT, accuracy
from wolfhound.progress import Progress, silent
from wolfhound.statistics import Interval, Rate

SMALLEST_SIDE = 16
_RESAMPLES = 2000


def image_seed(seed: int, corruption: str, image: str) -> int:
    """Return the seed of one image under one corruption: it depends on nothing but these three.

    All severities share it, so that they differ by their strength and not by what was drawn.
    """
    digest = hashlib.sha256(f"{seed}|{corruption}|{image}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def corrupt(images: Tensor, corruption: Corruption, severity: int, *, seeds: Sequence[int]) -> Tensor:
    """Return `images`, uint8 `[B,3,H,W]`, under a corruption, rounded to 8 bit (the published code truncates).

    `seeds`: one an image; an image's result depends on its own seed alone, not on the batch.

    Raises:
        DataError: not uint8, another shape, or a side below 16 pixels.
        PlanError: a severity other than 1 to 5.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise DataError(f"expected uint8 images of shape [B, 3, H, W], got {images.dtype} {list(images.shape)}")
    side = min(images.shape[-2:])
    if side < SMALLEST_SIDE:
        raise DataError(f"expected images of at least {SMALLEST_SIDE} pixels a side to corrupt, got {side}")
    _check_severities((severity,))
    draws = [torch.Generator().manual_seed(seed) for seed in seeds]
    parameters = corruption.parameters(severity, side=side)
    return _as_levels(corruption.apply(images.cpu().float().div_(255), parameters, draws))


def _as_levels(pixels: Tensor) -> Tensor:
    return (pixels.clamp(0, 1) * 255).round().to(torch.uint8)


def column(corruption: str, severity: int) -> str:
    """Return the ledger column of a condition.

    >>> column("fog", 3)
    'fog/3'
    """
    return f"{corruption}/{severity}"


def corruption_ledger(
    classifier: Classifier,
    images: ImageSet,
    corruptions: Sequence[Corruption],
    severities: Sequence[int],
    *,
    seed: int,
    batch_size: int = 64,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Return how `classifier` predicts every image clean and under each corruption at each severity.

    Each batch of images is read once. The draws depend on `seed`, the corruption and the image's content, so two
    classifiers see the very same corrupted images.

    Raises:
        DataError: images that are too small.
        ModelError: a logit is NaN or infinite.
        PlanError: a severity other than 1 to 5.
    """
    _check_severities(severities)
    conditions = [(corruption, severity) for corruption in corruptions for severity in severities]
    columns = {"clean": np.empty(len(images), dtype=np.int64)}
    columns |= {column(c.name, severity): np.empty(len(images), dtype=np.int64) for c, severity in conditions}
    work = len(images) * len(columns)
    with frozen(classifier.module), progress(f"{classifier.name}: common corruptions", work) as advance:
        for positions, batch in uint8_batches(images, batch_size):
            columns["clean"][positions] = predictions(classifier, batch)
            advance(len(batch))
            for corruption, severity in conditions:
                seeds = [image_seed(seed, corruption.name, images.hashes[i]) for i in positions]
                shown = corrupt(batch, corruption, severity, seeds=seeds)
                columns[column(corruption.name, severity)][positions] = predictions(classifier, shown)
                advance(len(batch))
    return pd.DataFrame({"image": list(images.hashes), "label": images.labels, **columns})


def _check_severities(severities: Sequence[int]) -> None:
    outside = [severity for severity in severities if severity not in SEVERITIES]
    if outside or not severities:
        raise PlanError(f"expected severities from 1 to 5, got {outside or 'none'}")


def conditions(ledger: pd.DataFrame) -> tuple[tuple[str, int], ...]:
    """Return the (corruption, severity) pairs of a ledger, in its order."""
    names = [str(name).rpartition("/") for name in ledger.columns if name not in LEDGER_COLUMNS]
    return tuple((name, int(severity)) for name, _, severity in names)


def accuracy_table(ledger: pd.DataFrame) -> dict[tuple[str, int], Rate]:
    """Return the accuracy under each condition, n images each."""
    labels = ledger["label"].to_numpy(np.int64)
    return {
        condition: accuracy(ledger[column(*condition)].to_numpy(np.int64), labels) for condition in conditions(ledger)
    }


def drawn_ledger(ledger: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """Return image, label, clean, the condition drawn for each image by its hash, and the prediction under it."""
    pairs = conditions(ledger)
    drawn = [column(*pairs[image_seed(seed, "drawn condition", str(image)) % len(pairs)]) for image in ledger["image"]]
    shown = np.array([ledger[name].iloc[i] for i, name in enumerate(drawn)], dtype=np.int64)
    return ledger[["image", "label", "clean"]].assign(condition=drawn, drawn=shown)


def drawn_accuracy(ledger: pd.DataFrame, *, seed: int) -> Rate:
    """Return the accuracy with each image under one condition, drawn for it by its hash.

    Its expectation is the mean accuracy over all conditions. The answers to one image under many conditions are not
    independent, so counting them all would give an interval that is too narrow; here every image counts once.
    """
    drawn = drawn_ledger(ledger, seed=seed)
    return accuracy(drawn["drawn"].to_numpy(np.int64), drawn["label"].to_numpy(np.int64))


def always_right(ledger: pd.DataFrame) -> Rate:
    """Return the share of images that are classified correctly under every condition (an image counts once)."""
    right = _right(ledger).all(axis=1)
    return Rate(int(right.sum()), len(ledger), HELD_OUT)


def mean_accuracy(ledger: pd.DataFrame, *, seed: int) -> tuple[float, Interval]:
    """Return the mean accuracy over all conditions, in [0, 1], with its bootstrap 95 % interval over images.

    (Percentile bootstrap, Efron 1979, 2000 resamples.)
    """
    by_image = _right(ledger).mean(axis=1)
    sums = _resampled_sums(by_image[None], seed=seed)[:, 0]
    return float(by_image.mean()), _percentiles(sums / len(by_image))


def relative_drop(ledger: pd.DataFrame, *, seed: int) -> tuple[float, Interval] | None:
    """Return 1 - (mean accuracy over all conditions) / (clean accuracy), with its bootstrap 95 % interval over images.

    0: corruptions cost nothing; 1: nothing is left. None where a resample has no image right when clean, so that the
    ratio is not defined.
    """
    clean = (ledger["clean"] == ledger["label"]).to_numpy(np.float64)
    kept = _right(ledger).mean(axis=1)
    sums = _resampled_sums(np.stack([kept, clean]), seed=seed)
    if not (sums[:, 1] > 0).all():
        return None
    return float(1 - kept.sum() / clean.sum()), _percentiles(1 - sums[:, 0] / sums[:, 1])


def relative_corruption_error(ledger: pd.DataFrame, reference: dict[str, float]) -> float:
    """Return the mean over corruptions of (mean error over severities) / (the reference's), 1 being the reference.

    With AlexNet's errors on ImageNet-C as reference this is the mCE of Hendrycks & Dietterich (2019, section 4.2), over
    100. `reference`: the mean error of each corruption of the ledger, in (0, 1].

    Raises:
        PlanError: the reference lacks a corruption of the ledger, or an error is not in (0, 1].
    """
    table = accuracy_table(ledger)
    names = list(dict.fromkeys(name for name, _ in table))
    missing = [name for name in names if not 0 < reference.get(name, 0.0) <= 1]
    if missing:
        raise PlanError(f"expected reference errors in (0, 1] for every corruption, got none for {', '.join(missing)}")
    errors = {name: [1 - rate.share for (other, _), rate in table.items() if other == name] for name in names}
    return float(np.mean([np.mean(errors[name]) / reference[name] for name in names]))


def _right(ledger: pd.DataFrame) -> NDArray[np.bool_]:
    columns = [column(*condition) for condition in conditions(ledger)]
    right: NDArray[np.bool_] = ledger[columns].to_numpy(np.int64) == ledger["label"].to_numpy(np.int64)[:, None]
    return right


def _resampled_sums(by_image: NDArray[np.float64], *, seed: int) -> NDArray[np.float64]:
    """Return the sums of each row of `by_image` `[K,N]` over resamples of the images, `[2000,K]`."""
    rng = np.random.default_rng(seed)
    count = by_image.shape[1]
    return np.stack([by_image[:, rng.integers(0, count, count)].sum(axis=1) for _ in range(_RESAMPLES)])


def _percentiles(values: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(low), float(high), 0.95, "bootstrap")
