"""Could the labels be guessed from nuisances alone? A probe that never sees an object: mean colour, border, contrast.

It shows that a shortcut is available in these images, not that any classifier uses it.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import optimize, special, stats
from torch import Tensor

from explainers.bias.measures import LEAST_GROUP
from wolfhound.images import ImageSet
from wolfhound.progress import Progress, silent
from wolfhound.statistics import Rate

FEATURES = (
    "mean and deviation of each colour over the image; mean and deviation of each colour over a border ring of a "
    "sixteenth of the shorter side; mean of each colour on each of its four sides; mean difference between neighbours"
)


@dataclass(frozen=True, eq=False)
class NuisanceProbe:
    """What a linear classifier on nuisance features reaches on images that it was not fitted to.

    Attributes:
        accuracy: of the held-out folds; `chance`: what always answering the commonest label would reach there.
        p_value: one-sided, exact, of the accuracy against chance.
        detectable: the smallest accuracy that so many images would tell from chance with 80 % power.
        ledger: image, label, fold, prediction (of the nuisance probe).
        left_out: images of classes with too few images for the folds.
    """

    accuracy: Rate
    chance: float
    p_value: float
    detectable: float | None
    ledger: pd.DataFrame = field(repr=False)
    left_out: int


def nuisance_probe(
    images: ImageSet,
    *,
    seed: int,
    folds: int = 5,
    ridge: float = 1.0,
    batch_size: int = 64,
    progress: Progress = silent,
) -> NuisanceProbe | None:
    """Return the cross-validated accuracy of a logistic regression on `FEATURES`; None below two usable classes.

    Classes of fewer than 10 images are left out. Features are standardised by the fitted folds alone.

    Args:
        ridge: penalty ridge / 2 * |W|^2 beside the summed cross-entropy, the bias left out.
    """
    sizes = np.bincount(images.labels)
    kept = np.flatnonzero(sizes[images.labels] >= max(LEAST_GROUP, folds))
    labels = images.labels[kept]
    if len(np.unique(labels)) < 2:
        return None
    with progress("nuisance features", len(kept)) as advance:
        parts = []
        for start in range(0, len(kept), batch_size):
            parts.append(nuisance_features(images.load(kept[start : start + batch_size])))
            advance(len(parts[-1]))
    features, fold = torch.cat(parts).numpy(), _folds(labels, folds, np.random.default_rng([seed, 12]))
    predicted = np.zeros_like(labels)
    for held_out in range(folds):
        fitted, tested = fold != held_out, fold == held_out
        predicted[tested] = _fitted_and_asked(features, labels, fitted, tested, ridge)
    ledger = pd.DataFrame(
        {"image": [images.hashes[i] for i in kept], "label": labels, "fold": fold, "prediction": predicted}
    )
    return _concluded(ledger, left_out=len(images) - len(kept))


def _concluded(ledger: pd.DataFrame, *, left_out: int) -> NuisanceProbe:
    labels = ledger["label"].to_numpy(np.int64)
    right = int((ledger["prediction"].to_numpy(np.int64) == labels).sum())
    chance = float(np.bincount(labels).max() / len(labels))
    return NuisanceProbe(
        accuracy=Rate(right, len(labels), "images of the held-out folds"),
        chance=chance,
        p_value=float(stats.binomtest(right, len(labels), chance, alternative="greater").pvalue),
        detectable=detectable_share(len(labels), chance),
        ledger=ledger,
        left_out=left_out,
    )


def detectable_share(count: int, chance: float, *, significance: float = 0.05, power: float = 0.8) -> float | None:
    """Return the smallest share, to 0.001, that a one-sided exact binomial test tells from `chance`; None if none is.

    >>> detectable_share(100, 0.5), detectable_share(3, 0.5) is None
    (0.626, True)
    """
    needed = float(stats.binom.isf(significance, count, chance)) + 1
    for share in np.arange(round(1000 * chance), 1001) / 1000:
        if needed <= count and stats.binom.sf(needed - 1, count, share) >= power:
            return float(share)
    return None


def nuisance_features(pixels: Tensor) -> Tensor:
    """Return `FEATURES` of pixels `[B,3,H,W]` in [0, 1], float64 `[B,25]`."""
    values = pixels.double()
    height, width = values.shape[-2:]
    ring = max(1, min(height, width) // 16)
    sides = [values[..., :ring, :], values[..., -ring:, :], values[..., :, :ring], values[..., :, -ring:]]
    border = torch.cat([sides[0].flatten(2), sides[1].flatten(2), sides[2].flatten(2), sides[3].flatten(2)], dim=2)
    down = (values[..., 1:, :] - values[..., :-1, :]).abs().mean(dim=(1, 2, 3))
    across = (values[..., :, 1:] - values[..., :, :-1]).abs().mean(dim=(1, 2, 3))
    found = [values.mean(dim=(2, 3)), values.flatten(2).std(dim=2), border.mean(dim=2), border.std(dim=2)]
    return torch.cat([*found, *(side.mean(dim=(2, 3)) for side in sides), (down + across)[:, None]], dim=1)


def _folds(labels: NDArray[np.int64], folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return a fold for each image, each class spread evenly."""
    fold = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        fold[members] = np.arange(len(members)) % folds
    return fold


def _fitted_and_asked(
    features: NDArray[np.float64],
    labels: NDArray[np.int64],
    fitted: NDArray[np.bool_],
    tested: NDArray[np.bool_],
    ridge: float,
) -> NDArray[np.int64]:
    classes, targets = np.unique(labels[fitted], return_inverse=True)
    centre, spread = features[fitted].mean(axis=0), features[fitted].std(axis=0)
    scaled = torch.from_numpy((features - centre) / np.where(spread > 1e-9, spread, 1.0))
    weights, bias = logistic_regression(scaled[fitted], torch.from_numpy(targets), classes=len(classes), ridge=ridge)
    found: NDArray[np.int64] = classes[(scaled[tested] @ weights + bias).argmax(dim=1).numpy()]
    return found


def logistic_regression(
    features: Tensor, targets: Tensor, *, classes: int, ridge: float, steps: int = 500
) -> tuple[Tensor, Tensor]:
    """Return weights `[D,C]` and bias `[C]` that minimise sum CE + ridge / 2 |W|^2, by L-BFGS in float64 from zero.

    The problem is convex and the solver draws nothing, so equal data give equal weights.
    """
    given, wanted = features.numpy(), np.eye(classes)[targets.numpy()]
    size = given.shape[1]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weights, bias = flat[:-classes].reshape(size, classes), flat[-classes:]
        logs = special.log_softmax(given @ weights + bias, axis=1)
        residual = np.exp(logs) - wanted
        value = -float((logs * wanted).sum()) + ridge / 2 * float((weights**2).sum())
        gradient = given.T @ residual + ridge * weights
        return value, np.concatenate([gradient.ravel(), residual.sum(axis=0)])

    options = {"maxiter": steps, "ftol": 1e-15, "gtol": 1e-8}
    start = np.zeros((size + 1) * classes)
    found = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x  # type: ignore[call-overload]
    return torch.from_numpy(found[:-classes].reshape(size, classes)), torch.from_numpy(found[-classes:])
