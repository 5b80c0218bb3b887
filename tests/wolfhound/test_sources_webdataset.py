"""Shards of tar files are read where they lie, sample by sample, and every fault is named."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.wolfhound.pictures import noise
from wolfhound.errors import DataError
from wolfhound.images import ImageSet
from wolfhound.sources import Fit, ShardKeys, read_webdataset


def png(seed: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(noise(6, 6, seed=seed)).save(stream, "PNG")
    return stream.getvalue()


def shard(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return path


def samples(start: int, count: int, **more: Any) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for i in range(start, start + count):
        files |= {f"{i:04}.png": png(i), f"{i:04}.cls": str(i % 2).encode()}
        files |= {f"{i:04}.{suffix}": make(i) for suffix, make in more.items()}
    return files


def read(pattern: Path, **options: Any) -> ImageSet:
    options = {
        "class_names": ("cat", "dog"),
        "cache": pattern.parent / "cache",
        "size": (6, 6),
        "fit": Fit(),
        **options,
    }
    return read_webdataset(pattern, **options)


def test_samples_come_in_the_order_of_shards_and_files(tmp_path: Path) -> None:
    shard(tmp_path / "set-1.tar", samples(3, 2))
    shard(tmp_path / "set-0.tar", samples(0, 3))
    found = read(tmp_path / "set-*.tar")
    assert found.labels.tolist() == [0, 1, 0, 1, 0]
    wanted = np.stack([noise(6, 6, seed=i).transpose(2, 0, 1) for i in range(5)])
    assert np.array_equal(found.pixels.read(found.rows), wanted)
    assert found.origins is not None
    assert found.origins[3] == "set-1.tar/0003.png"


def test_labels_masks_and_attributes_come_from_files_of_the_sample(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.where(np.eye(6), 255, 0).astype(np.uint8)).save(stream, "PNG")
    described = {"json": lambda i: json.dumps({"kind": ["dog", "cat"][i], "lens": i}).encode()}
    files = samples(0, 2, **described, **{"mask.png": lambda _: stream.getvalue()})
    found = read(shard(tmp_path / "a.tar", files), keys=ShardKeys("json:kind", "mask.png", ("lens",)))
    assert found.labels.tolist() == [1, 0]
    assert found.attributes == {"lens": ("0", "1")}
    assert np.array_equal(found.load_masks()[0, 0].numpy(), np.eye(6, dtype=np.float32))


def test_faults_are_named_together(tmp_path: Path) -> None:
    files = samples(0, 1) | {
        "0001.cls": b"0",
        "0002.png": png(2),
        "0003.png": png(3),
        "0003.jpg": png(4),
        "0003.cls": b"1",
    }
    with pytest.raises(DataError) as caught:
        read(shard(tmp_path / "a.tar", files))
    text = str(caught.value)
    assert "a.tar/0001: expected one picture, got 0" in text
    assert "a.tar/0002: the label '' is no class index" in text
    assert "a.tar/0003: expected one picture, got 2" in text


def test_a_shard_that_changes_is_decoded_anew(tmp_path: Path) -> None:
    first = read(shard(tmp_path / "a.tar", samples(0, 2)))
    again = read(shard(tmp_path / "a.tar", samples(10, 2)))
    assert first.hashes != again.hashes


@pytest.mark.parametrize("kind", ["missing", "gzip", "cut", "noise", "link"])
def test_broken_shards_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    whole = shard(tmp_path / "whole", samples(0, 2)).read_bytes()
    if kind == "gzip":
        with tarfile.open(path, "w:gz") as archive:
            archive.add(tmp_path / "whole", "0.png")
    elif kind == "link":
        with tarfile.open(path, "w") as archive:
            entry = tarfile.TarInfo("0000.png")
            entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(entry)
    elif kind != "missing":
        path.write_bytes(whole[:700] if kind == "cut" else bytes(range(256)) * 20)
    with pytest.raises(DataError, match=r"a\.tar"):
        read(path)
