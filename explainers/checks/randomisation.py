"""Model parameter randomisation (Adebayo et al. 2018, section 3): does a map depend on what the network learned?

A map that stays as it was while the weights are destroyed shows the image, not the classifier.
"""

import copy
from collections.abc import Callable, Mapping
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
from explainers.resampling import Effect, mean_effect
from wolfhound.classifier import Classifier

LEAST_VARYING = 0.5
"""Share of the maps of randomised networks that must vary: a network that died has no map to be unlike the original."""


@dataclass(frozen=True, eq=False)
class RandomisationCheck:
    """What became of the maps when the weights were randomised.

    Attributes:
        method, layer: what was checked.
        stages: one row a stage of the cascade from the output down: stage, layers (randomised so far), deepest (name of
            the lowest of them), spearman and absolute (means over images of the rank correlation and of its magnitude,
            raw maps), ssim (mean, normalised maps).
        draws: one row an image and draw of the whole network's weights: draw, image (position in the batch), spearman,
            absolute, chance (mean magnitude against the other images' maps), varies (whether the map of the network
            without learned weights is more than a constant, which has nothing to correlate with).
        kept: mean rank correlation with every layer randomised, over images and draws. High where a map shows the image
            or a fixed pattern.
        image_specific: mean of absolute - chance. High where a map shows the image with a sign that the weights choose;
            what two maps share by their grid and borders alone is taken off.
        limit: what the upper ends of both intervals must stay below.
        compared: images with a map that was not constant; `constant` those without, which say nothing.
        seed: of the randomisation.
    """

    method: str
    layer: str
    stages: pd.DataFrame = field(repr=False)
    draws: pd.DataFrame = field(repr=False)
    kept: Effect
    image_specific: Effect
    limit: float
    compared: int
    constant: int
    seed: int

    @property
    def decidable(self) -> bool:
        """Whether enough networks without learned weights still gave maps to compare with."""
        return float(self.draws["varies"].mean()) >= LEAST_VARYING

    @property
    def passed(self) -> bool:
        """Whether the map depends on the weights: both intervals lie below the limit, and not for want of maps."""
        return self.decidable and max(self.kept.interval.high, self.image_specific.interval.high) < self.limit

    @property
    def text(self) -> str:
        """The verdict as it is printed beside a figure."""
        verdict = "the maps depend on the learned weights" if self.passed else "NOT shown to depend on the weights"
        if not self.decidable:
            flat = int((~self.draws["varies"]).sum())
            verdict += f": {flat} of {len(self.draws)} maps of randomised networks are constant"
        kept, specific = self.kept, self.image_specific
        return (
            f"randomisation check: {verdict} (rank correlation kept {kept.mean:.2f} "
            f"[{kept.interval.low:.2f}, {kept.interval.high:.2f}], of it specific to the image {specific.mean:.2f} "
            f"[{specific.interval.low:.2f}, {specific.interval.high:.2f}]; limit {self.limit:g}, n = {self.compared})"
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
    draws: int = 8,
    limit: float = 0.5,
) -> RandomisationCheck:
    """Return how similar the maps stay while a COPY of the network loses its weights.

    The cascade from the output down shows where a map changes; the verdict is over `draws` networks without any learned
    weight, and its intervals over draws, because one random network says little. Departures from the paper: weights are
    shuffled within each tensor instead of drawn anew, which keeps every layer's scale whatever its initialisation was;
    layers go in `stages` groups of about equal number; the magnitude of the correlation is judged against that between
    different images, since two unrelated maps of few places have a large one; `limit` is ours, as the paper has none.

    Args:
        classifier: not touched, neither its weights nor its hooks.
        pixels: `[B,3,H,W]` in [0, 1], at least 2 images.
        targets: None takes the classes predicted before; they are kept throughout.

    Raises:
        ValueError: fewer than 2 images with a map that is not constant, no stage, or fewer than 2 draws.
        As `Explainer.explain`.
    """
    original = explainer.explain(classifier, pixels, targets, layer=layer)

    def explained(copied: Classifier) -> Mapping[str, Maps]:
        return {"": explainer.explain(copied, pixels, original.targets, layer=original.layer or None)}

    checks = randomisation_checks(
        classifier, {"": original}, explained, seed=seed, stages=stages, draws=draws, limit=limit
    )
    return checks[""]


Explained = Callable[[Classifier], Mapping[str, Maps]]


def randomisation_checks(
    classifier: Classifier,
    original: Mapping[str, Maps],
    explained: Explained,
    *,
    seed: int,
    stages: int = 5,
    draws: int = 8,
    limit: float = 0.5,
) -> dict[str, RandomisationCheck]:
    """Return the check of several kinds of maps over the same randomised networks, so that they can share passes.

    Args:
        original: the maps of the network as it is, by any name, all of the same images.
        explained: makes those maps again, under the same names and of the same targets, for a network of other weights.

    Raises:
        ValueError: as `randomisation_check`, for any of them (`varied` tells beforehand).
    """
    if draws < 2:
        raise ValueError(f"expected at least 2 draws to estimate their spread from, got {draws}")
    images = {name: _enough(maps) for name, maps in original.items()}
    generator = torch.Generator().manual_seed(seed)
    groups = _groups(classifier, stages)
    work = (classifier, groups, original, explained)
    cascades = _cascade(*work, images=images, generator=generator)
    tables = _draws(*work, images=images, generator=generator, draws=draws)
    return {
        name: _verdict(maps, cascades[name], tables[name], limit=limit, seed=seed) for name, maps in original.items()
    }


