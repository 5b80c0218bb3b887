"""Data sets of the library `datasets` give the pixels, names and attributes that they hold; an absent hub is said."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.extras import needed
from tests.wolfhound.pictures import noise
from wolfhound.errors import DataError
from wolfhound.images import ImageSet
from wolfhound.sources import Fit
from wolfhound.sources.huggingface_sets import DatasetColumns, read_huggingface

pytestmark = pytest.mark.extras


def made(**changes: Any) -> Any:
    datasets = needed("datasets")
    columns = {
        "image": [Image.fromarray(noise(6, 6, seed=i)) for i in range(4)],
        "label": [1, 0, 1, 0],
        "lens": ["A", "B", "A", "B"],
    } | changes
    features = {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=["cat", "dog"]),
        "lens": datasets.Value("string"),
    }
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def read(folder: Path, *, columns: DatasetColumns | None = None, **options: Any) -> ImageSet:
    options = {"cache": folder.parent / "cache", "size": (6, 6), "fit": Fit(), "split": "train", **options}
    return read_huggingface(folder=folder, columns=columns or DatasetColumns(attributes=("lens",)), **options)[0]


@pytest.mark.parametrize("kind", ["save_to_disk", "dictionary", "parquet"])
def test_every_kind_of_folder_gives_the_same_set(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    if kind == "save_to_disk":
        made().save_to_disk(folder)
    elif kind == "dictionary":
        needed("datasets").DatasetDict({"train": made()}).save_to_disk(folder)
    else:
        folder.mkdir()
        made().to_parquet(folder / "train-00000.parquet")
    found = read(folder)
    assert found.class_names == ("cat", "dog")
    assert found.labels.tolist() == [1, 0, 1, 0]
    assert found.attributes == {"lens": ("A", "B", "A", "B")}
    wanted = np.stack([noise(6, 6, seed=i).transpose(2, 0, 1) for i in range(4)])
    assert np.array_equal(found.pixels.read(found.rows), wanted)


def test_labels_are_put_into_the_classifiers_order_by_name(tmp_path: Path) -> None:
    made().save_to_disk(tmp_path / "set")
    assert read(tmp_path / "set", class_names=("dog", "owl", "cat")).labels.tolist() == [0, 2, 0, 2]


def test_faults_are_named(tmp_path: Path) -> None:
    made(label=[1, -1, 1, 0]).save_to_disk(tmp_path / "set")
    with pytest.raises(DataError, match="row 1: the label '' is no class name"):
        read(tmp_path / "set")
    with pytest.raises(DataError, match="expected the columns"):
        read(tmp_path / "set", columns=DatasetColumns(image="picture"))
    with pytest.raises(DataError, match="expected pictures in the column lens"):
        read(tmp_path / "set", columns=DatasetColumns(image="lens"))
    with pytest.raises(DataError, match="expected the folder of a data set"):
        read(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="cannot be read as a data set"):
        read(tmp_path / "empty")


def test_a_hub_that_is_away_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = needed("huggingface_hub")
    monkeypatch.setattr(hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataError, match=r"cannot be reached for a/b .*say folder: PATH"):
        read_huggingface(dataset="a/b", cache=tmp_path, size=(6, 6), fit=Fit())
