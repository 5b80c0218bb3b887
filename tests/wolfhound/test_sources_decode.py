"""Each kind of picture file becomes the RGB that a viewer shows, or is refused with its reason."""

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.wolfhound.pictures import noise, write_picture
from wolfhound.errors import DataError
from wolfhound.sources.decode import PixelBudget, decode
from wolfhound.sources.fit import Fit
from wolfhound.sources.listing import PictureFile

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def decoded(path: Path, *, mask: Path | None = None, fit: Fit | None = None, size: tuple[int, int] = (6, 4)) -> Pixels:
    return both(path, mask=mask, fit=fit, size=size)[0].transpose(1, 2, 0)


def both(path: Path, *, mask: Path | None, fit: Fit | None = None, size: tuple[int, int] = (6, 4)) -> tuple[Any, Any]:
    found = None if mask is None else PictureFile.found(mask, mask.name)
    budget = PixelBudget(1000)
    return decode(PictureFile.found(path, path.name), found, fit=fit or Fit(), size=size, budget=budget)


def test_rgb_of_the_right_size_comes_back_unchanged_channels_first(tmp_path: Path) -> None:
    pixels = noise(6, 4, seed=1)
    found, mask = both(write_picture(tmp_path / "a.png", pixels), mask=None)
    assert found.shape == (3, 6, 4)
    assert np.array_equal(found, pixels.transpose(2, 0, 1))
    assert mask is None


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr"])
def test_other_modes_are_converted_as_pillow_does(mode: str, tmp_path: Path) -> None:
    image = Image.fromarray(noise(6, 4, seed=2)).convert(mode)
    image.save(tmp_path / "a.tiff")
    assert np.array_equal(decoded(tmp_path / "a.tiff"), np.asarray(image.convert("RGB")))


def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    wide = np.array([[0, 128, 129, 257 * 100], [257 * 200 + 128, 257 * 200 + 129, 65535, 300]], dtype=np.uint16)
    Image.fromarray(wide).save(tmp_path / "a.png")
    wanted = np.array([[0, 0, 1, 100], [200, 201, 255, 1]], dtype=np.uint8)
    assert np.array_equal(decoded(tmp_path / "a.png", size=(2, 4)), np.repeat(wanted[:, :, None], 3, axis=2))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(mode: str, tmp_path: Path) -> None:
    image = Image.new(mode, (4, 6), 0)  # black and wholly transparent: a viewer shows white
    image.save(tmp_path / "a.png")
    assert (decoded(tmp_path / "a.png") == 255).all()


