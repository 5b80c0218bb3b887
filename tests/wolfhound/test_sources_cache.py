"""Decoded once, found again, and never taken for right when anything changed."""

import errno
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.wolfhound.pictures import noise, read_back, write_folder, write_picture
from wolfhound.errors import DataError
from wolfhound.images import ImageSet
from wolfhound.progress import Advance
from wolfhound.sources import Fit, read_folder


class Counting:
    """A progress that counts what was decoded."""

    def __init__(self) -> None:
        self.decoded = 0

    @contextmanager
    def __call__(self, description: str, total: int) -> Iterator[Advance]:  # noqa: ARG002
        def advance(steps: int) -> None:
            self.decoded += steps

        yield advance


def decoded(folder: Path, cache: Path, *, fit: Fit | None = None, size: tuple[int, int] = (8, 8)) -> int:
    counting = Counting()
    read_folder(folder, cache=cache, size=size, fit=fit or Fit(), progress=counting)
    return counting.decoded


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "set", {"a": 2, "b": 1})


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def content(images: ImageSet) -> list[Any]:
    return [images.fingerprint, images.pixels.read(images.rows).tolist()]


def test_the_second_reading_decodes_nothing_and_gives_the_same(folder: Path, cache: Path) -> None:
    first = content(read_back(folder, cache))
    assert decoded(folder, cache) == 0
    assert content(read_back(folder, cache)) == first


def test_another_fit_or_size_is_decoded_anew(folder: Path, cache: Path) -> None:
    assert decoded(folder, cache) == 3
    assert decoded(folder, cache, size=(8, 7)) == 3
    assert decoded(folder, cache, fit=Fit("crop", shorter_side=9)) == 3
    assert decoded(folder, cache, fit=Fit(interpolation="nearest")) == 3
    assert decoded(folder, cache) == 0


def test_a_changed_picture_is_noticed_even_with_its_old_size_and_date(folder: Path, cache: Path) -> None:
    path = folder / "a" / "0.png"
    path.write_bytes(b"")
    bitmap = folder / "a" / "0.bmp"  # a kind of file whose size does not depend on its content
    path.unlink()
    write_picture(bitmap, noise(8, 8, seed=1))
    before = read_back(folder, cache)
    times = bitmap.stat()
    write_picture(bitmap, noise(8, 8, seed=2))
    os.utime(bitmap, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = read_back(folder, cache)
    assert bitmap.stat().st_size == times.st_size
    assert before.hashes[1:] == after.hashes[1:]
    assert np.array_equal(after.pixels.read(after.rows)[0], noise(8, 8, seed=2).transpose(2, 0, 1))


def test_a_touched_cache_is_decoded_anew(folder: Path, cache: Path) -> None:
    images = read_back(folder, cache)
    wanted = content(images)
    images.pixels.path.chmod(0o644)
    data = bytearray(images.pixels.path.read_bytes())
    data[5] ^= 1
    images.pixels.path.write_bytes(data)
    assert content(read_back(folder, cache)) == wanted
    meta = next(cache.glob("images/*/raster.json"))
    meta.write_text(meta.read_text()[:-10])
    assert content(read_back(folder, cache)) == wanted


def test_an_interrupted_reading_leaves_nothing_behind_and_can_be_repeated(folder: Path, cache: Path) -> None:
    @contextmanager
    def interrupted(description: str, total: int) -> Iterator[Advance]:  # noqa: ARG001
        def advance(steps: int) -> None:  # noqa: ARG001
            raise KeyboardInterrupt

        yield advance

    with pytest.raises(KeyboardInterrupt):
        read_folder(folder, cache=cache, size=(8, 8), fit=Fit(), progress=interrupted)
    assert [path.suffix for path in (cache / "images").iterdir()] == [".lock"]
    assert decoded(folder, cache) == 3


def test_what_a_killed_run_left_is_cleared_away(folder: Path, cache: Path) -> None:
    made = read_back(folder, cache).pixels.path.parent
    made.rename(made.with_name(made.name + ".partial"))
    assert decoded(folder, cache) == 3
    assert not list(cache.glob("images/*.partial"))


def test_two_runs_at_once_decode_once(folder: Path, cache: Path) -> None:
    counting, results = Counting(), []

    def read() -> None:
        results.append(content(read_folder(folder, cache=cache, size=(8, 8), fit=Fit(), progress=counting)))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counting.decoded == 3
    assert len(results) == 4
    assert all(result == results[0] for result in results)


def test_a_disk_that_is_too_small_is_said_before_decoding(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10**9, 10**9, 500))
    with pytest.raises(DataError, match="are free"):
        read_back(folder, cache)


def test_a_disk_that_fills_up_is_an_error_that_leaves_no_raster(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(DataError, match="No space left on device"):
            read_back(folder, cache)
    assert decoded(folder, cache) == 3


def test_a_cache_that_cannot_be_made_is_an_error(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot keep the decoded images"):
        read_back(folder, tmp_path / "file")


def test_the_labels_are_not_part_of_the_cache(folder: Path, cache: Path) -> None:
    read_back(folder, cache)
    counting = Counting()
    names = ["b", "a", "c"]
    images = read_folder(
        folder, cache=cache, size=(8, 8), fit=Fit(), labels="class_name", class_names=names, progress=counting
    )
    assert counting.decoded == 0
    assert images.labels.tolist() == [1, 1, 0]
