"""Clusters of heat maps: do some images of a class get their prediction from elsewhere than the others do?

Source: Lapuschkin et al. 2019 (SpRAy, spectral relevance analysis): maps of the images of one class, made small, then
spectral clustering; the eigengap says whether there are clusters at all. Departures: Grad-CAM maps instead of LRP, a
complete graph scaled locally, maps normalised to sum 1 so that place counts and not strength.

What it finds is a hypothesis, not a finding: a cluster may be a pose, a size or a camera. Each one has to be put to a
test by intervention before it says anything about the classifier.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from explainers.bias.spectral import Clustering, spectral_clusters

LABEL = "hypothesis, not a finding"
"""Printed wherever one of these is shown."""

SIDE = 16
"""Places along each side of the maps that are clustered."""
LEAST_MAPS = 20
"""Maps of a class below which no clusters are looked for."""


@dataclass(frozen=True, eq=False)
class MapClusters:
    """Clusters of the maps of one class.

    Attributes:
        label: the class.
        rows: positions of its images among all, int64 `[N]`; those with an empty map are left out (`empty`).
        clusters: of those rows.
        errors: share of wrong predictions in each cluster, `[K]`.
        silhouette: how well a map fits its cluster against the next one, mean over maps, in [-1, 1]; 0 for one cluster.
        centres: mean map of each cluster, `[K,SIDE,SIDE]`.
        representatives: of each cluster the positions nearest to its mean map, nearest first.
        empty: maps without a positive value.
    """

    label: str
    rows: NDArray[np.int64]
    clusters: Clustering
    errors: NDArray[np.float64]
    silhouette: float
    centres: NDArray[np.float64] = field(repr=False)
    representatives: tuple[NDArray[np.int64], ...] = field(repr=False)
    empty: int

    @property
    def text(self) -> str:
        """What is proposed, in one sentence that says what it is worth."""
        sizes = np.bincount(self.clusters.labels).tolist()
        if len(sizes) == 1:
            return f"{self.label}: no clusters among {sizes[0]} maps ({LABEL})"
        parts = ", ".join(f"{size} ({100 * error:.0f} % wrong)" for size, error in zip(sizes, self.errors, strict=True))
        return (
            f"{self.label}: {len(sizes)} clusters of {parts}; eigengap {self.clusters.gap:.3f}, silhouette "
            f"{self.silhouette:.2f} ({LABEL})"
        )


def map_clusters(
    raw: Tensor,
    labels: Sequence[str],
    wrong: NDArray[np.bool_],
    *,
    least: int = LEAST_MAPS,
    shown: int = 4,
    most: int = 6,
    seed: int,
) -> tuple[MapClusters, ...]:
    """Return the clusters of the maps of each label that has at least `least` maps that are not empty, sorted.

    Args:
        raw: maps `[N,h,w]` of one method and layer; their positive part is used.
        labels: one a map: the predicted class, or whatever the images are to be compared within.
        wrong: whether each image's prediction is wrong.
        shown: representatives of each cluster.
        most: clusters looked for at most.
        seed: of k-means.

    Raises:
        ValueError: numbers that do not fit, or maps that are not finite.
    """
    if not len(raw) == len(labels) == len(wrong):
        raise ValueError(f"expected a label and a flag a map, got {len(raw)}, {len(labels)} and {len(wrong)}")
    points, full = _flattened(raw)
    found = []
    for label in sorted(set(labels)):
        own = np.array([name == label for name in labels])
        rows = np.flatnonzero(own & full)
        if len(rows) >= max(least, most + 1):
            found.append(
                _clusters_of(label, rows, points[rows], wrong[rows], shown, most, int((own & ~full).sum()), seed)
            )
    return tuple(found)


def _flattened(raw: Tensor) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the maps at `SIDE` x `SIDE` places, summing to 1, and which are not empty."""
    positive = raw.detach().double().cpu().clamp(min=0)
    small = functional.interpolate(positive[:, None], size=(SIDE, SIDE), mode="bilinear", antialias=True)
    flat = small.flatten(1).clamp(min=0).numpy()
    sums = flat.sum(axis=1, keepdims=True)
    return flat / np.maximum(sums, 1e-300), sums[:, 0] > 0


def _clusters_of(
    label: str,
    rows: NDArray[np.int64],
    points: NDArray[np.float64],
    wrong: NDArray[np.bool_],
    shown: int,
    most: int,
    empty: int,
    seed: int,
) -> MapClusters:
    clusters = spectral_clusters(points, most=most, seed=seed)
    members = [np.flatnonzero(clusters.labels == k) for k in range(clusters.count)]
    centres = np.stack([points[chosen].mean(axis=0) for chosen in members])
    nearest = [
        rows[chosen[np.argsort(((points[chosen] - centre) ** 2).sum(axis=1), kind="stable")[:shown]]]
        for chosen, centre in zip(members, centres, strict=True)
    ]
    return MapClusters(
        label=label,
        rows=rows,
        clusters=clusters,
        errors=np.array([float(wrong[chosen].mean()) for chosen in members]),
        silhouette=silhouette(points, clusters.labels),
        centres=centres.reshape(-1, SIDE, SIDE),
        representatives=tuple(nearest),
        empty=empty,
    )


def silhouette(points: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return the mean silhouette (Rousseeuw 1987) of a clustering, in [-1, 1]; 0 where there is one cluster.

    A point alone in its cluster counts 0.
    """
    names = np.unique(labels)
    if len(names) < 2:
        return 0.0
    squared = (points**2).sum(1)[:, None] + (points**2).sum(1) - 2 * points @ points.T
    distances = np.sqrt(np.maximum(0, squared))
    np.fill_diagonal(distances, 0)
    sums = np.stack([distances[:, labels == name].sum(axis=1) for name in names], axis=1)
    sizes = np.array([(labels == name).sum() for name in names])
    own = np.searchsorted(names, labels)
    every = np.arange(len(points))
    within = sums[every, own] / np.maximum(sizes[own] - 1, 1)
    means = sums / sizes
    means[every, own] = np.inf
    beside = means.min(axis=1)
    scores = np.where(sizes[own] > 1, (beside - within) / np.maximum(np.maximum(within, beside), 1e-300), 0.0)
    return float(scores.mean())


def cluster_ledger(found: Sequence[MapClusters], hashes: Sequence[str]) -> pd.DataFrame:
    """Return columns image, within (the class), cluster, of every map that was clustered."""
    rows = [
        {"image": hashes[row], "within": one.label, "cluster": int(cluster)}
        for one in found
        for row, cluster in zip(one.rows, one.clusters.labels, strict=True)
    ]
    return pd.DataFrame(rows, columns=["image", "within", "cluster"])
