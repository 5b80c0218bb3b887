import numpy as np
import pytest
import torch

from explainers.bias.hypotheses import LABEL, cluster_ledger, map_clusters, silhouette
from explainers.bias.spectral import k_means, spectral_clusters


def blobs(
    *sizes: int, spread: float = 0.3, seed: int = 0
) -> tuple["np.ndarray[tuple[int, ...], np.dtype[np.float64]]", list[int]]:
    rng = np.random.default_rng(seed)
    points = [rng.normal([6 * k, (-1) ** k * 3], spread, (size, 2)) for k, size in enumerate(sizes)]
    return np.concatenate(points), [k for k, size in enumerate(sizes) for _ in range(size)]


@pytest.mark.parametrize("sizes", [(30, 20), (25, 20, 15), (14, 13, 12, 11)])
def test_separate_clouds_are_found_and_their_number_is_the_eigengaps(sizes: tuple[int, ...]) -> None:
    points, truth = blobs(*sizes)
    found = spectral_clusters(points, seed=0)
    assert found.count == len(sizes)
    assert found.labels.tolist() == truth  # the largest cluster comes first, as the clouds do
    assert found.gap > 0.1


def test_two_rings_are_told_apart_where_k_means_cannot() -> None:
    rng, angles = np.random.default_rng(0), np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = np.concatenate([circle, 4 * circle]) + rng.normal(0, 0.05, (120, 2))
    truth = np.repeat([0, 1], 60)
    found = spectral_clusters(points, neighbours=4, count=2, seed=0).labels
    plain = k_means(points, 2, seed=0)
    assert max((found == truth).mean(), (found != truth).mean()) == 1
    assert max((plain == truth).mean(), (plain != truth).mean()) < 0.8


def test_the_labels_do_not_depend_on_the_seed_or_the_order() -> None:
    points, _ = blobs(30, 20)
    shuffled = np.random.default_rng(1).permutation(50)
    first, again = spectral_clusters(points, seed=0).labels, spectral_clusters(points, seed=9).labels
    assert first.tolist() == again.tolist()
    assert spectral_clusters(points[shuffled], seed=0).labels.tolist() == first[shuffled].tolist()


def test_one_cloud_is_one_cluster() -> None:
    clouds = [np.random.default_rng(seed).normal(0, 1, (60, 20)) for seed in range(10)]
    assert [spectral_clusters(cloud, seed=0).count for cloud in clouds] == [1] * 10


def test_equal_points_are_one_cluster() -> None:
    found = spectral_clusters(np.ones((20, 3)), seed=0)
    assert found.count == 1


@pytest.mark.peers
def test_clusters_agree_with_scikit_learns() -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    metrics = pytest.importorskip("sklearn.metrics")
    points, _ = blobs(30, 20, 25, spread=1.0)
    ours = spectral_clusters(points, seed=0)
    peer = cluster.SpectralClustering(ours.count, affinity="nearest_neighbors", n_neighbors=15, random_state=0)
    assert metrics.adjusted_rand_score(ours.labels, peer.fit_predict(points)) > 0.95
    assert silhouette(points, ours.labels) == pytest.approx(metrics.silhouette_score(points, ours.labels))


def maps(corner: int, centre: int) -> torch.Tensor:
    """Maps that are hot in a corner, then maps that are hot in the centre, each with noise."""
    raw = 0.1 * torch.rand(corner + centre, 8, 8, generator=torch.Generator().manual_seed(0))
    raw[:corner, :3, :3] += 1
    raw[corner:, 3:6, 3:6] += 1
    return raw


def test_maps_that_look_elsewhere_are_a_cluster_of_their_own() -> None:
    wrong = np.array([True] * 12 + [False] * 30)
    (found,) = map_clusters(maps(12, 30), ["wolf"] * 42, wrong, seed=0)
    assert np.bincount(found.clusters.labels).tolist() == [30, 12]
    assert found.errors.tolist() == [0.0, 1.0]
    assert set(found.representatives[1].tolist()) <= set(range(12))
    assert found.centres[1, :5, :5].sum() > found.centres[0, :5, :5].sum()
    assert LABEL in found.text
    assert "2 clusters of 30 (0 % wrong), 12 (100 % wrong)" in found.text


def test_strength_makes_no_cluster_only_place_does() -> None:
    raw = maps(0, 40)
    raw[:20] *= 50
    (found,) = map_clusters(raw, ["wolf"] * 40, np.zeros(40, dtype=np.bool_), seed=0)
    (plain,) = map_clusters(maps(0, 40), ["wolf"] * 40, np.zeros(40, dtype=np.bool_), seed=0)
    assert found.clusters.labels.tolist() == plain.clusters.labels.tolist()


def test_classes_with_few_maps_and_empty_maps_are_left_out() -> None:
    raw = torch.cat([maps(12, 12), maps(0, 10), torch.full((3, 8, 8), -1.0)])
    labels = ["wolf"] * 24 + ["husky"] * 10 + ["wolf"] * 3
    found = map_clusters(raw, labels, np.zeros(37, dtype=np.bool_), seed=0)
    assert [(one.label, len(one.rows), one.empty) for one in found] == [("wolf", 24, 3)]
    ledger = cluster_ledger(found, [f"h{i}" for i in range(37)])
    assert len(ledger) == 24
    assert set(ledger["within"]) == {"wolf"}


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="a label and a flag a map"):
        map_clusters(maps(2, 2), ["a"] * 3, np.zeros(4, dtype=np.bool_), seed=0)
    with pytest.raises(ValueError, match="more of them than the 10 clusters"):
        spectral_clusters(np.zeros((5, 2)), seed=0)
