"""A folder per class becomes an image set; everything wrong with it is said at once."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFile

from tests.wolfhound.pictures import noise, read_back, write_folder, write_picture
from wolfhound.errors import DataError
from wolfhound.sources import Fit, read_folder


def test_folders_in_order_are_the_classes(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", {"wolf": 2, "dog": 1})
    images = read_back(folder, tmp_path / "cache")
    assert images.class_names == ("dog", "wolf")
    assert images.origins == ("dog/0.png", "wolf/0.png", "wolf/1.png")
    assert images.labels.tolist() == [0, 1, 1]
    wanted = noise(8, 8, seed=1).transpose(2, 0, 1)  # wolf/1.png
    assert np.array_equal(images.pixels.read(np.array([2]))[0], wanted)
    assert images.hashes[2] == hashlib.sha256(wanted.tobytes()).hexdigest()
    assert images.load([2])[0].mul(255).round().byte().numpy().tolist() == wanted.tolist()


def test_a_leading_number_is_the_index_of_the_class(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", {"0002_n01_wolf": 1, "0_dog": 1})
    names = ["dog", "cat", "wolf"]
    images = read_folder(
        folder, cache=tmp_path / "c", size=(8, 8), fit=Fit(), labels="leading_index", class_names=names
    )
    assert dict(zip(images.origins or (), images.labels.tolist(), strict=True)) == {
        "0002_n01_wolf/0.png": 2,
        "0_dog/0.png": 0,
    }
    assert images.class_names == ("dog", "cat", "wolf")


def test_folder_names_are_looked_up_among_the_class_names(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", {"wolf": 1, "dog": 1})
    names = ["wolf", "cat", "dog"]
    images = read_folder(folder, cache=tmp_path / "c", size=(8, 8), fit=Fit(), labels="class_name", class_names=names)
    assert images.labels.tolist() == [2, 0]


def test_folder_order_against_the_order_of_the_class_names_is_refused(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", {"wolf": 1, "dog": 1})
    with pytest.raises(DataError, match="number 0 of the sorted folders but number 1 of the class names"):
        read_folder(folder, cache=tmp_path / "c", size=(8, 8), fit=Fit(), class_names=["wolf", "dog"])
    titled = read_folder(folder, cache=tmp_path / "c", size=(8, 8), fit=Fit(), class_names=["Dogs", "Wolves"])
    assert titled.class_names == ("Dogs", "Wolves")


def test_the_limit_takes_the_first_images_of_each_class(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", {"a": 3, "b": 1})
    images = read_folder(folder, cache=tmp_path / "c", size=(8, 8), fit=Fit(), limit_per_class=2)
    assert images.origins == ("a/0.png", "a/1.png", "b/0.png")


def test_every_fault_is_named_in_one_error(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", {"0_dog": 1, "1_wolf": 2, "7_outside": 1, "no_number": 1, "01_again": 1})
    (folder / "2_empty").mkdir()
    (folder / "1_wolf" / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a photograph")
    whole = (folder / "1_wolf" / "1.png").read_bytes()
    (folder / "1_wolf" / "1.png").write_bytes(whole[:60])
    (folder / "1_wolf" / "nothing.png").touch()
    (folder / "1_wolf" / "gone.png").symlink_to("nowhere.png")
    (folder / "0_dog" / "movie.mp4").touch()
    (folder / "9_gone").symlink_to("nowhere")
    with pytest.raises(DataError) as caught:
        read_folder(
            folder,
            cache=tmp_path / "cache",
            size=(8, 8),
            fit=Fit(),
            labels="leading_index",
            class_names=["dog", "wolf", "cat"],
            at_least=100,
        )
    message = str(caught.value)
    for fault in [
        "7_outside/: class index 7 is outside the 3 classes",
        "no_number/: the name does not begin with a class index",
        "1_wolf/: is class 1, and so is 01_again/",
        "2_empty/: holds no image",
        "1_wolf/cut.jpg: cannot be decoded",
        "1_wolf/1.png: cannot be decoded",
        "1_wolf/nothing.png: cannot be decoded",
        "1_wolf/gone.png: No such file",
        "0_dog/movie.mp4: is no picture of a known kind",
        "9_gone/: is a link to nothing",
        "expected at least 100 images, got 8",
    ]:
        assert fault in message
    assert message.startswith("11 fault(s) in the image set set:")
    assert not (tmp_path / "cache").exists()


def test_a_cut_off_picture_is_refused_also_after_another_package_told_pillow_to_fill_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WeasyPrint does so on import, for the whole process."""
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    folder = write_folder(tmp_path / "set", {"wolf": 2})
    whole = (folder / "wolf" / "1.png").read_bytes()
    (folder / "wolf" / "1.png").write_bytes(whole[:60])
    with pytest.raises(DataError, match=r"wolf/1\.png: cannot be decoded"):
        read_folder(folder, cache=tmp_path / "cache", size=(8, 8), fit=Fit())
    assert ImageFile.LOAD_TRUNCATED_IMAGES, "what the other package asked for stands"


def test_all_broken_pictures_are_named_and_nothing_is_kept(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", {"a": 3})
    for name in ("0.png", "2.png"):
        (folder / "a" / name).write_bytes(b"broken")
    with pytest.raises(DataError, match=r"2 fault\(s\)") as caught:
        read_back(folder, tmp_path / "cache")
    assert "a/0.png" in str(caught.value)
    assert "a/2.png" in str(caught.value)
    assert not list((tmp_path / "cache" / "images").glob("*.partial"))
    assert not list((tmp_path / "cache" / "images").glob("*/pixels.u8"))


def test_a_missing_folder_and_one_without_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is none"):
        read_back(tmp_path / "gone", tmp_path / "cache")
    write_picture(tmp_path / "flat" / "a.png", noise(8, 8, seed=1))
    with pytest.raises(DataError, match="holds no folders"):
        read_back(tmp_path / "flat", tmp_path / "cache")


def test_hidden_files_and_notes_are_passed_over_and_inner_folders_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", {"a": 1, "a/inner": 1})
    for name in (".DS_Store", "notes.txt", "Thumbs.db", "boxes.xml"):
        (folder / "a" / name).touch()
    (folder / ".git").mkdir()
    (folder / "labels.csv").touch()
    assert read_back(folder, tmp_path / "cache").origins == ("a/0.png", "a/inner/0.png")


def test_links_to_folders_are_followed_once_and_give_no_picture_two_labels(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", {"a": 1, "b": 1})
    (folder / "a" / "up").symlink_to("..")
    (folder / "b" / "self").symlink_to(".")
    assert read_back(folder, tmp_path / "cache").origins == ("a/0.png", "b/0.png")
    (folder / "a" / "other").symlink_to("../b")
    with pytest.raises(DataError, match="b/: holds no image"):
        read_back(folder, tmp_path / "cache")


def test_a_name_that_is_no_text_is_a_fault(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "set", {"a": 1})
    try:
        os.rename(folder / "a" / "0.png", os.fsencode(folder / "a") + b"/\xff.png")  # noqa: PTH104
    except OSError:
        pytest.skip("this file system takes no names outside UTF-8")
    with pytest.raises(DataError, match=r"a/\\xff.png: the name is not valid UTF-8"):
        read_back(folder, tmp_path / "cache")
