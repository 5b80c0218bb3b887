"""Each corruption does what it says: against a literal replica, a closed form, or counts."""

import colorsys
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy import ndimage

from attacks.corruptions import digital
from attacks.corruptions.filters import gaussian_blur
from attacks.corruptions.judging import corrupt
from attacks.corruptions.registry import CORRUPTIONS, SEVERITIES, chosen_corruptions
from wolfhound.errors import DataError, PlanError


def draws(count: int, *, seed: int = 0) -> Sequence[torch.Generator]:
    return [torch.Generator().manual_seed(seed + i) for i in range(count)]


def apply(name: str, pixels: torch.Tensor, *parameters: float) -> torch.Tensor:
    return CORRUPTIONS[name].apply(pixels, parameters, draws(len(pixels)))


def photograph(side: int, *, count: int = 1) -> torch.Tensor:
    """Smooth coloured shapes with edges and some grain, uint8 `[count,3,side,side]`."""
    generator = torch.Generator().manual_seed(5)
    smooth = gaussian_blur(torch.rand(count, 3, side, side, generator=generator), side / 16)
    smooth = (smooth - smooth.amin((2, 3), keepdim=True)) / (smooth.amax((2, 3), keepdim=True) - smooth.amin())
    edges = 0.3 * (smooth.mean(1, keepdim=True) > 0.5)
    return ((0.15 + 0.5 * smooth + edges).clamp(0, 1) * 255).round().to(torch.uint8)


GREY = torch.full((2, 3, 64, 64), 0.4)


def test_gaussian_noise_has_the_stated_deviation_and_no_bias() -> None:
    noise = apply("gaussian_noise", GREY, 0.1) - GREY
    assert abs(float(noise.mean())) < 0.003
    assert float(noise.std()) == pytest.approx(0.1, rel=0.03)


def test_shot_noise_is_poisson_in_the_number_of_photons() -> None:
    counts = apply("shot_noise", GREY, 25) * 25
    torch.testing.assert_close(counts.round(), counts)
    assert float(counts.mean()) == pytest.approx(10, rel=0.02)
    assert float(counts.var()) == pytest.approx(10, rel=0.05)


def test_impulse_noise_sets_its_share_of_values_to_black_or_white_equally() -> None:
    noisy = apply("impulse_noise", GREY, 0.2)
    assert float((noisy == 0).float().mean()) == pytest.approx(0.1, abs=0.012)
    assert float((noisy == 1).float().mean()) == pytest.approx(0.1, abs=0.012)
    assert torch.equal(noisy[(noisy > 0) & (noisy < 1)].unique(), torch.tensor([0.4]))


def glass_literal(image: np.ndarray, reach: int, rounds: int, draw: torch.Generator) -> np.ndarray:
    """The published loop with its exchange of two views, `[H,W,3]`."""
    height, width = image.shape[:2]
    image = image.copy()
    for _ in range(rounds):
        offsets = torch.randint(-reach, reach, (2, (height - 2 * reach) * (width - 2 * reach)), generator=draw)
        pairs = iter(offsets.T.tolist())
        for h in range(height - reach, reach, -1):
            for w in range(width - reach, reach, -1):
                dy, dx = next(pairs)
                image[h, w], image[h + dy, w + dx] = image[h + dy, w + dx], image[h, w]
    return image


@pytest.mark.parametrize(("reach", "rounds"), [(1, 2), (3, 2)])
def test_glass_blur_moves_pixels_as_the_published_loop_does(reach: int, rounds: int) -> None:
    pixels = photograph(24).float() / 255
    expected = glass_literal(pixels[0].permute(1, 2, 0).numpy(), reach, rounds, draws(1)[0])
    shuffled = apply("glass_blur", pixels, 0.01, reach, rounds)
    np.testing.assert_array_equal(shuffled[0].permute(1, 2, 0).numpy(), expected)


