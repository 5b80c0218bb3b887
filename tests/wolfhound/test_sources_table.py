"""A CSV file of paths and labels becomes an image set; every faulty line is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.wolfhound.pictures import noise, write_picture
from wolfhound.errors import DataError
from wolfhound.images import ImageSet
from wolfhound.sources import CsvColumns, Fit, read_csv


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for index in range(4):
        write_picture(tmp_path / f"{index}.png", noise(8, 8, seed=index))
        mask = np.zeros((8, 8), np.uint8)
        mask[index : index + 3] = 255
        write_picture(tmp_path / "masks" / f"{index}.png", mask)
    return tmp_path


def read(root: Path, text: str, **options: Any) -> ImageSet:
    (root / "set.csv").write_text(text, encoding="utf-8")
    return read_csv(root / "set.csv", cache=root / "cache", size=(8, 8), fit=Fit(), **options)


def faults(root: Path, text: str, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(root, text, **options)
    return str(caught.value)


def test_labels_by_name_are_sorted_into_classes(root: Path) -> None:
    images = read(root, "path,label\n1.png,wolf\n0.png,dog\n2.png,wolf\n")
    assert images.class_names == ("dog", "wolf")
    assert images.labels.tolist() == [1, 0, 1]
    assert images.origins == ("1.png", "0.png", "2.png")
    assert np.array_equal(images.pixels.read(np.array([0]))[0], noise(8, 8, seed=1).transpose(2, 0, 1))
    assert images.name == "set"


@pytest.mark.parametrize(("labels", "wanted"), [("wolf,dog", [1, 0]), ("1,0", [1, 0])])
def test_labels_are_names_or_indices_of_the_given_classes(root: Path, labels: str, wanted: list[int]) -> None:
    first, second = labels.split(",")
    images = read(root, f"path,label\n0.png,{first}\n1.png,{second}\n", class_names=["dog", "wolf", "cat"])
    assert images.labels.tolist() == wanted
    assert images.class_names == ("dog", "wolf", "cat")


def test_labels_that_are_names_and_indices_at_once_must_be_explained(root: Path) -> None:
    text, names = "path,label\n0.png,1\n1.png,0\n", ["1", "0"]
    assert "names and as indices" in faults(root, text, class_names=names)
    assert read(root, text, class_names=names, labels="name").labels.tolist() == [0, 1]
    assert read(root, text, class_names=names, labels="index").labels.tolist() == [1, 0]
    assert read(root, text, class_names=["0", "1"]).labels.tolist() == [1, 0]  # both readings agree


def test_masks_and_groups_are_read(root: Path) -> None:
    text = "path,label,mask,group\n0.png,a,masks/0.png,snow\n3.png,b,masks/3.png,grass\n"
    images = read(root, text)
    assert images.groups == ("snow", "grass")
    masks = images.load_masks().squeeze(1)
    assert masks[0, :, 0].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert masks[1, :, 0].tolist() == [0, 0, 0, 1, 1, 1, 0, 0]
    assert read(root, text).load_masks().squeeze(1).equal(masks)  # from the cache


def test_the_root_and_other_column_names_are_followed(root: Path) -> None:
    (root / "tables").mkdir()
    (root / "tables" / "t.csv").write_text("﻿file , class\n0.png,a\n", encoding="utf-8")
    images = read_csv(
        root / "tables" / "t.csv",
        root=root,
        cache=root / "cache",
        size=(8, 8),
        fit=Fit(),
        columns=CsvColumns(path="file", label="class"),
    )
    assert images.origins == ("0.png",)


def test_the_limit_counts_by_class(root: Path) -> None:
    images = read(root, "path,label\n0.png,a\n1.png,a\n2.png,b\n3.png,a\n", limit_per_class=1)
    assert images.origins == ("0.png", "2.png")


def test_every_faulty_line_is_named_in_one_error(root: Path) -> None:
    (root / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    text = (
        "path,label,mask,group\n"
        "0.png,dog,masks/0.png,snow\n"  # 2
        "gone.png,dog,masks/1.png,snow\n"  # 3
        "1.png,cow,masks/1.png,snow\n"  # 4
        "0.png,dog,masks/0.png,snow\n"  # 5
        "2.png,dog,masks/gone.png,snow\n"  # 6
        "3.png,dog,,\n"  # 7
        ",dog,masks/3.png,snow\n"  # 8
        "broken.png,dog,masks/3.png,snow\n"  # 9
    )
    message = faults(root, text, class_names=["dog", "wolf"], at_least=9)
    for fault in [
        "line 3: gone.png: No such file",
        "line 4: the label 'cow' is no class name",
        "line 5: 0.png: is listed on line 2 already",
        "line 6: masks/gone.png: No such file",
        "line 7: has no mask, but other rows have",
        "line 7: has no group, but other rows have",
        "line 8: has no path",
        "broken.png: cannot be decoded",
        "expected at least 9 images, got 4",
    ]:
        assert fault in message
    assert message.startswith("9 fault(s)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path;label\n0.png;a\n", "separate the columns by commas"),
        ("file,label\n0.png,a\n", "expected the columns"),
        ("path,label,label\n0.png,a,b\n", "twice"),
        ("path,label\n", "no rows"),
        ("", "expected the columns"),
        ("path,label\n0.png,3\n1.png,7\n", "give the class names"),
        ("path,label\n0.png,\n", "line 2: has no label"),
    ],
)
def test_files_that_cannot_be_meant_are_refused(root: Path, text: str, message: str) -> None:
    assert message in faults(root, text)


def test_indices_outside_the_classes_are_named(root: Path) -> None:
    message = faults(root, "path,label\n0.png,0\n1.png,2\n", class_names=["a", "b"])
    assert "line 3: the label 2 is outside the 2 classes" in message


def test_a_file_that_is_no_utf8_is_refused(root: Path) -> None:
    (root / "set.csv").write_bytes(b"path,label\n0.png,\xff\n")
    with pytest.raises(DataError, match="UTF-8"):
        read_csv(root / "set.csv", cache=root / "cache", size=(8, 8), fit=Fit())
