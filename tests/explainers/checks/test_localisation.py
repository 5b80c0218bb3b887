"""Where maps lie relative to objects, by hand and by chance."""

import numpy as np
import pytest
import torch

from explainers.checks.localisation import localisation


def masks_of(*corners):
    """Objects of 2 x 2 pixels in images of 6 x 6, by their upper left corner."""
    masks = torch.zeros(len(corners), 1, 6, 6)
    for index, (row, column) in enumerate(corners):
        masks[index, 0, row : row + 2, column : column + 2] = 1
    return masks


def test_a_map_on_its_object_hits_with_all_its_energy_and_overlaps_fully():
    masks = masks_of((0, 0), (3, 2))
    found = localisation(masks[:, 0] - 0.5, masks, seed=0)
    assert found.hits.tolist() == [True, True]
    np.testing.assert_allclose(found.energy, 1)
    np.testing.assert_allclose(found.overlap, 1)
    np.testing.assert_allclose(found.area, 4 / 36)
    assert found.empty == 0


def test_energy_and_overlap_are_counted_by_hand():
    masks = masks_of((0, 0))
    raw = torch.zeros(1, 6, 6)
    raw[0, 0, :4] = torch.tensor([1.0, 3.0, 4.0, 0.5])
    raw[0, 5, 5] = -9.0
    found = localisation(raw, masks, threshold=0.5, seed=0)
    assert found.energy[0] == pytest.approx(4 / 8.5)
    # From half of 4 on: two pixels, one of them on the object of four.
    assert found.overlap[0] == pytest.approx(1 / 5)
    assert found.hits.tolist() == [False]
    assert localisation(raw, masks, tolerance=1, seed=0).hits.tolist() == [True]


def test_a_map_without_positive_values_has_no_energy_and_is_counted():
    found = localisation(-torch.rand(2, 3, 3), masks_of((0, 0), (4, 4)), seed=0)
    assert found.empty == 2
    assert found.energy.tolist() == found.overlap.tolist() == [0, 0]


def test_a_flat_map_hits_as_often_as_chance():
    masks = masks_of(*[(index % 5, index % 3) for index in range(600)])
    hits = localisation(torch.ones(600, 6, 6), masks, seed=1).hits.mean()
    assert hits == pytest.approx(4 / 36, abs=0.05)


def test_coarse_maps_are_grown_to_the_masks():
    raw = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])
    assert localisation(raw, masks_of((0, 4)), seed=0).hits.tolist() == [True]


def test_images_without_object_and_misfits_are_refused():
    with pytest.raises(ValueError, match=r"none in image\(s\) \[1\]"):
        localisation(torch.rand(2, 3, 3), torch.cat([masks_of((0, 0)), torch.zeros(1, 1, 6, 6)]), seed=0)
    with pytest.raises(ValueError, match="maps"):
        localisation(torch.rand(3, 3, 3), masks_of((0, 0)), seed=0)
    with pytest.raises(ValueError, match="threshold"):
        localisation(torch.rand(1, 3, 3), masks_of((0, 0)), threshold=0, seed=0)
