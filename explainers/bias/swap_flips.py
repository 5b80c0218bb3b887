"""Predictions under another background, counted against a placebo: the shortest intervention there is.

For classifiers and masks that have no probe of their own: a fitted shortcut, masks that are estimates.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from explainers.composition import compose, dilated, eroded
from wolfhound.classifier import Classifier, frozen
from wolfhound.differences import paired_newcombe_interval
from wolfhound.statistics import Interval, Rate, mcnemar_exact


@dataclass(frozen=True)
class SwapFlips:
    """Predictions changed by a plate of the other kind, and by one of the image's own kind (placebo).

    `excess` is the difference of the shares with its interval (paired, Newcombe); `p_value` McNemar's exact one.
    """

    other: Rate
    placebo: Rate
    excess: float
    interval: Interval
    p_value: float


def grown(masks: Tensor, pixels: int) -> Tensor:
    """Return masks `[B,1,H,W]` grown by that many pixels on every side; shrunk where it is negative."""
    for _ in range(abs(pixels)):
        masks = dilated(masks) if pixels > 0 else eroded(masks)
    return masks


def swap_ledger(
    classifier: Classifier,
    images: Tensor,
    masks: Tensor,
    same: Tensor,
    other: Tensor,
    *,
    classes: tuple[int, ...] | None = None,
    batch_size: int = 32,
) -> pd.DataFrame:
    """Return predictions by image: `own` (as it is), `same` and `other` (its object on that plate).

    Args:
        images: `[N,3,H,W]` in [0, 1]; masks `[N,1,H,W]` in [0, 1], 1 on the object; same, other: plates like images.
        classes: decide among these alone (near synonyms of a large classifier would count as flips); None: among all.

    Raises:
        ValueError: shapes that do not fit.
    """
    if not (images.shape == same.shape == other.shape and masks.shape == (len(images), 1, *images.shape[2:])):
        shapes = [list(part.shape) for part in (images, masks, same, other)]
        raise ValueError(f"expected images, masks and two sets of plates of one size, got {shapes}")
    found: dict[str, list[Tensor]] = {"own": [], "same": [], "other": []}
    with torch.no_grad(), frozen(classifier.module):
        for start in range(0, len(images), batch_size):
            rows = slice(start, start + batch_size)
            composites = {
                "own": images[rows],
                "same": compose(images[rows], masks[rows], same[rows]),
                "other": compose(images[rows], masks[rows], other[rows]),
            }
            for name, pixels in composites.items():
                logits = classifier.logits(pixels.to(classifier.device, classifier.dtype)).cpu()
                found[name].append(_decided(logits, classes))
    return pd.DataFrame({name: torch.cat(parts).numpy() for name, parts in found.items()})


def _decided(logits: Tensor, classes: tuple[int, ...] | None) -> Tensor:
    if classes is None:
        return logits.argmax(dim=1)
    chosen = torch.tensor(classes, dtype=torch.int64)
    return chosen[logits[:, chosen].argmax(dim=1)]


def count_flips(ledger: pd.DataFrame, *, denominator: str = "swapped images") -> SwapFlips:
    """Return the flips of a `swap_ledger`."""
    own = ledger["own"].to_numpy()
    other, placebo = (ledger[name].to_numpy() != own for name in ("other", "same"))
    return SwapFlips(
        other=Rate(int(other.sum()), len(ledger), denominator),
        placebo=Rate(int(placebo.sum()), len(ledger), denominator),
        excess=float(np.mean(other) - np.mean(placebo)),
        interval=paired_newcombe_interval(other, placebo),
        p_value=mcnemar_exact(int((other & ~placebo).sum()), int((placebo & ~other).sum())),
    )
