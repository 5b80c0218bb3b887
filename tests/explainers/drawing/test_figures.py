"""Sheets: the same bytes for the same values, text as text, scales that are shared, every picture where it belongs."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from explainers.checks.ranking import grow
from explainers.drawing.figures import Heading, Remark, Scale, Sheet, Tile, _bands, draw
from explainers.drawing.overlay import colour_table, fade, signed_picture
from explainers.drawing.sheets import (
    Panel,
    attribution_picture,
    contact_sheet,
    explanation_sheet,
    picture_rows,
    segment_picture,
)
from explainers.drawing.typesetting import text_width, wrap

RED, BLUE = (np.full((20, 20, 3), colour, dtype=np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))


def sheet_of(**changes):
    values = {
        "title": "A title",
        "tiles": ((Tile(RED, "first caption"), Tile(BLUE)), (None, Tile(RED))),
        "columns": (Heading("left", "layer4.1.conv2"), Heading("right")),
        "rows": (Heading("timber wolf"), Heading("husky")),
        "scales": (Scale("inferno", "0", "largest", "Evidence."),),
        "remarks": (Remark("the maps depend on the weights", True), Remark("not shown to", False), Remark("a note")),
        **changes,
    }
    return Sheet(**values)


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_equal_sheets_give_equal_bytes(kind):
    assert draw(sheet_of(), format=kind, dpi=100) == draw(sheet_of(), format=kind, dpi=100)
    assert draw(sheet_of(), format=kind, dpi=100) != draw(sheet_of(title="Another title"), format=kind, dpi=100)


def test_a_png_has_its_size_in_print_and_nothing_of_the_machine():
    image = opened(draw(sheet_of(), width=6, dpi=100))
    assert image.info["dpi"] == pytest.approx((100, 100), abs=0.1)
    assert image.width <= 600
    assert set(image.info) == {"dpi"}


def test_every_picture_stands_below_its_heading_and_beside_its_label():
    pixels = np.asarray(opened(draw(sheet_of(scales=(), remarks=()), dpi=100)).convert("RGB")).astype(int)
    red = np.argwhere((pixels == (255, 0, 0)).all(axis=2))
    blue = np.argwhere((pixels == (0, 0, 255)).all(axis=2))
    # Red is upper left and lower right, blue upper right; nothing is lower left.
    middle_row, middle_column = blue[:, 0].max() + 3, blue[:, 1].min() - 3
    upper = red[red[:, 0] < middle_row]
    lower = red[red[:, 0] > middle_row]
    assert len(upper)
    assert len(lower)
    assert upper[:, 1].max() < middle_column < lower[:, 1].min()
    assert blue[:, 1].min() == pytest.approx(lower[:, 1].min(), abs=1)


def test_an_svg_keeps_its_words():
    text = draw(sheet_of(), format="svg").decode()
    for word in (
        "A title",
        "timber wolf",
        "layer4.1.conv2",
        "first caption",
        "passed",
        "not passed",
        "a note",
        "Evidence.",
    ):
        assert f">{word}<" in text
    assert "Date" not in text


def test_dollar_signs_and_underscores_are_plain_text():
    assert ">cost $5_a$<" in draw(sheet_of(title="cost $5_a$"), format="svg").decode()


@pytest.mark.parametrize("text", ["Siberian husky", "features.12.expand3x3_activation", "Dampfschifffahrt" * 4, ""])
@pytest.mark.parametrize("width", [0.3, 0.9, 5.0])
def test_lines_fit_their_width_and_lose_no_letter(text, width):
    lines = wrap(text, width, points=7)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(len(line) == 1 or text_width(line, points=7) <= width for line in lines)


def test_numbers_are_not_broken():
    text = "kept [-0.25, -0.125] of 1.5e-3"
    for width in (0.5, 0.7, 0.9, 1.1):
        assert " ".join(wrap(text, width, points=7)) == text


def test_what_is_no_sheet_is_refused():
    with pytest.raises(ValueError, match="one common length"):
        Sheet("t", ((Tile(RED),), (Tile(RED), Tile(RED))))
    with pytest.raises(ValueError, match="a heading for each"):
        Sheet("t", ((Tile(RED),),), columns=(Heading("a"), Heading("b")))
    with pytest.raises(ValueError, match="png or svg"):
        draw(sheet_of(), format="gif")
    with pytest.raises(ValueError, match="wide enough"):
        draw(Sheet("t", (tuple(Tile(RED) for _ in range(60)),)))


def test_a_photograph_under_many_maps_is_shown_in_bands_of_readable_size():
    many = 9
    sheet = Sheet("t", (tuple(Tile(RED) for _ in range(many)),), pinned=1)
    squeezed = Sheet("t", (tuple(Tile(RED) for _ in range(many)),))
    wide, narrow = (np.asarray(opened(draw(one, dpi=100)).convert("RGB")).astype(int) for one in (sheet, squeezed))

    def tiles(pixels):
        red = (pixels == (255, 0, 0)).all(axis=2)
        return [int(line.sum()) for line in red if line.sum() > 40]

    assert max(tiles(wide)) >= 5 * 100  # five pictures of an inch or more beside each other
    assert len(tiles(wide)) >= 2 * 100  # in two bands
    assert len(tiles(narrow)) < 80


def test_bands_begin_with_the_pinned_columns_and_share_the_others_out():
    assert _bands(10, pinned=1, fitting=5) == [[0, 1, 2, 3], [0, 4, 5, 6], [0, 7, 8, 9]]
    assert _bands(5, pinned=1, fitting=5) == [[0, 1, 2, 3, 4]]
    assert _bands(9, pinned=0, fitting=5) == [list(range(9))]
    assert _bands(3, pinned=1, fitting=1) == [[0, 1, 2]]


WOLF, HUSKY, COLUMN = Heading("wolf"), Heading("husky"), Heading("gradcam", "layer4")


def panels_of(wolf, husky):
    return [Panel(WOLF, COLUMN, wolf), Panel(HUSKY, COLUMN, husky)]


def test_rows_share_the_scale_of_their_column():
    photograph = torch.full((3, 4, 4), 0.5)
    wolf, husky = torch.zeros(2, 2), torch.zeros(2, 2)
    wolf[0, 0], husky[0, 0] = 4.0, 1.0
    sheet = explanation_sheet(photograph, panels_of(wolf, husky), title="t", difference=("wolf", "husky"))
    assert [tile.caption for row in sheet.tiles for tile in row[1:]] == ["max 4", "max 1 (25\N{NO-BREAK SPACE}%)", "±3"]
    quarter = fade(photograph, grow(husky[None], size=(4, 4))[0].float() / 4)
    assert np.array_equal(sheet.tiles[1][1].picture, quarter)
    assert not np.array_equal(sheet.tiles[1][1].picture, fade(photograph, grow(husky[None], size=(4, 4))[0].float()))
    assert sheet.tiles[1][0] is None


def test_outliers_of_a_map_of_pixels_do_not_set_its_scale():
    raw = torch.zeros(40, 40)
    raw[:20], raw[0, 0] = 2.0, 80.0
    photograph = torch.full((3, 40, 40), 0.5)
    (row,) = explanation_sheet(photograph, [Panel(WOLF, COLUMN, raw)], title="t").tiles
    assert row[1].caption == "max 80, drawn to 2"
    assert np.array_equal(row[1].picture, fade(photograph, (raw / 2).clamp(max=1)))


def test_outliers_do_not_hide_a_difference_of_maps_of_pixels():
    wolf, husky = torch.zeros(40, 40), torch.zeros(40, 40)
    wolf[:20], wolf[0, 0] = 2.0, 80.0
    photograph = torch.full((3, 40, 40), 0.5)
    sheet = explanation_sheet(photograph, panels_of(wolf, husky), title="t", difference=("wolf", "husky"))
    assert sheet.tiles[2][1].caption == "±80, drawn to 2"
    assert not np.array_equal(sheet.tiles[2][1].picture[5, 5], sheet.tiles[2][1].picture[30, 5])
    strongest, ordinary = sheet.tiles[2][1].picture[0, 0], sheet.tiles[2][1].picture[5, 5]
    assert np.array_equal(strongest, ordinary)


def test_a_peak_between_the_pixels_is_still_the_columns_largest_value():
    raw = torch.zeros(3, 3)
    raw[1, 1] = 5.0
    (row,) = explanation_sheet(torch.full((3, 8, 8), 0.5), [Panel(WOLF, COLUMN, raw)], title="t").tiles
    assert row[1].caption == "max 5"


def test_a_map_that_speaks_for_nothing_says_so():
    sheet = explanation_sheet(torch.rand(3, 4, 4), panels_of(-torch.ones(2, 2), torch.ones(2, 2)), title="t")
    assert sheet.tiles[0][1].caption == "nothing speaks for it"


def test_a_missing_panel_or_an_unknown_row_is_refused():
    panels = [*panels_of(torch.ones(2, 2), torch.ones(2, 2)), Panel(WOLF, Heading("layercam"), torch.ones(2, 2))]
    with pytest.raises(ValueError, match="one panel for every row and column"):
        explanation_sheet(torch.rand(3, 4, 4), panels, title="t")
    with pytest.raises(ValueError, match="expected a row out of wolf, husky"):
        explanation_sheet(torch.rand(3, 4, 4), panels[:2], title="t", difference=("wolf", "cat"))


def test_cold_places_are_the_photograph_in_light_grey_and_hot_ones_are_coloured():
    photograph = torch.tensor([0.2, 0.6, 1.0]).view(3, 1, 1).expand(3, 1, 2)
    shown = fade(photograph, torch.tensor([[0.0, 1.0]]), strength=0.8)
    grey = 0.25 + 0.75 * (0.2126 * 0.2 + 0.7152 * 0.6 + 0.0722 * 1.0)
    np.testing.assert_allclose(shown[0, 0], 255 * grey, atol=0.51)
    np.testing.assert_allclose(shown[0, 1], 255 * (0.2 * grey + 0.8 * colour_table("inferno")[255]), atol=0.51)


def test_signed_values_are_pale_at_0_and_different_hues_at_the_ends():
    shown = signed_picture(torch.tensor([[-2.0, -1.0, 0.0, 1.0, 2.0]]), limit=1).astype(int)
    assert np.array_equal(shown[0, 0], shown[0, 1])
    assert np.array_equal(shown[0, 3], shown[0, 4])
    assert shown[0, 2].min() > 235
    assert np.abs(shown[0, 1] - shown[0, 3]).max() > 80
    with pytest.raises(ValueError, match="limit above 0"):
        signed_picture(torch.zeros(2, 2), limit=0)


def test_tiles_of_a_contact_sheet_keep_their_pixels_and_order():
    tiles = torch.arange(5).view(5, 1, 1, 1).expand(5, 1, 2, 3) / 5
    shown = contact_sheet(tiles, columns=3, least_side=6, gap=2)
    assert shown.shape == (4 + 2 + 4, 3 * 6 + 2 * 2, 3)
    for index in range(5):
        top, left = (index // 3) * 6, (index % 3) * 8
        assert (shown[top : top + 4, left : left + 6] == 51 * index).all()
    assert (shown[4:6] == 255).all()
    assert (shown[6:, 16:] == 255).all()
    with pytest.raises(ValueError, match=r"tiles \[N, 1 or 3, h, w\]"):
        contact_sheet(torch.zeros(0, 3, 2, 2))


def test_attributions_are_drawn_around_grey_on_a_shared_limit():
    values = torch.tensor([-2.0, 0.0, 1.0]).view(1, 1, 3).expand(3, 1, 3)
    assert attribution_picture(values, limit=2)[0, :, 0].tolist() == [0, 128, 191]


def test_segments_are_tinted_by_their_sign_and_outlined_in_white():
    segments = torch.tensor([[0, 0, 0, 1, 1, 1, 2, 2, 2]] * 3)
    shown = segment_picture(torch.full((3, 3, 9), 0.4), segments, torch.tensor([1.0, 0.0, -1.0]), limit=1).astype(int)
    assert (shown[:, [2, 5]] == 255).all()
    grey = round(255 * (0.25 + 0.75 * 0.4))
    assert (np.abs(shown[:, 3:5] - grey) <= 1).all()
    # For the class orange (more red than blue), against it purple.
    assert shown[0, 0, 0] > shown[0, 0, 2] + 40
    assert shown[0, 7, 2] > shown[0, 7, 1] + 20
    with pytest.raises(ValueError, match="numbered below 2"):
        segment_picture(torch.rand(3, 3, 9), segments, torch.zeros(2), limit=1)


def test_short_rows_are_filled_up_with_empty_places():
    sheet = picture_rows({Heading("channel 3"): [Tile(RED)], Heading("channel 7"): [Tile(RED), Tile(BLUE)]}, title="t")
    assert [[tile is None for tile in row] for row in sheet.tiles] == [[False, True], [False, False]]
