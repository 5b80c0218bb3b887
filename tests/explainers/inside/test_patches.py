"""Strongest patches against a search that holds everything, and patches against their pixels."""

import numpy as np
import pytest
import torch
from torch import nn

from explainers.inside.fields import Box
from explainers.inside.patches import cut, cut_patches, drive_patches, strongest_places
from explainers.pixels.attributions import Neurons
from explainers.pixels.neurons import neuron_attributions
from tests.explainers.networks import classifier_of, pooled_classifier
from wolfhound.errors import ModelError


def all_activations(classifier, images, layer):
    kept = []
    handle = classifier.module.get_submodule(layer).register_forward_hook(lambda *run: kept.append(run[2].clone()))
    with torch.no_grad():
        classifier.logits(images.load())
    handle.remove()
    return kept[0]


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_one_pass_finds_what_a_search_over_everything_finds(make_images, batch_size):
    classifier, images = pooled_classifier(), make_images([0] * 11, size=(16, 16), seed=3, same=[(7, 2)])
    found = strongest_places(classifier, images, layer="second", most=4, batch_size=batch_size)
    activation = all_activations(classifier, images, "second")
    assert found.channels == tuple(range(8))
    for channel in range(8):
        best = []
        for image in range(11):
            grid = activation[image, channel]
            row, column = divmod(int(grid.flatten().argmax()), grid.shape[1])
            best.append((-float(grid[row, column]), image, row, column))
        for rank, (value, image, row, column) in enumerate(sorted(best)[:4]):
            # Equal images in different batches may differ in the last bit; here they do not.
            assert float(found.values[channel, rank]) == pytest.approx(-value, abs=1e-6)
            assert found.images[channel, rank] == image
            assert found.places[channel, rank].tolist() == [row, column]
    assert found.searched == 11


def test_nothing_but_the_window_makes_the_channel_answer_so(make_images):
    """A patch alone, on another background, gives the same activation at the same place."""
    classifier, images = pooled_classifier(), make_images([0] * 6, size=(16, 16), seed=4)
    found = strongest_places(classifier, images, layer="second", most=2)
    for row in range(8):
        window = found.window(row, 0)
        image = images.load([int(found.images[row, 0])])
        other = torch.full_like(image, 0.3)
        top, left = max(window.top, 0), max(window.left, 0)
        other[:, :, top : window.bottom, left : window.right] = image[:, :, top : window.bottom, left : window.right]
        kept = []
        handle = classifier.module.second.register_forward_hook(lambda *run, kept=kept: kept.append(run[2].clone()))
        with torch.no_grad():
            classifier.logits(other)
        handle.remove()
        place = found.places[row, 0].tolist()
        assert float(kept[0][0, row, place[0], place[1]]) == pytest.approx(float(found.values[row, 0]), abs=1e-6)


