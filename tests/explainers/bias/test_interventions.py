"""Interventions change what they say, image by image, and their placebos are of the same size."""

import numpy as np
import pytest
import torch

from explainers.bias.composites import norms
from explainers.bias.interventions import INTERVENTIONS, named_intervention, placebo, user_intervention
from explainers.bias.sensitivity import sensitivity_probe
from tests.explainers import synthetic
from wolfhound.errors import ModelError, PlanError

HASHES = tuple(f"image {i}" for i in range(6))


def pictures(size=(24, 20)):
    return torch.rand(6, 3, *size, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1


@pytest.mark.parametrize("name", INTERVENTIONS)
@pytest.mark.parametrize("size", [(24, 20), (16, 16), (33, 32)])
def test_an_image_becomes_the_same_whatever_its_batch(name, size):
    pixels, change = pictures(size), named_intervention(name, {})
    whole = change(pixels, HASHES)
    assert whole.shape == pixels.shape
    assert 0 <= float(whole.min()) <= float(whole.max()) <= 1
    assert not torch.equal(whole, pixels)
    torch.testing.assert_close(whole[3:4], change(pixels[3:4], HASHES[3:4]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_the_placebo_has_the_norm_of_the_intervention_on_each_image(name):
    pixels = pictures()
    changed = named_intervention(name, {})(pixels, HASHES)
    control = placebo(pixels, changed, HASHES, seed=0)
    wanted = norms(changed - pixels)
    np.testing.assert_allclose(norms(control - pixels), wanted, rtol=2e-3)
    assert 0 <= float(control.min()) <= float(control.max()) <= 1
    assert torch.equal(control[2:], placebo(pixels[2:], changed[2:], HASHES[2:], seed=0))


def test_the_placebo_of_nothing_is_nothing():
    pixels = pictures()
    assert torch.equal(placebo(pixels, pixels, HASHES, seed=0), pixels)


def test_a_tint_is_its_formula():
    tinted = named_intervention("tint", {"red": 0.2, "green": 0.4, "blue": 1.0, "strength": 0.25})(pictures(), HASHES)
    expected = 0.75 * pictures() + 0.25 * torch.tensor([0.2, 0.4, 1.0]).view(1, 3, 1, 1)
    torch.testing.assert_close(tinted, expected)


def test_a_ring_changes_the_border_alone():
    changed = named_intervention("border_ring", {"width": 0.1, "grey": 0.5})(pictures(), HASHES)
    assert torch.equal(changed[..., 2:-2, 2:-2], pictures()[..., 2:-2, 2:-2])
    assert (changed[..., :2, :] == 0.5).all()


def test_shuffled_tiles_keep_every_pixel_of_the_image():
    changed = named_intervention("tile_shuffle", {"tiles": 4})(pictures(), HASHES)
    assert torch.equal(changed.flatten(2).sort().values, pictures().flatten(2).sort().values)
    assert not torch.equal(changed[0] - pictures()[0], changed[1] - pictures()[1])


def test_a_low_pass_keeps_slow_waves_and_takes_fast_ones():
    place = torch.arange(32) / 32
    slow = 0.5 + 0.3 * torch.cos(2 * torch.pi * 2 * place)
    fast = 0.5 + 0.3 * torch.cos(2 * torch.pi * 12 * place)
    images = torch.stack([slow.expand(3, 32, 32), fast.expand(3, 32, 32)])
    changed = named_intervention("low_pass", {"cutoff": 0.25})(images, ("a", "b"))
    torch.testing.assert_close(changed[0], images[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(changed[1], torch.full((3, 32, 32), 0.5), atol=1e-5, rtol=0)


def test_a_blur_keeps_an_even_image_and_lowers_contrast():
    change = named_intervention("blur", {"sigma": 0.05})
    even = torch.full((6, 3, 24, 20), 0.3)
    torch.testing.assert_close(change(even, HASHES), even)
    assert (change(pictures(), HASHES).flatten(1).std(dim=1) < 0.7 * pictures().flatten(1).std(dim=1)).all()


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("sepia", {}, "among tint, blur"),
        ("tint", {"sigma": 0.1}, "settings of tint among blue, green, red, strength"),
        ("blur", {"sigma": 0.0}, r"in \(0, 1\]"),
        ("tile_shuffle", {"tiles": 1}, "whole number of tiles"),
    ],
)
def test_an_unknown_intervention_or_setting_is_refused(name, options, reason):
    with pytest.raises(PlanError, match=reason):
        named_intervention(name, options)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda pixels: pixels[:, :1], "shape"),
        (lambda pixels: pixels + 1, r"\[0, 1\]"),
        (lambda pixels: torch.rand_like(pixels), "in two ways"),
        (lambda pixels: pixels / pixels.nothing, "AttributeError"),
        (lambda _: None, "NoneType"),
    ],
)
def test_a_users_function_is_held_to_what_an_intervention_is(function, reason):
    with pytest.raises(ModelError, match=reason):
        user_intervention(function, name="mine.py:change")(pictures(), HASHES)


def darkened_border(pixels, hashes):
    del hashes
    changed = torch.full_like(pixels, 0.05)
    changed[..., 2:-2, 2:-2] = pixels[..., 2:-2, 2:-2]
    return changed


def probe(margin, folder):
    changes = {"darkened": darkened_border, "tint": named_intervention("tint", {"strength": 0.1})}
    images = synthetic.foreground_set(folder, per_class=20)
    return sensitivity_probe(synthetic.reader(margin), images, changes, seed=0, batch_size=7)


def test_a_reader_of_the_border_depends_on_it_and_not_on_a_slight_tint(tmp_path):
    darkened, tint = probe(synthetic.border_brightness, tmp_path).reactions
    assert darkened.verdict == "depends on it"
    assert darkened.excess.other.successes == 20  # all on snow, none on grass
    assert darkened.excess.placebo.successes < 8
    assert darkened.changed_to == {1: 20}
    assert darkened.norm == pytest.approx(darkened.placebo_norm, rel=2e-3)
    assert tint.verdict == "no evidence found"


def test_a_reader_of_the_object_depends_on_neither(tmp_path):
    for reaction in probe(synthetic.object_redness, tmp_path).reactions:
        assert reaction.verdict == "no evidence found"
        assert reaction.excess.other.successes == 0


def test_a_placebo_that_cannot_be_as_large_as_the_intervention_leaves_it_undecided(tmp_path):
    """Black and white swap places: no noise that fits in [0, 1] changes a picture as much."""
    images = synthetic.foreground_set(tmp_path, per_class=20)

    def extreme(pixels, hashes):
        del hashes
        return (pixels < 0.5).to(pixels)

    classifier = synthetic.reader(synthetic.border_brightness)
    (reaction,) = sensitivity_probe(classifier, images, {"negative": extreme}, seed=0).reactions
    assert reaction.placebo_norm < 0.97 * reaction.norm
    assert not reaction.controls_null
    assert reaction.verdict == "no evidence found"