def test_zoom_blur_is_the_mean_of_the_image_and_its_enlargements() -> None:
    pixels = photograph(32).float() / 255
    factors = np.arange(1, 1.06, 0.01)
    total = pixels[0].numpy().copy()
    for factor in factors:
        side = int(np.ceil(32 / factor))
        top = (32 - side) // 2
        zoomed = ndimage.zoom(pixels[0, :, top : top + side, top : top + side].numpy(), (1, factor, factor), order=1)
        trim = (zoomed.shape[1] - 32) // 2
        total += zoomed[:, trim : trim + 32, trim : trim + 32]
    blurred = apply("zoom_blur", pixels, 1.06, 0.01)[0]
    np.testing.assert_allclose(blurred.numpy(), total / (len(factors) + 1), atol=1e-5)


def test_brightness_raises_v_of_hsv_and_keeps_hue_and_saturation() -> None:
    pixels = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    pixels[0, :, 0, 0] = 0
    raised = apply("brightness", pixels, 0.3)[0].flatten(1).T.numpy()
    for before, after in zip(pixels[0].flatten(1).T.numpy(), raised, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*before.tolist())
        expected = colorsys.hsv_to_rgb(hue, saturation, min(value + 0.3, 1))
        np.testing.assert_allclose(after, expected, atol=1e-5)


def test_contrast_keeps_each_channels_mean_and_scales_its_deviation() -> None:
    pixels = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    flat = apply("contrast", pixels, 0.3)
    torch.testing.assert_close(flat.mean((2, 3)), pixels.mean((2, 3)))
    torch.testing.assert_close(flat.std((2, 3)), 0.3 * pixels.std((2, 3)))


def test_fog_lies_between_the_image_and_its_own_maximum() -> None:
    pixels = photograph(32).float() / 255
    foggy = apply("fog", pixels, 1.0, 2.0)
    most = float(pixels.max())
    assert float(foggy.max()) <= most + 1e-6
    clouds = foggy * (most + 1) / most - pixels
    assert float(clouds.amin()) == pytest.approx(0, abs=1e-5)
    assert float((clouds - clouds[:, :1]).abs().max()) < 1e-5, "the same cloud on every channel"


def test_frost_is_pale_blue_and_has_the_contrast_of_the_photographs() -> None:
    panes = apply("frost", torch.zeros(40, 3, 64, 64), 0.0, 1.0, 0.07)
    torch.testing.assert_close(panes.mean((0, 2, 3)), torch.tensor([0.57, 0.65, 0.70]), atol=0.06, rtol=0)
    torch.testing.assert_close(panes[:, 2] - panes[:, 0], torch.full((40, 64, 64), 0.13))
    torch.testing.assert_close(panes.std((2, 3)), torch.full((40, 3), 0.07), rtol=0.01, atol=0)
    assert float(panes.mean((1, 2, 3)).std()) == pytest.approx(0.15, abs=0.04)


def test_snow_only_ever_brightens() -> None:
    pixels = photograph(64, count=3).float() / 255
    snowed = apply("snow", pixels, 0.3, 0.3, 1.25, 0.65, 14, 12, 0.6)
    assert bool((snowed >= pixels - 1e-6).all())


def test_elastic_affine_moves_its_three_points_as_drawn() -> None:
    places = torch.stack(torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="xy"), dim=-1)
    shift = torch.tensor([[2.0, -1.0], [0.5, 3.0], [-2.0, 1.0]])
    origins = digital._inverse_affine(places, shift)
    corners = torch.tensor([[26.0, 26.0], [26.0, 6.0], [6.0, 6.0]])
    for corner, moved in zip(corners, corners + shift, strict=True):
        sampled = ndimage.map_coordinates(origins.permute(2, 0, 1)[0].numpy(), moved.flip(0)[:, None].numpy(), order=1)
        assert sampled[0] == pytest.approx(float(corner[0]), abs=1e-3)


