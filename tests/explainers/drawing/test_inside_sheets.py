"""Sheets of filters, patches, attributions and LIME: every tile in its place, cautions and scales said."""

import numpy as np
import pytest
import torch

from explainers.base import Targets
from explainers.black_box.lime import Lime
from explainers.black_box.segments import Grid
from explainers.drawing.figures import Heading, draw
from explainers.drawing.inside_sheets import attributions_sheet, lime_sheet, rows_sheet, tiles_sheet
from explainers.drawing.sheets import contact_sheet
from explainers.inside.filters import first_layer_filters
from explainers.inside.tiles import Tiles
from explainers.pixels.attributions import Attributions
from tests.explainers.networks import pooled_classifier, random_pixels


def tiles_of(*shades, labels=None):
    pictures = torch.tensor(shades).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    return Tiles(pictures, labels or tuple(str(index) for index in range(len(shades))), "black 0, white 1")


def test_filters_of_several_networks_stand_side_by_side_with_their_scales():
    found = first_layer_filters(pooled_classifier())
    sheet = tiles_sheet({"by filter": found.per_filter, "by layer": found.per_layer}, title="Filters")
    assert [heading.name for heading in sheet.columns] == ["by filter", "by layer"]
    assert sheet.columns[0].detail == "6 of 3 x 3"
    assert [tile.caption for tile in sheet.tiles[0]] == [found.per_filter.scale, found.per_layer.scale]
    assert np.array_equal(sheet.tiles[0][1].picture, contact_sheet(found.per_layer.pictures, least_side=36))


def test_each_patch_is_followed_by_its_partner_in_the_row_of_its_channel():
    labels = ("channel 3: 2.0 in image 1", "channel 3: 1.0 in image 5", "channel 8: 4.0 in image 2", "channel 8: 3.0")
    patches, guided = tiles_of(0.0, 0.2, 0.4, 0.6, labels=labels), tiles_of(1.0, 0.8, 0.4, 0.2)
    sheet = rows_sheet(patches, [Heading("channel 3"), Heading("channel 8")], beside=guided, title="Patches")
    shades = [[int(tile.picture[0, 0, 0]) for tile in row] for row in sheet.tiles]
    assert shades == [[0, 255, 51, 204], [102, 102, 153, 51]]
    assert [tile.caption for tile in sheet.tiles[0]] == ["2.0 in image 1", "", "1.0 in image 5", ""]
    with pytest.raises(ValueError, match="as many tiles in each of 3 rows, got 4 in all with 4 partners"):
        rows_sheet(patches, [Heading(str(row)) for row in range(3)], beside=guided, title="Patches")


def test_attributions_stand_beside_their_photograph_and_above_their_caution():
    pixels, targets = random_pixels(2), Targets.of([0, 1])
    plain = Attributions(torch.zeros(2, 3, 16, 16), "Saliency", targets)
    guided = Attributions(torch.ones(2, 3, 16, 16), "Guided", targets, caution="edges alone")
    sheet = attributions_sheet(pixels, [plain, guided], ["one", "two"], title="Pixels")
    assert [heading.name for heading in sheet.columns] == ["photograph", "Saliency", "Guided"]
    assert (sheet.tiles[1][1].picture == 128).all()
    assert (sheet.tiles[1][2].picture == 255).all()
    assert [remark.text for remark in sheet.remarks].count("edges alone") == 1
    with pytest.raises(ValueError, match="of 2 photographs"):
        attributions_sheet(pixels, [plain], ["one"], title="Pixels")


def test_lime_shows_every_class_on_one_scale_with_probability_and_fit():
    classifier, image = pooled_classifier(), random_pixels(1)[0]
    generator = torch.Generator().manual_seed(0)
    lime = Lime(segmenter=Grid(), samples=50)
    found = lime.explain_image(classifier, image, classes=[0, 3], generator=generator)
    sheet = lime_sheet(image, found, title="Segments")
    assert [heading.name for heading in sheet.columns] == ["photograph", "0", "3"]
    assert f"probability {float(found.probabilities[1]):.3f}" in sheet.tiles[0][2].caption
    assert sheet.scales[0].high == f"+{float(found.fit.coefficients.abs().max()):.3g}"
    assert draw(sheet, dpi=80) == draw(sheet, dpi=80)