def _verdict(
    original: Maps, cascade: pd.DataFrame, table: pd.DataFrame, *, limit: float, seed: int
) -> RandomisationCheck:
    clusters, compared = table["draw"].to_numpy(dtype=np.int64), table["image"].nunique()
    specific = (table["absolute"] - table["chance"]).to_numpy(dtype=np.float64)
    return RandomisationCheck(
        method=original.method,
        layer=original.layer,
        stages=cascade,
        draws=table,
        kept=mean_effect(table["spearman"].to_numpy(dtype=np.float64), clusters, seed=seed),
        image_specific=mean_effect(specific, clusters, seed=seed),
        limit=limit,
        compared=compared,
        constant=len(original) - compared,
        seed=seed,
    )


def varied(maps: Maps) -> list[int]:
    """Return the positions of the maps that are not constant; a check needs at least 2 to compare with each other."""
    flat = maps.raw.flatten(1)
    return [int(image) for image in (flat.amax(dim=1) > flat.amin(dim=1)).nonzero().flatten()]


def _enough(maps: Maps) -> list[int]:
    images = varied(maps)
    if len(images) < 2:
        raise ValueError(f"expected at least 2 images with a map that is not constant, got {len(images)}")
    return images


def _cascade(
    classifier: Classifier,
    groups: list[list[str]],
    original: Mapping[str, Maps],
    explained: Explained,
    *,
    images: Mapping[str, list[int]],
    generator: torch.Generator,
) -> dict[str, pd.DataFrame]:
    copied, done = replace(classifier, module=copy.deepcopy(classifier.module)), 0
    rows: dict[str, list[dict[str, object]]] = {name: [] for name in original}
    for stage, group in enumerate(groups, start=1):
        for name in group:
            shuffle_weights(copied.module.get_submodule(name), generator=generator)
        done, found = done + len(group), explained(copied)
        for name, chosen in images.items():
            kept = _kept(original[name], found[name], chosen)
            rows[name].append({"stage": stage, "layers": done, "deepest": group[-1], **kept})
    return {name: pd.DataFrame(row) for name, row in rows.items()}


def _kept(original: Maps, found: Maps, images: list[int]) -> dict[str, float]:
    own = rank_correlations(original.raw[images], found.raw[images]).diagonal()
    ssim = structural_similarity(original.normalised[images].double(), found.normalised[images].double())
    return {"spearman": float(own.mean()), "absolute": float(np.abs(own).mean()), "ssim": float(ssim.mean())}


def _draws(
    classifier: Classifier,
    groups: list[list[str]],
    original: Mapping[str, Maps],
    explained: Explained,
    *,
    images: Mapping[str, list[int]],
    generator: torch.Generator,
    draws: int,
) -> dict[str, pd.DataFrame]:
    rows: dict[str, list[pd.DataFrame]] = {name: [] for name in original}
    for draw in range(draws):
        copied = replace(classifier, module=copy.deepcopy(classifier.module))
        for layer in (name for group in groups for name in group):
            shuffle_weights(copied.module.get_submodule(layer), generator=generator)
        found = explained(copied)
        for name, chosen in images.items():
            every = rank_correlations(original[name].raw[chosen], found[name].raw[chosen])
            size = np.abs(every)
            chance = (size.sum(axis=1) - size.diagonal()) / (len(chosen) - 1)
            compared = pd.DataFrame({"draw": draw, "image": chosen, "spearman": every.diagonal()})
            compared["absolute"], compared["chance"] = size.diagonal(), chance
            rows[name].append(compared.assign(varies=np.isin(chosen, varied(found[name]))))
    return {name: pd.concat(tables, ignore_index=True) for name, tables in rows.items()}


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


def rank_correlations(first: Tensor, second: Tensor) -> NDArray[np.float64]:
    """Return Spearman's rank correlation of every map `[B,h,w]` of `first` with every one of `second`, `[B,B]`.

    A constant map has no order: its correlation is 0, for it has kept nothing of the other's.
    """
    one, two = (_standard_ranks(maps.double().cpu().flatten(1).numpy()) for maps in (first, second))
    return one @ two.T


def _standard_ranks(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    ranks = stats.rankdata(rows, axis=1)
    ranks = ranks - ranks.mean(axis=1, keepdims=True)
    length = np.linalg.norm(ranks, axis=1, keepdims=True)
    standard: NDArray[np.float64] = np.divide(ranks, length, out=np.zeros_like(ranks), where=length > 0)
    return standard


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