def test_a_transparent_palette_colour_is_laid_on_white(tmp_path: Path) -> None:
    image = Image.new("P", (4, 6), 1)
    image.putpalette([0, 0, 0, 200, 10, 10])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "a.png", transparency=1)
    found = decoded(tmp_path / "a.png")
    assert found[0, 0].tolist() == [0, 0, 0]
    assert (found.reshape(-1, 3)[1:] == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_followed_unless_switched_off(orientation: int, tmp_path: Path) -> None:
    pixels = noise(6, 4, seed=3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    flat, turned = (
        pixels,
        [np.transpose(pixels, (1, 0, 2)), np.rot90(pixels, -1), np.rot90(pixels, 2), np.rot90(pixels)],
    )
    shown = {
        1: flat,
        2: flat[:, ::-1],
        3: turned[2],
        4: flat[::-1],
        5: turned[0],
        6: turned[1],
        7: np.transpose(turned[2], (1, 0, 2)),
        8: turned[3],
    }[orientation]
    size = (shown.shape[0], shown.shape[1])
    assert np.array_equal(decoded(tmp_path / "a.png", size=size), shown)
    assert np.array_equal(decoded(tmp_path / "a.png", fit=Fit(upright=False)), pixels)


def test_the_type_is_read_from_the_content_and_not_from_the_suffix(tmp_path: Path) -> None:
    pixels = noise(6, 4, seed=4)
    path = write_picture(tmp_path / "a.png", pixels)
    path.rename(tmp_path / "a.jpg")
    assert np.array_equal(decoded(tmp_path / "a.jpg"), pixels)


@pytest.mark.parametrize("name", ["a.gif", "a.tiff", "a.png", "a.webp"])
def test_several_frames_are_refused(name: str, tmp_path: Path) -> None:
    frames = [Image.fromarray(noise(6, 4, seed=seed)) for seed in range(3)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="holds 3 frames"):
        decoded(tmp_path / name)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_unknown_scale_are_refused(mode: str, tmp_path: Path) -> None:
    Image.new(mode, (4, 6)).save(tmp_path / "a.tiff")
    with pytest.raises(DataError, match="unknown scale"):
        decoded(tmp_path / "a.tiff")


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    header = io.BytesIO()
    Image.new("1", (20_000, 6_001)).save(header, "PNG")
    (tmp_path / "a.png").write_bytes(header.getvalue()[:200])  # decoding it would find it truncated
    with pytest.raises(DataError, match="too many"), pytest.warns(Image.DecompressionBombWarning):
        decoded(tmp_path / "a.png")


def test_a_file_that_changed_after_it_was_listed_is_refused(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.png", noise(6, 4, seed=1))
    listed = PictureFile.found(path, "a.png")
    write_picture(path, noise(7, 5, seed=2))
    with pytest.raises(DataError, match="changed while"):
        decode(listed, None, fit=Fit(), size=(6, 4), budget=PixelBudget(1000))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"]), data=st.data())
def test_damaged_files_decode_or_are_refused_and_nothing_else(kind: str, data: st.DataObject, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(noise(9, 7, seed=5)).save(buffer, kind)
    damaged = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "a.png"
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    try:
        assert decoded(path).shape == (6, 4, 3)
    except DataError as error:
        assert str(error)  # noqa: PT017


def test_masks_follow_the_geometry_of_their_picture(tmp_path: Path) -> None:
    marked = np.zeros((40, 60, 3), dtype=np.uint8)
    marked[10:25, 5:50] = 255
    picture = write_picture(tmp_path / "a.png", marked)
    mask = write_picture(tmp_path / "m.png", np.where(marked[:, :, 0] > 0, np.uint8(7), np.uint8(0)))
    for fit in (Fit(), Fit("crop", shorter_side=22)):
        pixels, found = both(picture, mask=mask, fit=fit, size=(20, 20))
        assert set(np.unique(found)) == {0, 255}
        assert np.array_equal(found > 0, pixels[0] >= 128)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((6, 4), np.uint8), "1 value"),
        (np.arange(24, dtype=np.uint8).reshape(6, 4), "24 value"),
        (np.array([[9, 8, 9, 8]] * 6, np.uint8), "from 8 to 9"),
        (np.full((5, 4), 255, np.uint8), "m.png is 4x5, but the picture is 4x6"),
    ],
)
def test_unclear_masks_are_refused(values: Pixels, message: str, tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "a.png", noise(6, 4, seed=1))
    with pytest.raises(DataError, match=message):
        both(picture, mask=write_picture(tmp_path / "m.png", values))


def test_threads_never_hold_more_pixels_than_the_budget() -> None:
    budget, held, most, lock = PixelBudget(10), 0, 0, threading.Lock()

    def hold(pixels: int) -> None:
        nonlocal held, most
        with budget.take(pixels):
            with lock:
                held += pixels
                most = max(most, held if pixels <= 10 else held - pixels)
                assert pixels <= 10 or held == pixels  # one above the budget is alone
            threading.Event().wait(0.001)
            with lock:
                held -= pixels

    threads = [threading.Thread(target=hold, args=(pixels,)) for pixels in [3, 4, 6, 10, 25, 1, 2, 7] * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held == 0
    assert 0 < most <= 10
