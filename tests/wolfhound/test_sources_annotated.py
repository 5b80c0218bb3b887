"""COCO and VOC annotations become labels and object masks, in the picture's own geometry, or are refused by name."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.wolfhound.pictures import noise, write_picture
from wolfhound.errors import DataError
from wolfhound.images import ImageSet
from wolfhound.sources import Fit, read_coco, read_voc
from wolfhound.sources.annotated import boxes_mask, runs_mask, unpacked_runs


def packed_literally(counts: list[int]) -> str:
    """Return COCO's compressed text of run lengths: a literal replica of the published encoder."""
    text = ""
    for place, count in enumerate(counts):
        value = count - counts[place - 2] if place > 2 else count
        more = True
        while more:
            group = value & 0x1F
            value >>= 5
            more = value != -1 if group & 0x10 else value != 0
            text += chr((group | 0x20 if more else group) + 48)
    return text


@given(st.lists(st.integers(0, 5000), max_size=30))
def test_compressed_run_lengths_come_back(counts: list[int]) -> None:
    assert unpacked_runs(packed_literally(counts)) == counts


@given(st.text(st.characters(max_codepoint=300), max_size=30))
def test_any_text_is_run_lengths_or_refused(text: str) -> None:
    with suppress(DataError):
        assert all(isinstance(count, int) for count in unpacked_runs(text))


def test_run_lengths_go_down_the_columns() -> None:
    drawn = runs_mask([1, 2, 3])(2, 3)
    assert drawn.astype(int).tolist() == [[0, 0], [1, 0], [1, 0]]
    with pytest.raises(DataError, match="6 pixels in all, expected 8"):
        runs_mask([1, 2, 3])(2, 4)


@given(st.lists(st.floats(-3, 9), min_size=4, max_size=4))
def test_a_box_holds_the_pixels_whose_centres_it_holds(edges: list[float]) -> None:
    left, top, right, bottom = edges
    wanted = [[left <= x + 0.5 < right and top <= y + 0.5 < bottom for x in range(6)] for y in range(5)]
    assert boxes_mask([(left, top, right, bottom)])(6, 5).tolist() == wanted


def coco(folder: Path, annotations: list[dict[str, Any]], **changes: Any) -> Path:
    images = []
    for i in range(3):
        write_picture(folder / f"{i}.png", noise(6, 8, seed=i))
        images.append({"id": i, "file_name": f"{i}.png", "width": 8, "height": 6})
    categories = [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}]
    document = {"images": images, "annotations": annotations, "categories": categories, **changes}
    (folder / "instances.json").write_text(json.dumps(document))
    return folder / "instances.json"


def thing(image: int, category: int, box: tuple[float, ...], **more: Any) -> dict[str, Any]:
    left, top, width, height = box
    corners = [left, top, left + width - 1, top, left + width - 1, top + height - 1, left, top + height - 1]
    return {
        "id": 100 + image, "image_id": image, "category_id": category, "bbox": list(box), "area": width * height,
        "segmentation": [corners], **more,
    }  # fmt: skip


def read(path: Path, **options: Any) -> ImageSet:
    return read_coco(path, root=path.parent, cache=path.parent / "cache", size=(6, 8), fit=Fit(), **options)


@pytest.mark.parametrize("masks", ["segmentation", "box"])
def test_the_label_is_the_category_that_covers_most_and_the_mask_is_its_union(masks: Any, tmp_path: Path) -> None:
    things = [
        thing(0, 7, (0, 0, 3, 2)),
        thing(0, 7, (5, 4, 3, 2)),
        thing(0, 9, (1, 2, 3, 3)),
        thing(1, 9, (2, 1, 4, 4)),
    ]
    found = read(coco(tmp_path, things), masks=masks)
    assert (found.class_names, found.labels.tolist()) == (("cat", "dog"), [0, 1])
    wanted = np.zeros((6, 8), dtype=np.float32)
    wanted[0:2, 0:3] = wanted[4:6, 5:8] = 1
    assert np.array_equal(found.load_masks()[0, 0].numpy(), wanted)
    assert found.origins == ("0.png", "1.png")  # the third has no object


def test_run_lengths_of_both_kinds_are_drawn(tmp_path: Path) -> None:
    counts = [6, 6, 36]  # the second column
    plain, short = {"size": [6, 8], "counts": counts}, {"size": [6, 8], "counts": packed_literally(counts)}
    things = [thing(0, 7, (1, 0, 1, 6), segmentation=plain), thing(1, 7, (1, 0, 1, 6), segmentation=short)]
    masks = read(coco(tmp_path, things)).load_masks()[:, 0].numpy()
    assert np.array_equal(masks, np.tile(np.eye(8, dtype=np.float32)[1], (2, 6, 1)))