class Finder(nn.Module):
    """One channel that answers to bright red 3x3 squares, wherever they are."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Conv2d(3, 2, 3, padding=1, bias=False)
        with torch.no_grad():
            self.look.weight.zero_()
            self.look.weight[0, 0] = 1.0
            self.look.weight[1] = -1.0
        self.head = nn.Linear(2, 2)

    def forward(self, pixels):
        return self.head(self.look(pixels).relu().mean((2, 3)))


def planted(make_images, places):
    """Black images with a red square around the given place of each."""
    images = make_images([0] * len(places), size=(12, 12))
    pixels = np.zeros((len(places), 3, 12, 12), dtype=np.uint8)
    for index, (row, column) in enumerate(places):
        pixels[index, 0, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = 255 - index
    pixels.tofile(images.pixels.path)
    return images


def test_planted_squares_are_found_cut_out_and_marked_at_the_edge(make_images):
    images = planted(make_images, [(5, 6), (3, 8), (0, 11)])
    classifier = classifier_of(Finder().eval(), classes=2, size=12)
    found = strongest_places(classifier, images, layer="look", channels=[0], most=3)
    assert found.images[0].tolist() == [0, 1, 2]
    assert found.places[0].tolist()[:2] == [[5, 6], [3, 8]]
    patches = cut_patches(found, images)
    assert patches.windows[0] == Box(4, 5, 7, 8)
    torch.testing.assert_close(patches.tiles.pictures[0], torch.tensor([1.0, 0, 0]).view(3, 1, 1).expand(3, 3, 3))
    assert bool(patches.inside[0].all())
    # The third square is cut off by the corner: its best place is there or beside it, and what is outside is grey.
    window, inside = patches.windows[2], patches.inside[2]
    assert window.right > 12 or window.top < 0 or window == Box(0, 9, 3, 12)
    assert torch.equal(patches.tiles.pictures[2][:, ~inside], torch.full((3, int((~inside).sum())), 0.5))
    assert patches.tiles.labels[0] == "channel 0: 9 in image 0"


def test_a_channel_that_never_answers_is_said_to_be_silent(make_images):
    images = planted(make_images, [(5, 6), (3, 8)])
    classifier = classifier_of(Finder().eval(), classes=2, size=12)
    found = strongest_places(classifier, images, layer="look", channels=[1], most=1)
    assert found.silent == (1,)
    assert cut_patches(found, images).tiles.labels[0].endswith("(never above 0)")


def test_patches_of_a_layer_that_sees_everything_are_the_images(make_images):
    images = make_images([0] * 3, size=(10, 14), seed=2)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    classifier = classifier_of(module.eval(), classes=2, size=16)
    found = strongest_places(classifier, images, layer="1", channels=[2], most=1)
    patches = cut_patches(found, images)
    assert torch.equal(patches.tiles.pictures[0], images.load([int(found.images[0, 0])])[0])
    assert "whole image" in patches.tiles.scale


@pytest.mark.parametrize("rule", ["guided", "plain"])
def test_what_drives_a_patch_lies_in_its_window_and_is_the_units_gradient(make_images, rule):
    classifier, images = pooled_classifier(), make_images([0] * 5, size=(16, 16), seed=6)
    found = strongest_places(classifier, images, layer="second", channels=[4, 1], most=2)
    driven = drive_patches(classifier, found, images, rule=rule)
    assert driven.tiles.pictures.shape == (4, 3, *found.fields.size)
    assert (driven.caution != "") == (rule == "guided")
    for index, (row, rank) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        pixels = images.load([int(found.images[row, rank])])
        neurons = Neurons.of("second", found.channels[row], tuple(found.places[row, rank].tolist()))
        values = neuron_attributions(classifier, pixels, neurons, rule=rule)
        expected, _ = cut(values.values[0], found.window(row, rank), beyond=0.0)
        limit = float(expected.abs().flatten().sort().values[round(0.99 * expected.numel()) - 1])
        assert limit > 0
        torch.testing.assert_close(driven.tiles.pictures[index], (0.5 + expected / (2 * limit)).clamp(0, 1))
        # Nothing outside the window drives the unit.
        box = found.window(row, rank)
        values.values[:, :, max(box.top, 0) : box.bottom, max(box.left, 0) : box.right] = 0
        assert float(values.values.abs().max()) == 0


@pytest.mark.parametrize(
    ("window", "rows", "columns"),
    [(Box(-2, 1, 2, 3), [None, None, 0, 1], [1, 2]), (Box(3, -1, 6, 5), [3, None, None], [None, 0, 1, 2, 3, None])],
)
def test_a_window_over_the_edge_is_clipped_pixel_by_pixel(window, rows, columns):
    values = torch.arange(16.0).view(1, 4, 4) / 16
    picture, inside = cut(values, window, beyond=0.25)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            there = row is not None and column is not None
            assert bool(inside[i, j]) == there
            assert float(picture[0, i, j]) == (float(values[0, row, column]) if there else 0.25)


def test_progress_counts_images_and_errors_name_what_is_wrong(make_images):
    classifier, images = pooled_classifier(), make_images([0] * 5, size=(16, 16))
    with pytest.raises(ValueError, match="expected 1 to 5 places"):
        strongest_places(classifier, images, layer="second", most=6)
    with pytest.raises(ValueError, match="different channels of layer 'second'"):
        strongest_places(classifier, images, layer="second", channels=[8], most=1)
    with pytest.raises(ModelError, match=r"close: .*features"):
        strongest_places(classifier, images, layer="feature", most=1)
    found = strongest_places(classifier, images, layer="second", channels=[1], most=1)
    with pytest.raises(ValueError, match="out of those searched"):
        cut_patches(found, images, channels=[2])
    with torch.no_grad():
        classifier.module.first.bias.fill_(float("inf"))
    with pytest.raises(ValueError, match="finite activations"):
        strongest_places(classifier, images, layer="second", most=1)
    assert not any(part._forward_hooks for part in classifier.module.modules())
