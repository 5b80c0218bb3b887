"""Spectral clustering with the number of clusters from the eigengap: small, in float64, the same on every run.

Sources: Ng, Jordan & Weiss 2002 (normalised eigenvectors, then k-means); von Luxburg 2007, section 8 (eigengap);
Zelnik-Manor & Perona 2004 (local scaling of the similarities). The graph is complete: in a graph of few neighbours one
cloud falls into pieces, and the gap then says so of clouds that have none.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
RESTARTS = 10


@dataclass(frozen=True, eq=False)
class Clustering:
    """Clusters of N points.

    Attributes:
        labels: int64 `[N]`, 0 to K - 1, the largest cluster first.
        eigenvalues: of the symmetric normalised Laplacian, ascending, the first `most` + 1; in [0, 2].
        gap: between the K-th and the next one: how clear the number of clusters is.
    """

    labels: NDArray[np.int64]
    eigenvalues: Points = field(repr=False)
    gap: float

    @property
    def count(self) -> int:
        """How many clusters there are."""
        return int(self.labels.max()) + 1


def spectral_clusters(
    points: Points, *, neighbours: int | None = None, most: int = 10, count: int | None = None, seed: int
) -> Clustering:
    """Return clusters of `points` `[N,D]`; how many is where the Laplacian's eigenvalues leave the largest gap.

    Points spread evenly in few dimensions have no clear gap, so that some number of clusters comes out: look at `gap`.

    Args:
        neighbours: similarities are scaled by the distance to the neighbour of that rank; None takes a sixth of all, at
            least 3.
        most: clusters looked for at most; at least 1 and fewer than points.
        count: how many clusters there are, if that is known; the eigengap is not asked then.
        seed: of the k-means starts.

    Raises:
        ValueError: points that are not finite or too few for the neighbours or clusters asked for.
    """
    if points.ndim != 2 or not np.isfinite(points).all() or not 1 <= max(most, count or 1) < len(points):
        raise ValueError(
            f"expected finite points [N, D], more of them than the {most} clusters looked for, got {list(points.shape)}"
        )
    rank = max(3, len(points) // 6) if neighbours is None else neighbours
    weights = _similarities(points, neighbours=min(rank, len(points) - 1))
    scale = 1 / np.sqrt(weights.sum(axis=1))
    laplacian = np.eye(len(points)) - scale[:, None] * weights * scale
    values, vectors = np.linalg.eigh((laplacian + laplacian.T) / 2)
    gaps = np.diff(values[: most + 1])
    # A tie in rounding must not choose: equal gaps take the fewest clusters.
    count = int(np.flatnonzero(gaps >= gaps.max() - 1e-9)[0]) + 1 if count is None else count
    rows = vectors[:, :count]
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    labels = _largest_first(k_means(rows, count, seed=seed))
    return Clustering(labels, values[: most + 1], float(values[count] - values[count - 1]))


def _similarities(points: Points, *, neighbours: int) -> Points:
    """Return exp(-d_ij^2 / (s_i s_j)), s_i the distance of i to its neighbour of that rank; 0 on the diagonal."""
    squared = np.maximum(0, (points**2).sum(1)[:, None] + (points**2).sum(1) - 2 * points @ points.T)
    np.fill_diagonal(squared, 0)
    scale = np.sqrt(np.sort(squared, axis=1)[:, neighbours])
    product = np.maximum(scale[:, None] * scale, 1e-300)
    # Equal points are alike whatever the scale; a thread to everything keeps every degree above 0.
    found: Points = np.where(squared > 0, np.maximum(np.exp(-squared / product), 1e-12), 1.0)
    np.fill_diagonal(found, 0)
    return found


def k_means(points: Points, count: int, *, seed: int, steps: int = 100) -> NDArray[np.int64]:
    """Return the labels of the best of ten k-means runs (Lloyd 1982, started as Arthur & Vassilvitskii 2007)."""
    rng, best, lowest = np.random.default_rng([seed, 10]), np.zeros(len(points), dtype=np.int64), np.inf
    for _ in range(RESTARTS):
        centres = _spread_centres(points, count, rng)
        for _ in range(steps):
            distances = ((points[:, None] - centres) ** 2).sum(axis=2)
            labels = distances.argmin(axis=1)
            moved = np.stack(
                [points[labels == k].mean(axis=0) if (labels == k).any() else centres[k] for k in range(count)]
            )
            if np.allclose(moved, centres, atol=1e-12):
                break
            centres = moved
        total = float(distances.min(axis=1).sum())
        if total < lowest - 1e-12:
            best, lowest = labels, total
    return best.astype(np.int64)


def _spread_centres(points: Points, count: int, rng: np.random.Generator) -> Points:
    chosen = [int(rng.integers(len(points)))]
    while len(chosen) < count:
        nearest = np.min(((points[:, None] - points[chosen]) ** 2).sum(axis=2), axis=1)
        total = nearest.sum()
        share = nearest / total if total > 0 else np.full(len(points), 1 / len(points))
        chosen.append(int(rng.choice(len(points), p=share)))
    return points[chosen]


def _largest_first(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    names, sizes = np.unique(labels, return_counts=True)
    order = names[np.argsort(-sizes, kind="stable")]
    rank = {int(name): place for place, name in enumerate(order)}
    return np.array([rank[int(label)] for label in labels], dtype=np.int64)
