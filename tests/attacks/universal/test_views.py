"""Views of crafting images: mirrored and cropped at random, the same however they are batched."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from attacks.registry import make_universal
from attacks.threat import Threat
from attacks.universal.df import DfUniversal
from attacks.universal.driver import craft_universal
from attacks.universal.views import SIDES_OF_A_PIECE, SMALLEST_CROP, Viewed
from wolfhound.classifier import Classifier
from wolfhound.images import ImageSet, Splits


def ramps(make_images, count: int) -> ImageSet:  # type: ignore[no-untyped-def]
    """Return images of 8x8 whose red is the column and whose green is the row, times 20 levels."""
    images: ImageSet = make_images([0] * count)
    row, column = np.mgrid[0:8, 0:8].astype(np.uint8) * 20
    np.stack([np.stack([column, row, row]) for _ in range(count)]).tofile(images.pixels.path)
    return images


def view(images: ImageSet, augment: str, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    positions = torch.arange(len(images))
    return Viewed.drawn(images, positions, augment, generator=generator).load(positions.numpy())  # type: ignore[arg-type]


def test_without_augmentation_the_images_are_as_they_are_and_nothing_is_drawn(make_images) -> None:  # type: ignore[no-untyped-def]
    images, generator = ramps(make_images, 4), torch.Generator().manual_seed(0)
    before = generator.get_state()
    viewed = Viewed.drawn(images, torch.tensor([2, 0]), "none", generator=generator)
    assert torch.equal(viewed.load(np.array([0, 2])), images.load([0, 2]))
    assert torch.equal(generator.get_state(), before)


def test_flips_mirror_about_half_of_the_images_left_to_right(make_images) -> None:  # type: ignore[no-untyped-def]
    images = ramps(make_images, 40)
    shown, pixels = view(images, "flips"), images.load()
    mirrored = [torch.allclose(a, b.flip(2), atol=1e-6) for a, b in zip(shown, pixels, strict=True)]
    same = [torch.allclose(a, b, atol=1e-6) for a, b in zip(shown, pixels, strict=True)]
    assert all(one != other for one, other in zip(mirrored, same, strict=True))
    assert 10 < sum(mirrored) < 30


def test_a_crop_of_a_ramp_is_a_flatter_ramp_within_it(make_images) -> None:  # type: ignore[no-untyped-def]
    shown = view(ramps(make_images, 60), "crops") * 255
    slopes = (shown[:, 0, :, -2] - shown[:, 0, :, 1]) / (5 * 20)  # away from the borders, where pixels are repeated
    assert torch.allclose(slopes, slopes[:, :1].expand_as(slopes), atol=1e-4)
    rise = slopes[:, 0].abs()
    torch.testing.assert_close((shown[:, 1, -2, 0] - shown[:, 1, 1, 0]) / (5 * 20), rise, rtol=0, atol=1e-4)
    assert float(rise.min()) > SMALLEST_CROP**0.5 - 1e-4
    assert float(rise.max()) < 1 + 1e-4
    assert float(rise.std()) > 0.03
    assert (slopes[:, 0] < 0).any()
    assert (slopes[:, 0] > 0).any()
    assert float(shown.min()) >= 0
    assert float(shown.max()) <= 140 + 1e-3


def test_a_shift_moves_by_whole_pixels_and_mirrors_what_lies_outside(make_images) -> None:  # type: ignore[no-untyped-def]
    images = make_images([0] * 60, size=(16, 32))
    shown, pixels = view(images, "shifts"), images.load()
    found = set()
    for one, image in zip(shown, pixels, strict=True):
        wide = np.pad(image.numpy(), ((0, 0), (2, 2), (4, 4)), mode="symmetric")
        places = {
            (mirrored, down, across): wide[:, down : down + 16, across : across + 32][..., :: -1 if mirrored else 1]
            for mirrored in (False, True)
            for down in range(5)
            for across in range(9)
        }
        (place,) = [key for key, moved in places.items() if np.allclose(one.numpy(), moved, atol=1e-5)]
        found.add(place)
    assert {mirrored for mirrored, _, _ in found} == {False, True}
    assert {down for _, down, _ in found} == set(range(5))
    assert {across for _, _, across in found} == set(range(9))


def test_about_half_of_mixed_images_show_a_rectangle_of_another_one_at_the_same_place(make_images) -> None:  # type: ignore[no-untyped-def]
    images, positions = make_images([0] * 60, size=(20, 30)), torch.arange(60)
    viewed = Viewed.drawn(images, positions, "mixes", generator=torch.Generator().manual_seed(0))
    alone = replace(viewed, pieces=None).load(positions.numpy())
    shown = viewed.load(positions.numpy())
    assert viewed.composed
    assert not replace(viewed, pieces=None).composed
    heights, widths = [], []
    for image, own in zip(shown, alone, strict=True):
        changed = (image != own).any(dim=0)
        if changed.any():
            (top, left), (bottom, right) = changed.nonzero().amin(dim=0), changed.nonzero().amax(dim=0) + 1
            inside = image[:, top:bottom, left:right]
            assert any(torch.equal(inside, other[:, top:bottom, left:right]) for other in alone)
            heights.append(int(bottom - top))
            widths.append(int(right - left))
    assert 15 < len(heights) < 45
    assert 3 <= min(heights) < max(heights) <= SIDES_OF_A_PIECE[1] * 20
    assert 5 <= min(widths) < max(widths) <= SIDES_OF_A_PIECE[1] * 30


@pytest.mark.parametrize("augment", ["flips", "shifts", "crops", "mixes"])
def test_what_is_drawn_belongs_to_the_image_and_not_to_the_batch(augment, make_images) -> None:  # type: ignore[no-untyped-def]
    images, positions = make_images([0] * 12), torch.arange(11, -1, -1)
    viewed = Viewed.drawn(images, positions, augment, generator=torch.Generator().manual_seed(1))
    whole = viewed.load(positions.numpy())
    parts = torch.cat([viewed.load(positions[i : i + 1].numpy()) for i in range(12)])
    torch.testing.assert_close(parts, whole)
    assert not torch.equal(whole, view(images, augment, seed=2)[positions])


@pytest.mark.parametrize(("side", "same_as", "other"), [(32, "shifts", "crops"), (49, "crops", "shifts")])
def test_auto_moves_small_images_and_crops_larger_ones(side: int, same_as: str, other: str, make_images) -> None:  # type: ignore[no-untyped-def]
    images = make_images([0] * 5, size=(side, side))
    assert torch.equal(view(images, "auto"), view(images, same_as))
    assert not torch.equal(view(images, "auto"), view(images, other))


def test_a_result_states_how_its_images_were_varied_and_not_auto(trained: Classifier, textures: Splits) -> None:
    attack, threat = DfUniversal(passes=1), Threat("linf", 0.05)
    result = craft_universal(
        attack, trained, textures.craft, textures.select, threat, generator=torch.Generator().manual_seed(0)
    )
    assert attack.augment == "auto"
    assert result.options == {**asdict(attack), "augment": "shifts"}
    stated = make_universal("df_uap", dict(result.options))
    again = craft_universal(
        stated, trained, textures.craft, textures.select, threat, generator=torch.Generator().manual_seed(0)
    )
    assert torch.equal(again.last, result.last)
