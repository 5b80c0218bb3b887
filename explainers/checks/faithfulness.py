"""Does the classifier's score hang on the pixels that a map names? Deletion, insertion and ROAD, batched.

Each takes raw maps of any origin and gives one curve an image; a score says little by itself, so `comparison` sets it
beside the baselines. The network is only asked for scores, so any classifier will do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from explainers.base import Targets
from explainers.checks.baselines import gaussian_blur
from explainers.checks.imputation import NOISE, impute
from explainers.checks.ranking import constant, ranks
from wolfhound.checks import check_labels, check_pixel_layout
from wolfhound.classifier import Classifier, frozen

Baseline = Literal["mean", "blurred", "black"]
Values = NDArray[np.float64]

BLUR = 1 / 22
"""Deviation of the blurred baseline, as a share of the shorter side: 10 pixels of 224."""


@dataclass(frozen=True, eq=False)
class Curves:
    """Scores of B images while pixels go, in the order of a map.

    Attributes:
        metric: "deletion", "insertion", "ROAD, most relevant first" or "ROAD, least relevant first".
        shares: share of the pixels that were replaced (insertion: put back) at each step, `[S]`, rising.
        probability: softmax probability of the explained class, `[B,S]`.
        contrast: logit of the explained class minus that of its rival, `[B,S]`. The rival is the class that the targets
            name, or else the highest other class of the untouched image; it stays the same along the curve.
        settings: step share, baseline and noise in words.
        constant: images whose map has one value only; their order was random.
    """

    metric: str
    shares: Values = field(repr=False)
    probability: Values = field(repr=False)
    contrast: Values = field(repr=False)
    settings: str
    constant: int

    @property
    def probability_auc(self) -> Values:
        """Area under each image's probability by share, over the length of the shares: a mean in [0, 1], `[B]`."""
        return _area(self.probability, self.shares)

    @property
    def contrast_auc(self) -> Values:
        """Mean contrast along each image's curve in logits, `[B]`."""
        return _area(self.contrast, self.shares)


def deletion(
    classifier: Classifier,
    pixels: Tensor,
    maps: Tensor,
    targets: Targets,
    *,
    steps: int = 28,
    baseline: Baseline = "mean",
    seed: int,
    batch_size: int = 32,
) -> Curves:
    """Return the scores while pixels are replaced, the most relevant first; low is good (Petsiuk et al. 2018, 4.2).

    Departures: at each of `steps` + 1 points 1 / `steps` of the pixels more are gone (the paper: 1 / 224); they turn
    into the image's mean colour, not into grey; pixels of equal relevance go in random order.

    Args:
        classifier: left exactly as found.
        pixels: `[B,3,H,W]` in [0, 1].
        maps: raw maps `[B,h,w]`, grown bilinearly to the pixels.
        targets: the classes explained.
        baseline: "mean" (each image's mean colour), "blurred" (deviation `BLUR` of the shorter side) or "black".
        seed: of the order of equal values.

    Raises:
        ValueError: shapes or targets that do not fit, or fewer than 2 steps.
    """
    return _replaced("deletion", classifier, pixels, maps, targets, steps, baseline, seed, batch_size)


def insertion(
    classifier: Classifier,
    pixels: Tensor,
    maps: Tensor,
    targets: Targets,
    *,
    steps: int = 28,
    baseline: Baseline = "blurred",
    seed: int,
    batch_size: int = 32,
) -> Curves:
    """Return the scores while pixels are put back on the baseline, the most relevant first; high is good.

    As `deletion`, with the blurred image to start from, as in the paper.
    """
    return _replaced("insertion", classifier, pixels, maps, targets, steps, baseline, seed, batch_size)


def road(
    classifier: Classifier,
    pixels: Tensor,
    maps: Tensor,
    targets: Targets,
    *,
    shares: Sequence[float] = (0.1, 0.3, 0.5, 0.7, 0.9),
    noise: float = NOISE,
    seed: int,
    batch_size: int = 32,
) -> tuple[Curves, Curves]:
    """Return the ROAD curves, most relevant pixels first and least relevant first (Rong et al. 2022, section 4).

    Removed pixels are filled by noisy linear imputation, so that the shape of the hole tells as little as possible.
    A faithful map has a low first curve and a high second one. The paper takes accuracies over a data set; here each
    image keeps its probability and contrast, so that intervals can be had from few images.

    Args:
        shares: how much is removed, each in (0, 1), rising.
        noise: deviation of the noise of imputed pixels, of which each image and share has its own, from the seed.

    Raises:
        ValueError: as `deletion`, or other shares.
    """
    _check(pixels, maps, targets, classifier)
    if len(shares) < 2 or not all(0 < low < high < 1 for low, high in pairwise(shares)):
        raise ValueError(f"expected at least two rising shares in (0, 1), got {list(shares)}")
    order, total = ranks(maps, size=_size(pixels), seed=seed), pixels.shape[-2] * pixels.shape[-1]
    found = []
    for name, first in (("most", order), ("least", total - 1 - order)):

        def removed(chosen: slice, share: float, first: Tensor = first) -> Tensor:
            hole = first[chosen] < round(share * total)
            return impute(pixels[chosen], hole, noise=_noise(pixels[chosen], chosen.start, share, noise, seed))

        settings = f"noisy linear imputation, deviation {noise:g}; {len(shares)} shares from {shares[0]:g} on"
        curves = _curves(classifier, pixels, targets, removed, np.array(shares), batch_size=batch_size)
        curves = replace(curves, metric=f"ROAD, {name} relevant first", settings=settings)
        found.append(replace(curves, constant=int(constant(maps).sum())))
    return found[0], found[1]


