"""Model parameter randomisation (Adebayo et al. 2018, section 3): does a map depend on what the network learned?

A map that stays as it was while the weights are destroyed shows the image, not the classifier.
"""

import copy
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn
from torch.nn import functional

from explainers.base import Explainer, Maps, Targets
from explainers.layers import trace
from explainers.resampling import mean_effect
from wolfhound.classifier import Classifier
from wolfhound.statistics import Interval


@dataclass(frozen=True, eq=False)
class RandomisationCheck:
    """What became of the maps when the weights were randomised from the output down.

    Attributes:
        method, layer: what was checked.
        stages: one row a stage: stage, layers (randomised so far), deepest (name of the lowest of them), spearman (mean
            over images of |rank correlation| of the raw maps), ssim (mean, of the normalised maps).
        ledger: stage, image (position in the batch), spearman, ssim.
        similarity: mean |rank correlation| with every layer randomised; `interval` its bootstrap interval over images.
        limit: what the interval must stay below.
        compared: images with a map that was not constant; `constant` those without, which say nothing.
        seed: of the randomisation.
    """

    method: str
    layer: str
    stages: pd.DataFrame = field(repr=False)
    ledger: pd.DataFrame = field(repr=False)
    similarity: float
    interval: Interval
    limit: float
    compared: int
    constant: int
    seed: int

    @property
    def passed(self) -> bool:
        """Whether the map depends on the weights: the interval of the similarity lies below the limit."""
        return self.interval.high < self.limit

    @property
    def text(self) -> str:
        """The verdict as it is printed beside a figure."""
        verdict = "the maps depend on the learned weights" if self.passed else "NOT shown to depend on the weights"
        return (
            f"randomisation check: {verdict} (mean |rank correlation| {self.similarity:.2f} "
            f"[{self.interval.low:.2f}, {self.interval.high:.2f}], limit {self.limit:g}, n = {self.compared})"
        )


def randomisation_check(
    classifier: Classifier,
    pixels: Tensor,
    targets: Targets | None = None,
    *,
    explainer: Explainer,
    layer: str | None = None,
    seed: int,
    stages: int = 5,
    limit: float = 0.5,
) -> RandomisationCheck:
    """Return how similar the maps stay while a COPY of the network loses its weights, from the output down.

    Departures from the paper: weights are shuffled within each tensor instead of drawn anew, which keeps every layer's
    scale whatever its initialisation was; layers go in `stages` groups of about equal number; and the paper gives no
    threshold, so `limit` on the mean |Spearman correlation| is ours. Two unrelated maps of 16 places have about 0.2.

    Args:
        classifier: not touched, neither its weights nor its hooks.
        pixels: `[B,3,H,W]` in [0, 1], at least 2 images.
        targets: None takes the classes predicted before; they are kept for all stages.

    Raises:
        ValueError: fewer than 2 images with a map that is not constant, or no stage.
        As `Explainer.explain`.
    """
    original = explainer.explain(classifier, pixels, targets, layer=layer)
    copied = replace(classifier, module=copy.deepcopy(classifier.module))
    generator = torch.Generator().manual_seed(seed)
    rows, summary, done = [], [], 0
    for stage, group in enumerate(_groups(classifier, stages), start=1):
        for name in group:
            shuffle_weights(copied.module.get_submodule(name), generator=generator)
        done += len(group)
        found = explainer.explain(copied, pixels, original.targets, layer=original.layer or None)
        for image, (spearman, ssim) in enumerate(_similarities(original, found)):
            rows.append({"stage": stage, "image": image, "spearman": spearman, "ssim": ssim})
        summary.append({"stage": stage, "layers": done, "deepest": group[-1]})
    return _summarised(original, pd.DataFrame(rows), pd.DataFrame(summary), limit=limit, seed=seed)


def _groups(classifier: Classifier, stages: int) -> list[list[str]]:
    """Names of the modules with weights of their own, from the output down, in `stages` groups."""
    ran = [call.name for call in trace(classifier) if next(call.module.parameters(recurse=False), None) is not None]
    names = list(dict.fromkeys(reversed(ran)))
    if stages < 1 or not names:
        raise ValueError(f"expected at least 1 stage and a network with weights, got {stages} and {len(names)} layers")
    return [group.tolist() for group in np.array_split(np.array(names), min(stages, len(names)))]


def shuffle_weights(module: nn.Module, *, generator: torch.Generator) -> None:
    """Shuffle the values within each of the module's own parameters, in place. Buffers stay."""
    with torch.no_grad():
        for parameter in module.parameters(recurse=False):
            order = torch.randperm(parameter.numel(), generator=generator)
            values = parameter.detach().flatten()[order.to(parameter.device)].view_as(parameter)
            parameter.copy_(values)


def _similarities(original: Maps, found: Maps) -> list[tuple[float, float]]:
    """(|Spearman| of the raw maps, SSIM of the normalised ones) of each image; NaN where the original is constant."""
    ssim = structural_similarity(original.normalised.double().cpu(), found.normalised.double().cpu())
    pairs = zip(original.raw.double().cpu().flatten(1), found.raw.double().cpu().flatten(1), ssim.tolist(), strict=True)
    return [(_rank_similarity(before.numpy(), after.numpy()), alike) for before, after, alike in pairs]


def _rank_similarity(before: NDArray[np.float64], after: NDArray[np.float64]) -> float:
    if np.ptp(before) == 0:
        return float("nan")
    # A map that became constant has kept nothing of the original's order.
    return 0.0 if np.ptp(after) == 0 else abs(float(stats.spearmanr(before, after).statistic))


def structural_similarity(first: Tensor, second: Tensor, *, window: int = 7) -> Tensor:
    """Return the mean structural similarity `[B]` of maps `[B,H,W]` in [0, 1] (Wang et al. 2004, eq. 13).

    Uniform windows of 7 x 7 that lie within the map (smaller ones on smaller maps), K1 = 0.01, K2 = 0.03, sample
    covariances.
    """
    side = min(window, *first.shape[1:])
    one, two = first[:, None], second[:, None]

    def local(values: Tensor) -> Tensor:
        return functional.avg_pool2d(values, side, stride=1)

    scale = side * side / max(1, side * side - 1)
    mean_one, mean_two = local(one), local(two)
    variance_one = scale * (local(one * one) - mean_one**2)
    variance_two = scale * (local(two * two) - mean_two**2)
    covariance = scale * (local(one * two) - mean_one * mean_two)
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_one * mean_two + c1) / (mean_one**2 + mean_two**2 + c1)
    contrast = (2 * covariance + c2) / (variance_one + variance_two + c2)
    similarity: Tensor = (luminance * contrast).mean(dim=(1, 2, 3))
    return similarity


def _summarised(
    original: Maps, ledger: pd.DataFrame, stages: pd.DataFrame, *, limit: float, seed: int
) -> RandomisationCheck:
    measured = ledger.dropna(subset="spearman")
    last = measured[measured["stage"] == measured["stage"].max()]
    if len(last) < 2:
        raise ValueError(
            f"expected at least 2 images with a map that is not constant, got {len(last)} of {len(original)}"
        )
    effect = mean_effect(last["spearman"].to_numpy(dtype=np.float64), last["image"].to_numpy(dtype=np.int64), seed=seed)
    means = measured.groupby("stage")[["spearman", "ssim"]].mean().reset_index()
    return RandomisationCheck(
        method=original.method,
        layer=original.layer,
        stages=stages.merge(means, on="stage"),
        ledger=ledger,
        similarity=effect.mean,
        interval=effect.interval,
        limit=limit,
        compared=len(last),
        constant=len(original) - len(last),
        seed=seed,
    )
