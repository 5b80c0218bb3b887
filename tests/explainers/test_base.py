"""Normalisation, targets and the fusion of layers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from explainers.base import Maps, Targets, fuse, normalise

RAW = arrays.arrays(np.float32, (2, 3, 4), elements=st.floats(-1e3, 1e3, width=32))


@given(RAW)
def test_normalised_maps_lie_in_the_unit_range(raw):
    found = normalise([torch.from_numpy(raw)], size=(8, 6))
    assert found.shape == (2, 8, 6)
    assert float(found.min()) >= 0
    assert float(found.max()) <= 1


def test_a_map_without_a_positive_value_becomes_all_zero():
    assert torch.equal(normalise([-torch.ones(1, 2, 2)], size=(4, 4)), torch.zeros(1, 4, 4))


def test_normalisation_follows_its_rule_step_by_step():
    raw = torch.tensor([[[-1.0, 0.5], [2.0, 1.0]]])
    once = np.array([[0.0, 0.5], [2.0, 1.0]]) / (1e-7 + 2.0)
    once = once - once.min()
    twice = once / (1e-7 + once.max())
    np.testing.assert_allclose(normalise([raw], size=(2, 2))[0].numpy(), twice, atol=1e-6)


def test_upsampling_is_bilinear_between_pixel_centres():
    """Two columns 0 and 1 grown to four: centres at -0.25, 0.25, 0.75, 1.25 of the old grid, clamped at the border."""
    raw = torch.tensor([[[0.0, 1.0]]])
    np.testing.assert_allclose(normalise([raw], size=(1, 4))[0, 0].numpy(), [0, 0.25, 0.75, 1], atol=1e-6)


def test_each_image_is_normalised_alone():
    raw = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0))
    raw[1] *= 1000
    whole = normalise([raw], size=(8, 8))
    for image in range(3):
        torch.testing.assert_close(whole[image], normalise([raw[image : image + 1]], size=(8, 8))[0])


def maps_of(raw, *, method="gradcam", size=(8, 8)):
    return Maps(raw, normalise([raw], size=size), "layer", method, Targets.of(0, count=len(raw)))


def test_fusing_layers_is_the_mean_of_their_grown_maps():
    """Grids of 1 x 1 and 1 x 2 on an image of 1 x 4: each normalised, grown by hand, averaged, normalised again."""
    flat, slope = torch.tensor([[[3.0]]]), torch.tensor([[[2.0, 6.0]]])
    # One place has no contrast: 3 - 3 = 0 everywhere. The slope becomes 0..1, grown to 0, 1/4, 3/4, 1.
    fused = fuse([maps_of(flat, size=(1, 4)), maps_of(slope, size=(1, 4))])
    np.testing.assert_allclose(fused[0, 0].numpy(), [0, 0.25, 0.75, 1], atol=1e-5)
    bump = torch.tensor([[[4.0, 0.0]]])
    both = fuse([maps_of(bump, size=(1, 4)), maps_of(slope, size=(1, 4))])
    np.testing.assert_allclose(both[0, 0].numpy(), [0, 0, 0, 0], atol=1e-6)


def test_maps_of_different_methods_do_not_fuse():
    with pytest.raises(ValueError, match="maps of one method"):
        fuse([maps_of(torch.rand(1, 2, 2)), maps_of(torch.rand(1, 2, 2), method="layercam")])


def test_scores_are_the_logit_or_its_lead():
    logits = torch.tensor([[1.0, 2.0, 4.0], [3.0, 5.0, 0.0]])
    assert Targets.of([2, 1]).scores(logits).tolist() == [4.0, 5.0]
    assert Targets.of([2, 1], against=0).scores(logits).tolist() == [3.0, 2.0]


def test_classes_that_are_no_integers_are_refused():
    with pytest.raises(TypeError, match="int64"):
        Targets(torch.tensor([0.0])).scores(torch.zeros(1, 2))