def test_elastic_displacement_is_scipys_map_of_coordinates() -> None:
    pixels = photograph(32).float() / 255
    draw = draws(1)[0]
    torch.rand(3, 2, generator=draw)
    noise = 2 * torch.rand(2, 32, 32, generator=draw).numpy() - 1
    field = [4.0 * ndimage.gaussian_filter(part, 1.5, mode="reflect", truncate=3) for part in noise]
    rows, columns = np.meshgrid(np.arange(32), np.arange(32), indexing="ij")
    moved = apply("elastic_transform", pixels, 4 / 32, 1.5 / 32, 0.0)[0]
    for channel, image in zip(moved.numpy(), pixels[0].numpy(), strict=True):
        places = [rows + field[1], columns + field[0]]
        expected = ndimage.map_coordinates(image, places, order=1, mode="reflect")
        np.testing.assert_allclose(channel, expected, atol=1e-4)


def test_pixelation_by_half_is_the_mean_of_each_square_of_four() -> None:
    pixels = photograph(32).float() / 255
    coarse = apply("pixelate", pixels, 0.5)
    means = torch.nn.functional.avg_pool2d(pixels, 2).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert float((coarse - means).abs().max()) <= 1.01 / 255, "rounded along rows and again along columns"


@pytest.mark.parametrize("name", list(CORRUPTIONS))
@pytest.mark.parametrize("side", [32, 64])
def test_an_image_is_corrupted_the_same_alone_and_in_any_batch(name: str, side: int) -> None:
    images, corruption = photograph(side, count=3), CORRUPTIONS[name]
    before = images.clone()
    together = corrupt(images, corruption, 4, seeds=[7, 8, 9])
    assert together.dtype == torch.uint8
    assert together.shape == images.shape
    assert not torch.equal(together, images)
    assert torch.equal(images, before)
    for i in range(3):
        assert torch.equal(corrupt(images[i : i + 1], corruption, 4, seeds=[7 + i])[0], together[i])


@pytest.mark.parametrize("name", ["gaussian_noise", "fog", "frost", "elastic_transform", "snow", "motion_blur"])
def test_another_seed_draws_another_corruption(name: str) -> None:
    images = photograph(32)
    first, second = (corrupt(images, CORRUPTIONS[name], 3, seeds=[seed]) for seed in (1, 2))
    assert not torch.equal(first, second)


# The published elastic severities trade shear for grain, so their sizes in pixels do not rise.
@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name != "elastic_transform"])
@pytest.mark.parametrize("side", [32, 64, 224])
def test_the_strongest_severity_changes_an_image_more_than_the_weakest(name: str, side: int) -> None:
    images = photograph(side)
    weak, strong = (
        (corrupt(images, CORRUPTIONS[name], severity, seeds=[1]).float() - images).norm() for severity in (1, 5)
    )
    assert weak < strong


def test_every_corruption_states_five_severities_for_each_published_size() -> None:
    for corruption in CORRUPTIONS.values():
        for side in (32, 64, 224):
            lengths = {len(corruption.parameters(severity, side=side)) for severity in SEVERITIES}
            assert len(lengths) == 1
            assert len(corruption.published[side]) == 5


@pytest.mark.parametrize("size", [(48, 80), (31, 16)])
def test_images_need_not_be_square(size: tuple[int, int]) -> None:
    images = photograph(96)[..., : size[0], : size[1]]
    for corruption in CORRUPTIONS.values():
        assert corrupt(images, corruption, 5, seeds=[0]).shape == images.shape


def test_what_cannot_be_corrupted_is_refused() -> None:
    fog = CORRUPTIONS["fog"]
    with pytest.raises(DataError, match="expected uint8 images"):
        corrupt(photograph(32).float(), fog, 1, seeds=[0])
    with pytest.raises(DataError, match="at least 16 pixels"):
        corrupt(photograph(32)[..., :12, :], fog, 1, seeds=[0])
    with pytest.raises(PlanError, match="severities from 1 to 5"):
        corrupt(photograph(32), fog, 6, seeds=[0])
    with pytest.raises(PlanError, match="got hail"):
        chosen_corruptions(["fog", "hail"])
    with pytest.raises(PlanError, match="got none"):
        chosen_corruptions([])
