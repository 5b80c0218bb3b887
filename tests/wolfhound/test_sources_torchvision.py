"""torchvision's layouts on disk give torchvision's images, labels and class order."""

import hashlib
import pickle
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.wolfhound.pictures import noise, write_picture
from wolfhound.errors import DataError
from wolfhound.images import ImageSet
from wolfhound.sources import Fit, imagenet_class_names, read_torchvision
from wolfhound.torchvision_import import torchvision


def write_cifar(root: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write a CIFAR-10 of five images a batch, and let torchvision take its digests for the published ones."""
    kind: Any = torchvision().datasets.CIFAR10
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    rng = np.random.default_rng(7)

    def write(name: str, content: Any) -> list[str]:
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        return [name, hashlib.md5(data).hexdigest()]

    def batch(name: str) -> list[str]:
        return write(name, {"data": rng.integers(0, 256, (5, 3072), dtype=np.uint8), "labels": [3, 0, 9, 3, 3]})

    monkeypatch.setattr(kind, "train_list", [batch("data_batch_1"), batch("data_batch_2")])
    monkeypatch.setattr(kind, "test_list", [batch("test_batch")])
    meta = write("batches.meta", {"label_names": [f"class{i}" for i in range(10)]})
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": meta[1]})
    return kind


def read(root: Path, tmp_path: Path, dataset: Any = "cifar10", split: Any = "test", **options: Any) -> ImageSet:
    size = options.pop("size", (32, 32))
    return read_torchvision(dataset, root=root, split=split, cache=tmp_path / "cache", size=size, fit=Fit(), **options)


@pytest.mark.parametrize(("split", "count"), [("train", 10), ("test", 5), ("val", 5)])
def test_cifar_is_what_torchvision_reads(
    split: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = write_cifar(tmp_path / "data", monkeypatch)
    images = read(tmp_path / "data", tmp_path, split=split)
    wanted = kind(str(tmp_path / "data"), train=split == "train")
    assert len(images) == count
    assert images.class_names == tuple(wanted.classes)
    for position in range(count):
        picture, label = wanted[position]
        assert images.labels[position] == label
        assert np.array_equal(images.pixels.read(np.array([position]))[0].transpose(1, 2, 0), np.asarray(picture))


def test_cifar_is_cached_by_content_and_limited_by_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path / "data", monkeypatch)
    whole = read(tmp_path / "data", tmp_path)
    limited = read(tmp_path / "data", tmp_path, limit_per_class=1)
    assert limited.labels.tolist() == [3, 0, 9]
    assert limited.hashes == whole.hashes[:3]
    assert len(read(tmp_path / "data", tmp_path, size=(16, 16)).hashes) == 5


def test_damaged_cifar_is_refused_before_it_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = write_cifar(tmp_path / "data", monkeypatch)
    path = tmp_path / "data" / kind.base_folder / "test_batch"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DataError, match="corrupted"):
        read(tmp_path / "data", tmp_path)


def test_missing_cifar_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"download: true fetches it; or unpack https://\S+cifar-100-python.tar.gz"):
        read(tmp_path / "data", tmp_path, dataset="cifar100")


def test_a_download_without_network_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(_self: Any) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torchvision().datasets.CIFAR10, "download", unreachable)
    with pytest.raises(DataError, match=r"no network.*the download failed"):
        read(tmp_path / "data", tmp_path, download=True)


def test_imagenet_folders_are_numbered_in_the_order_of_their_ids(tmp_path: Path) -> None:
    for index in range(1000):
        write_picture(tmp_path / "data" / "val" / f"n{index:08d}" / "a.bmp", np.full((2, 2, 3), index % 251, np.uint8))
    images = read(tmp_path / "data", tmp_path, dataset="imagenet", split="val", size=(2, 2))
    assert images.class_names == imagenet_class_names()
    assert images.labels.tolist() == list(range(1000))
    assert images.load([417]).mul(255).unique().tolist() == [417 % 251]
    (tmp_path / "data" / "val" / "n00000417" / "a.bmp").unlink()
    (tmp_path / "data" / "val" / "n00000417").rmdir()
    with pytest.raises(DataError, match="got 999"):
        read(tmp_path / "data", tmp_path, dataset="imagenet", split="val")


def test_an_unsorted_or_missing_imagenet_is_refused(tmp_path: Path) -> None:
    write_picture(tmp_path / "data" / "val" / "ILSVRC2012_val_00000001.png", noise(4, 4, seed=1))
    with pytest.raises(DataError, match="expected the 1000 WordNet folders"):
        read(tmp_path / "data", tmp_path, dataset="imagenet", split="val")
    for split in ("train", "test"):
        with pytest.raises(DataError, match="one folder per WordNet id"):
            read(tmp_path / "data", tmp_path, dataset="imagenet", split=split)
    with pytest.raises(DataError, match="cannot be downloaded"):
        read(tmp_path / "data", tmp_path, dataset="imagenet", split="train", download=True)


def test_the_imagenet_classes_are_in_the_usual_order() -> None:
    names = imagenet_class_names()
    assert len(names) == 1000
    assert (names[0], names[207], names[248], names[269], names[999]) == (
        "tench",
        "golden retriever",
        "Eskimo dog",
        "timber wolf",
        "toilet tissue",
    )
