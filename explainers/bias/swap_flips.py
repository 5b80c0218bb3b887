"""Predictions under another background, counted against a placebo: the shortest intervention there is.

For classifiers and masks that have no probe of their own: a fitted shortcut, masks that are estimates.
"""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from explainers.bias.verdict import ExcessFlips, excess_flips
from explainers.composition import compose
from wolfhound.classifier import Classifier, frozen

LEVEL = 0.05
"""That a detectable excess is stated at: one test, so nothing is corrected for."""


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
        classes: decides among these labels alone; None decides among all.

    Raises:
        ValueError: shapes that do not fit.
    """
    if not (images.shape == same.shape == other.shape and masks.shape == (len(images), 1, *images.shape[2:])):
        shapes = [list(part.shape) for part in (images, masks, same, other)]
        raise ValueError(f"expected images, masks and two sets of plates of one size, got {shapes}")
    labels = None if classes is None else torch.tensor(classes)
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
                chosen = logits.argmax(dim=1) if labels is None else labels[logits[:, labels].argmax(dim=1)]
                found[name].append(chosen)
    return pd.DataFrame({name: torch.cat(parts).numpy() for name, parts in found.items()})


def swap_flips(ledger: pd.DataFrame) -> ExcessFlips:
    """Return the flips of a `swap_ledger` under plates of the other kind beyond those under plates of the own kind."""
    own, other, same = (ledger[name].to_numpy(dtype=np.int64) for name in ("own", "other", "same"))
    return excess_flips(own, other, same, name="those swapped", significance=LEVEL)