Altered = Callable[[slice, float], Tensor]


def _replaced(
    metric: Literal["deletion", "insertion"],
    classifier: Classifier,
    pixels: Tensor,
    maps: Tensor,
    targets: Targets,
    steps: int,
    baseline: Baseline,
    seed: int,
    batch_size: int,
) -> Curves:
    _check(pixels, maps, targets, classifier)
    if steps < 2:
        raise ValueError(f"expected at least 2 steps, got {steps}")
    order, total = ranks(maps, size=_size(pixels), seed=seed), pixels.shape[-2] * pixels.shape[-1]
    plates = baseline_images(pixels, baseline)
    front, back = (plates, pixels) if metric == "deletion" else (pixels, plates)

    def altered(chosen: slice, share: float) -> Tensor:
        taken = (order[chosen] < round(share * total))[:, None].to(pixels.device)
        return torch.where(taken, front[chosen], back[chosen])

    curves = _curves(classifier, pixels, targets, altered, np.linspace(0, 1, steps + 1), batch_size=batch_size)
    settings = f"steps of 1/{steps} of the pixels, baseline {baseline}"
    return replace(curves, metric=metric, settings=settings, constant=int(constant(maps).sum()))


def baseline_images(pixels: Tensor, baseline: Baseline) -> Tensor:
    """Return what pixels turn into, `[B,3,H,W]`: each image's mean colour, its blurred self, or black.

    Raises:
        ValueError: another name.
    """
    if baseline == "mean":
        return pixels.mean(dim=(2, 3), keepdim=True).expand_as(pixels)
    if baseline == "black":
        return torch.zeros_like(pixels)
    if baseline == "blurred":
        return gaussian_blur(pixels, deviation=BLUR * min(_size(pixels)))
    raise ValueError(f"expected the baseline mean, blurred or black, got {baseline!r}")


def _curves(
    classifier: Classifier, pixels: Tensor, targets: Targets, altered: Altered, shares: Values, *, batch_size: int
) -> Curves:
    """Return the scores of altered images, `[B,S]` each, `batch_size` images at a time."""
    probability, contrast = (np.empty((len(pixels), len(shares))) for _ in range(2))
    with torch.no_grad(), frozen(classifier.module):
        for start in range(0, len(pixels), batch_size):
            chosen = slice(start, min(start + batch_size, len(pixels)))
            own = targets.rows(chosen)
            rivals = _rivals(classifier.logits(pixels[chosen]), own)
            for step, share in enumerate(shares):
                logits = classifier.logits(altered(chosen, float(share))).double().cpu()
                rows = torch.arange(len(logits))
                probability[chosen, step] = logits.softmax(dim=1)[rows, own.classes.cpu()].numpy()
                contrast[chosen, step] = (logits[rows, own.classes.cpu()] - logits[rows, rivals]).numpy()
    return Curves("", shares, probability, contrast, "", 0)


def _rivals(logits: Tensor, targets: Targets) -> Tensor:
    """Return the class that each explained class is held against, int64 `[B]` on the CPU."""
    if targets.against is not None:
        return targets.against.cpu()
    others = logits.double().cpu().clone()
    others[torch.arange(len(others)), targets.classes.cpu()] = -torch.inf
    return others.argmax(dim=1)


def _noise(pixels: Tensor, start: int, share: float, deviation: float, seed: int) -> Tensor:
    """Return noise `[B,3,H,W]` that depends on the image's position, the share and the seed, not on the batch."""
    drawn = []
    for image in range(start, start + len(pixels)):
        generator = torch.Generator().manual_seed((seed * 104_729 + image * 1009 + round(1000 * share)) % 2**63)
        drawn.append(torch.randn(pixels.shape[1:], generator=generator, dtype=torch.float64))
    return deviation * torch.stack(drawn)


def _check(pixels: Tensor, maps: Tensor, targets: Targets, classifier: Classifier) -> None:
    check_pixel_layout(pixels)
    check_labels(targets.classes, count=len(pixels), classes=len(classifier.class_names), name="target classes")
    if maps.ndim != 3 or len(maps) != len(pixels) or not len(pixels):
        raise ValueError(f"expected {len(pixels)} raw maps [B, h, w], one an image, got shape {list(maps.shape)}")
    if not bool(torch.isfinite(maps).all()):
        raise ValueError("expected finite maps, got NaN or infinity")


def _size(pixels: Tensor) -> tuple[int, int]:
    return pixels.shape[-2], pixels.shape[-1]


def _area(curves: Values, shares: Values) -> Values:
    widths = np.diff(shares)
    area: Values = ((curves[:, 1:] + curves[:, :-1]) / 2 * widths).sum(axis=1) / widths.sum()
    return area
