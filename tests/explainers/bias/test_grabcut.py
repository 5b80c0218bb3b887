"""Estimated masks. What needs OpenCV is skipped where it is not installed."""

import sys

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from explainers.bias.grabcut import GrabCut, dilation_sensitivity, pair_plates, plates_without_objects
from explainers.bias.verdict import ExcessFlips
from wolfhound.errors import DataError
from wolfhound.statistics import Interval, Rate


def scene(radius: int = 14) -> tuple[torch.Tensor, torch.Tensor]:
    """A red disc on noisy green, and its mask."""
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    disc = ((rows - 30) ** 2 + (columns - 34) ** 2 < radius**2).float()
    noise = 0.1 * torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    red, green = torch.tensor([0.8, 0.1, 0.1]).view(3, 1, 1), torch.tensor([0.1, 0.6, 0.2]).view(3, 1, 1)
    return (disc * red + (1 - disc) * green + noise)[None], disc[None, None]


def overlap(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first * second).sum() / torch.maximum(first, second).sum())


def test_the_mask_of_a_disc_is_the_disc_from_a_box_and_from_the_centre() -> None:
    pytest.importorskip("cv2", reason="needs opencv-python-headless")
    images, disc = scene()
    centred = GrabCut().masks(images)
    boxed = GrabCut().masks(images, torch.tensor([[18, 14, 50, 46]]))
    assert overlap(centred.masks, disc) > 0.95
    assert overlap(boxed.masks, disc) > 0.95
    assert centred.usable.all()
    assert "a centred rectangle" in centred.source
    assert "the boxes given" in boxed.source


def test_a_mask_depends_on_its_image_alone() -> None:
    pytest.importorskip("cv2", reason="needs opencv-python-headless")
    images = torch.cat([scene(14)[0], scene(9)[0]])
    assert torch.equal(GrabCut().masks(images).masks[1:], GrabCut().masks(images[1:]).masks)


def test_an_image_without_an_object_is_not_usable() -> None:
    pytest.importorskip("cv2", reason="needs opencv-python-headless")
    assert not GrabCut().masks(scene(radius=0)[0] * 0 + 0.5).usable.any()


def test_a_plate_has_no_colour_of_its_object_left() -> None:
    pytest.importorskip("cv2", reason="needs opencv-python-headless")
    images, disc = scene()
    plate = plates_without_objects(images, disc)
    assert float(plate[:, 0].max()) < 0.3
    assert torch.allclose(plate[..., :5, :], images[..., :5, :], atol=1 / 255)


def test_without_opencv_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(DataError, match="pip install 'wolfhound\\[grabcut\\]'"):
        GrabCut().masks(scene()[0])


def test_boxes_outside_the_image_or_of_all_of_it_are_refused() -> None:
    for box in ([0, 0, 64, 64], [10, 10, 10, 20], [-1, 0, 5, 5], [0, 0, 65, 5]):
        with pytest.raises(DataError, match="that leave some background"):
            GrabCut().masks(scene()[0], torch.tensor([box]))


def test_no_image_meets_its_own_plate_and_every_plate_is_of_the_right_kind() -> None:
    kinds = ["snow"] * 5 + ["grass"] * 8
    same, other = pair_plates(kinds, seed=0)
    for image, kind in enumerate(kinds):
        assert same[image] != image
        assert (kinds[same[image]], kinds[other[image]] == kind) == (kind, False)
    assert sorted(same.tolist()) == list(range(13))
    with pytest.raises(DataError, match="at least two kinds"):
        pair_plates(["snow"] * 4, seed=0)


def flips(excess: float) -> ExcessFlips:
    rates, bounds = (Rate(5, 9, "images"), Rate(1, 9, "images")), Interval(excess - 0.1, excess + 0.1)
    return ExcessFlips("swapped", *rates, excess, bounds, p_value=0.5, p_holm=0.5, detectable=None)


@pytest.mark.parametrize(("slope", "stays"), [(0.0, True), (0.05, False)])
def test_a_result_stays_only_if_it_says_the_same_at_every_offset(slope: float, stays: bool) -> None:
    masks = torch.zeros(3, 1, 32, 32)
    masks[:2, :, 8:24, 8:24] = 1
    masks[2, :, 10:12, 10:12] = 1  # vanishes when shrunk

    def measure(changed: torch.Tensor, positions: NDArray[np.int64]) -> ExcessFlips:
        assert positions.tolist() == [0, 1]
        return flips(0.2 + slope * (float(changed[0].sum()) ** 0.5 - 16) / 2)

    found = dilation_sensitivity(measure, masks, offsets=(-4, -2, 0, 2, 4))
    assert (found.stays, found.left_out) == (stays, 1)
    assert found.table["pixels"].tolist() == [-4, -2, 0, 2, 4]