def test_categories_are_chosen_and_small_objects_left_out(tmp_path: Path) -> None:
    path = coco(tmp_path, [thing(0, 7, (0, 0, 8, 6)), thing(1, 9, (0, 0, 8, 3)), thing(2, 9, (0, 0, 2, 2))])
    assert read(path, categories=("dog", "cat")).labels.tolist() == [1, 0, 0]
    assert read(path, categories=("dog",)).origins == ("1.png", "2.png")
    assert read(path, least_share=0.5).origins == ("0.png", "1.png")


def test_a_mask_is_turned_as_its_picture_is(tmp_path: Path) -> None:
    path = coco(tmp_path, [thing(0, 7, (0, 0, 8, 2))])
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(noise(6, 8, seed=0)).save(tmp_path / "0.png", exif=exif)
    mask = read(path).load_masks()[0, 0].numpy()
    assert mask[4:].all()
    assert not mask[:4].any()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"images": [{"id": 0}]}, "a list of images, each with id, file_name, width, height"),
        ({"categories": []}, "expected 7 to be there"),
        ({"annotations": [thing(5, 7, (0, 0, 2, 2))]}, "annotation 105: expected 5 to be there"),
        ({"annotations": [thing(0, 7, (0, 0, 2, 2), segmentation=[[1, 2]])]}, "polygons of at least three corners"),
        ({"annotations": [thing(0, 7, (0, 0, 2, 2), segmentation={"counts": [1, 2]})]}, "3 pixels in all, expected 48"),
        (
            {"images": [{"id": 0, "file_name": "0.png", "width": 9, "height": 9}]},
            "picture of 9x9, but the picture is 8x6",
        ),
        ({"images": [{"id": 0, "file_name": "x.png", "width": 8, "height": 6}]}, r"x\.png: No such file"),
    ],
)
def test_faults_of_annotations_are_named(changes: dict[str, Any], reason: str, tmp_path: Path) -> None:
    path = coco(tmp_path, **{"annotations": [thing(0, 7, (0, 0, 4, 4))], **changes})
    with pytest.raises(DataError, match=reason):
        read(path)


def voc(folder: Path, *, edge: str = "4", name: str = "a.png") -> Path:
    write_picture(folder / "JPEGImages" / "a.png", noise(6, 8, seed=0))
    boxes = [("cat", "1", "1", edge, "3"), ("dog", "6", "1", "8", "2"), ("cat", "1", "5", "2", "6")]
    objects = "".join(
        f"<object><name>{kind}</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox>"
        "</object>"
        for kind, a, b, c, d in boxes
    )
    (folder / "Annotations").mkdir()
    (folder / "Annotations" / "a.xml").write_text(
        f"<annotation><filename>{name}</filename><size><width>8</width><height>6</height></size>{objects}</annotation>"
    )
    return folder


def read_folder(folder: Path, **options: Any) -> ImageSet:
    return read_voc(folder, cache=folder / "cache", size=(6, 8), fit=Fit(), **options)


def test_voc_boxes_count_from_one_and_include_their_last_pixel(tmp_path: Path) -> None:
    found = read_folder(voc(tmp_path), masks="box")
    wanted = np.zeros((6, 8), dtype=np.float32)
    wanted[0:3, 0:4] = wanted[4:6, 0:2] = 1
    assert (found.class_names, found.labels.tolist()) == (("cat", "dog"), [0])
    assert np.array_equal(found.load_masks()[0, 0].numpy(), wanted)


def test_voc_segments_of_the_labels_objects_are_the_mask(tmp_path: Path) -> None:
    segments = np.zeros((6, 8), dtype=np.uint8)
    segments[0], segments[2], segments[4], segments[5] = 1, 2, 3, 255
    voc(tmp_path)
    (tmp_path / "SegmentationObject").mkdir()
    image = Image.fromarray(segments).convert("P")
    image.putdata(segments.ravel().tolist())
    image.save(tmp_path / "SegmentationObject" / "a.png")
    mask = read_folder(tmp_path).load_masks()[0, 0].numpy()
    assert mask.any(axis=1).tolist() == [True, False, False, False, True, False]


@pytest.mark.parametrize(
    ("changes", "options", "reason"),
    [
        ({}, {}, r"a: has no SegmentationObject/a\.png \(say masks: box\)"),
        ({"edge": "wide"}, {"masks": "box"}, "bndbox/xmax 'wide', expected a number"),
        ({"edge": "inf"}, {"masks": "box"}, "expected pixels"),
        ({"name": "../../a.png"}, {"masks": "box"}, "name of a file in JPEGImages"),
        ({"name": "b.png"}, {"masks": "box"}, r"b\.png: No such file"),
        ({}, {"masks": "box", "split": "val"}, "expected a list of names"),
        ({}, {"masks": "box", "categories": ("cow",)}, "expected different categories out of"),
    ],
)
def test_faults_of_a_voc_folder_are_named(changes: Any, options: Any, reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason):
        read_folder(voc(tmp_path, **changes), **options)
