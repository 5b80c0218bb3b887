"""Whatever lies in a folder of images: the right pixels come out, or a fault that names the file; nothing hangs."""

import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.fuzzing import fuzz_examples
from tests.wolfhound.pictures import noise, write_picture
from wolfhound.errors import DataError, WolfhoundError
from wolfhound.images import ImageSet
from wolfhound.sources import Fit, read_folder

EXAMPLES = fuzz_examples()


def read(folder: Path) -> ImageSet:
    return read_folder(folder, cache=folder.parent / "cache", size=(6, 6), fit=Fit())


def png(width: int, height: int, rows: bytes, *, depth: int = 8, colour: int = 2, extra: bytes = b"") -> bytes:
    """Return a PNG file written by hand: depth and colour type as in its header, rows already filtered."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_picture(tmp_path / "set" / "cat" / "good.png", noise(6, 6, seed=1))
    return tmp_path / "set"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be decoded"),
        (b"GIF89a", "cannot be decoded"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "cannot be decoded"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot be decoded"),
        (png(6, 6, b"\0" * 30), "cannot be decoded"),  # rows are missing
        (png(30_000, 30_000, b"\0" * 9), "cannot be decoded|too many"),
        (png(12_000, 11_000, b"\0" * 9), "too many"),
        (png(0, 6, b""), "cannot be decoded"),
        (
            png(6, 6, b"\0" * 114, extra=chunk(b"zTXt", b"k\0\0" + zlib.compress(b"\0" * 200_000_000))),
            "cannot be decoded",
        ),
    ],
    ids=["empty", "cut gif", "svg", "postscript", "few rows", "bomb", "huge", "no width", "text bomb"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_what_is_no_usable_picture_is_named(content: bytes, reason: str, folder: Path) -> None:
    (folder / "cat" / "bad.png").write_bytes(content)
    with pytest.raises(DataError, match=rf"(?s)1 fault.*cat/bad\.png: .*({reason})"):
        read(folder)


def test_a_pipe_and_a_device_are_refused_and_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "cat" / "pipe.png")
    (folder / "cat" / "zero.png").symlink_to("/dev/zero")
    with pytest.raises(DataError, match=r"(?s)2 fault.*pipe\.png: is no regular file.*zero\.png: is no regular file"):
        read(folder)


def test_links_in_circles_are_followed_once_or_named(folder: Path) -> None:
    (folder / "cat" / "again").symlink_to(folder, target_is_directory=True)
    (folder / "cat" / "here").symlink_to(folder / "cat", target_is_directory=True)
    assert len(read(folder)) == 1
    (folder / "cat" / "self.png").symlink_to("self.png")
    with pytest.raises(DataError, match=r"self\.png: Too many levels of symbolic links"):
        read(folder)


def test_a_name_that_is_no_utf_8_is_named_readably(folder: Path) -> None:
    (Path(os.fsdecode(os.fsencode(folder / "cat") + b"/m\xfcnchen.png"))).write_bytes(b"")
    with pytest.raises(DataError, match=r"m\\xfcnchen\.png: the name is not valid UTF-8 \(rename it\)") as caught:
        read(folder)
    str(caught.value).encode()  # it can be printed


def test_16_bit_colour_comes_within_a_level(folder: Path) -> None:
    wide = np.random.default_rng(2).integers(0, 65536, (6, 6, 3), dtype=np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in wide)
    (folder / "cat" / "good.png").write_bytes(png(6, 6, rows, depth=16))
    found = read(folder).pixels.read(np.array([0]))[0].transpose(1, 2, 0)
    assert np.abs(found - wide / 257).max() <= 1


def test_a_printers_jpeg_shows_its_colours(folder: Path) -> None:
    """CMYK of JPEG files is stored inverted; read plainly, everything would be a negative."""
    for path, colour in (("good.jpg", (200, 30, 60)), ("dark.jpg", (10, 20, 15))):
        Image.new("RGB", (6, 6), colour).convert("CMYK").save(folder / "cat" / path, quality=100)
    (folder / "cat" / "good.png").unlink()
    found = read(folder).pixels.read(np.arange(2)).transpose(0, 2, 3, 1)
    assert np.abs(found - np.array([[[10, 20, 15]], [[200, 30, 60]]])[:, None].reshape(2, 1, 1, 3)).max() <= 4


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.filterwarnings("ignore")
def test_no_bytes_raise_anything_but_our_own_errors(data: st.DataObject, folder: Path) -> None:
    """Whole files of six kinds, with bytes changed, cut and put in."""
    suffix = data.draw(st.sampled_from(["png", "jpg", "gif", "bmp", "tiff", "webp"]))
    path = folder / "cat" / f"good.{suffix}"
    for old in (folder / "cat").iterdir():
        old.unlink()
    modes = {"jpg": ["RGB", "L", "CMYK"], "bmp": ["RGB", "L", "P"], "gif": ["L", "P"]}
    mode = data.draw(st.sampled_from(modes.get(suffix, ["RGB", "RGBA"])))
    Image.fromarray(noise(6, 6, seed=1)).convert(mode).save(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        kind = data.draw(st.sampled_from(["change", "cut", "insert"]))
        if kind == "cut":
            del content[at : at + data.draw(st.integers(1, 40))]
        elif kind == "insert":
            content[at:at] = data.draw(st.binary(max_size=8))
        elif at < len(content):
            content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content))
    with suppress(WolfhoundError):
        found = read(folder)
        assert found.pixels.read(found.rows).shape == (1, 3, 6, 6)
