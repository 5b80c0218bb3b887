"""A plan is drafted for every kind of image set, told by what lies in its folder or file."""

import csv
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flows.draft_text import split_sizes
from flows.subject_sources import read_images
from tests.extras import needed
from tests.flows.drafting import draft, refusal
from tests.flows.drafting import project as project
from tests.flows.drafting import trained_state as trained_state
from tests.flows.drafting import workshop as workshop
from tests.wolfhound.test_sources_torchvision import write_cifar
from wolfhound.images import ImageSet
from wolfhound.plan_reading import read_plan
from wolfhound.progress import silent

MODEL = ("--model", "nets.py:sound", "--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25")
COUNT = 24


@pytest.fixture
def pictures(project: Path) -> list[tuple[Path, str]]:
    """Some of the workshop's pictures, six of each class, and what their class is called."""
    folders = sorted((project / "images").iterdir())
    return [(file, folder.name) for folder in folders for file in sorted(folder.glob("*.png"))[:6]]


def read_back(project: Path) -> ImageSet:
    """Return the images that the drafted plan reads, in the audit's own way."""
    plan = read_plan(project / "audit.yaml").plan
    return read_images(plan.images, cache=project / "cache", at_least=1, progress=silent)[0]


def check(project: Path, source: str, *, size: int = 16, count: int = COUNT) -> Any:
    """Check that the drafted plan reads the pictures and splits all of them; return its section of images."""
    plan = read_plan(project / "audit.yaml").plan
    assert plan.images.source == source
    images = read_back(project)
    assert images.size == (size, size)
    assert len(images) == count
    assert dict(plan.splits) == split_sizes(count)
    return plan.images


def rows(pictures: list[tuple[Path, str]], *heading: str) -> list[list[str]]:
    return [list(heading), *([str(file.relative_to(Path.cwd())), name] for file, name in pictures)]


def write_table(path: Path, cells: list[list[str]]) -> None:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(cells)


def test_a_tables_columns_are_found_by_their_usual_names_and_named_in_the_plan(
    project: Path, pictures: list[tuple[Path, str]]
) -> None:
    write_table(project / "set.csv", rows(pictures, "file_name", "category"))
    draft("--images", "set.csv", *MODEL, "--yes")
    section = check(project, "csv")
    assert (section.columns.path, section.columns.label) == ("file_name", "category")


def test_columns_of_other_names_are_asked_for_or_refused_with_their_flags(
    project: Path, pictures: list[tuple[Path, str]]
) -> None:
    write_table(project / "set.csv", rows(pictures, "where", "what"))
    assert "expected --picture beside --yes" in refusal("--images", "set.csv", *MODEL)
    assert "where or what" in refusal("--images", "set.csv", *MODEL)
    assert "one of the columns ['where', 'what'], got 'there'" in refusal(
        "--images", "set.csv", *MODEL, "--picture", "there"
    )
    draft("--images", "set.csv", *MODEL, "--picture", "where", "--label", "what", "--yes", "flags.yaml")
    draft("--images", "set.csv", *MODEL, said="\n\nwhere\nwhat\n")
    assert check(project, "csv").columns.label == "what"


def test_paths_of_a_table_may_be_meant_from_another_folder(project: Path, pictures: list[tuple[Path, str]]) -> None:
    (project / "tables").mkdir()
    write_table(project / "tables" / "set.csv", rows(pictures, "path", "label"))
    assert "or from --root" in refusal("--images", "tables/set.csv", *MODEL)
    draft("--images", "tables/set.csv", *MODEL, "--root", ".", "--yes")
    assert check(project, "csv").root.resolve() == project.resolve()


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def write_shards(folder: Path, pictures: list[tuple[Path, str]], label: Callable[[str], dict[str, bytes]]) -> None:
    folder.mkdir()
    for shard in range(2):
        with tarfile.open(folder / f"set-{shard}.tar", "w") as archive:
            for number, (file, name) in enumerate(pictures[shard::2]):
                add(archive, f"{number:03}.png", file.read_bytes())
                for suffix, data in label(name).items():
                    add(archive, f"{number:03}.{suffix}", data)


@pytest.mark.parametrize("given", ["shards", "shards/set-*.tar"])
def test_shards_are_known_by_their_folder_or_pattern(
    given: str, project: Path, pictures: list[tuple[Path, str]]
) -> None:
    write_shards(project / "shards", pictures, lambda name: {"cls": name.encode()})
    draft("--images", given, *MODEL, "--yes")
    assert check(project, "webdataset").label == "cls"


def test_labels_in_the_json_of_a_shard_are_found_by_their_key(project: Path, pictures: list[tuple[Path, str]]) -> None:
    write_shards(project / "shards", pictures, lambda name: {"json": json.dumps({"id": 1, "label": name}).encode()})
    draft("--images", "shards", *MODEL, "--yes")
    assert check(project, "webdataset").label == "json:label"


def test_two_places_that_could_hold_a_shards_labels_are_not_chosen_between(
    project: Path, pictures: list[tuple[Path, str]]
) -> None:
    write_shards(project / "shards", pictures, lambda name: {"cls": name.encode(), "txt": b"a caption"})
    said = refusal("--images", "shards", *MODEL)
    assert "expected --label beside --yes" in said
    assert "cls or txt" in said


def write_coco(project: Path, pictures: list[tuple[Path, str]], *, nested: bool) -> None:
    (project / "coco" / "pictures").mkdir(parents=True)
    names = sorted({name for _, name in pictures})
    images, annotations = [], []
    for number, (file, name) in enumerate(pictures):
        shutil.copy(file, project / "coco" / "pictures" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 16, "height": 16})
        box = {"bbox": [2, 2, 9, 9], "area": 81, "segmentation": [[2, 2, 11, 2, 11, 11, 2, 11]]}
        annotations.append({"id": number, "image_id": number, "category_id": names.index(name), **box})
    categories = [{"id": place, "name": name} for place, name in enumerate(names)]
    file = project / "coco" / ("annotations/instances_val.json" if nested else "instances.json")
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))


@pytest.mark.parametrize("given", ["coco", "coco/annotations/instances_val.json"])
def test_annotations_of_coco_find_their_pictures_beside_them(
    given: str, project: Path, pictures: list[tuple[Path, str]]
) -> None:
    write_coco(project, pictures, nested=True)
    draft("--images", given, *MODEL, "--yes")
    section = check(project, "coco")
    assert section.root == project / "coco" / "pictures"
    assert read_back(project).masks is not None


def test_annotations_without_their_pictures_are_refused_with_the_flag_for_them(
    project: Path, pictures: list[tuple[Path, str]]
) -> None:
    write_coco(project, pictures, nested=False)
    (project / "coco" / "pictures").rename(project / "elsewhere")
    assert "say --root FOLDER" in refusal("--images", "coco/instances.json", *MODEL)
    draft("--images", "coco/instances.json", "--root", "elsewhere", *MODEL, "--yes")
    check(project, "coco")


def test_a_folder_of_pascals_layout_is_one(project: Path, pictures: list[tuple[Path, str]]) -> None:
    folder = project / "voc"
    for name in ("Annotations", "JPEGImages"):
        (folder / name).mkdir(parents=True)
    for number, (file, name) in enumerate(pictures):
        shutil.copy(file, folder / "JPEGImages" / f"{number}.png")
        box = "<bndbox><xmin>2</xmin><ymin>2</ymin><xmax>12</xmax><ymax>12</ymax></bndbox>"
        (folder / "Annotations" / f"{number}.xml").write_text(
            f"<annotation><filename>{number}.png</filename><size><width>16</width><height>16</height></size>"
            f"<object><name>{name}</name>{box}</object></annotation>"
        )
    draft("--images", "voc", *MODEL, "--yes")
    assert check(project, "voc").masks == "box", "no picture has a segment"
    (folder / "SegmentationObject").mkdir()
    for number in range(COUNT):
        Image.new("L", (16, 16), 1).save(folder / "SegmentationObject" / f"{number}.png")
    draft("--images", "voc", *MODEL, "--yes", "--force")
    assert check(project, "voc").masks == "segmentation"


def test_a_set_of_torchvisions_is_known_by_name_or_by_its_folder(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_cifar(project / "data", monkeypatch)
    (project / "ten.py").write_text(
        "from torch import nn\nimport torch\n\ndef ten():\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))\n"
    )
    given = ("--model", "ten.py:ten", *MODEL[2:], "--split", "train")
    assert "expected --root beside --yes" in refusal("--images", "cifar10", *given)
    draft("--images", "cifar10", "--root", "data", *given, "--yes")
    assert check(project, "torchvision", size=32, count=10).split == "train"
    draft("--images", "data", *given, "--yes", "--force")
    assert check(project, "torchvision", size=32, count=10).dataset == "cifar10"


def test_a_folder_called_as_a_set_of_torchvisions_is_not_chosen_silently(project: Path) -> None:
    (project / "images").rename(project / "cifar10")
    assert "expected --images-as beside --yes" in refusal("--images", "cifar10", *MODEL)
    draft("--images", "cifar10", "--images-as", "folder", *MODEL, "--yes")
    check(project, "folder", count=260)


def test_a_folder_with_two_layouts_is_asked_about(project: Path, pictures: list[tuple[Path, str]]) -> None:
    write_coco(project, pictures, nested=True)
    write_shards(project / "coco" / "shards", pictures, lambda name: {"cls": name.encode()})
    for shard in (project / "coco" / "shards").iterdir():
        shard.rename(project / "coco" / shard.name)
    said = refusal("--images", "coco", *MODEL)
    assert "expected --images-as beside --yes" in said
    assert "coco or webdataset" in said
    draft("--images", "coco", *MODEL, said="\n\nwebdataset\n")
    check(project, "webdataset")


def test_the_parts_of_a_set_are_not_taken_for_its_classes(project: Path) -> None:
    (project / "parted").mkdir()
    for part in ("train", "val"):
        (project / "parted" / part).symlink_to(project / "images")
    said = refusal("--images", "parted", *MODEL)
    assert "say --images parted/train or --images parted/val" in said
    draft("--images", "parted/val", *MODEL, "--yes")
    check(project, "folder", count=260)


@pytest.mark.parametrize(
    ("images", "more", "wrong"),
    [
        ("nowhere", [], "expected a folder with one folder of images a class"),
        ("nets.py", [], "expected a folder of images, or a file out of .csv"),
        ("empty", [], "got no folders and no tables"),
        ("none-*.tar", [], "expected tar files at none-*.tar"),
        ("images", ["--images-as", "photographs"], "expected --images-as to be one of folder, csv"),
        ("images", ["--class-names", "imagenet"], "expected folders that begin with ImageNet's class index"),
        ("images", ["--class-names", "missing.txt"], "expected class names at missing.txt"),
    ],
)
def test_what_is_no_image_set_is_refused_with_what_to_say(
    images: str, more: list[str], wrong: str, project: Path
) -> None:
    (project / "empty").mkdir()
    assert wrong in refusal("--images", images, *MODEL, *more)


@pytest.mark.extras
def test_a_parquet_table_is_read_as_a_csv_file_is(project: Path, pictures: list[tuple[Path, str]]) -> None:
    pyarrow = needed("pyarrow")
    cells = rows(pictures, "path", "label")[1:]
    table = pyarrow.table({"path": [row[0] for row in cells], "label": [row[1] for row in cells]})
    needed("pyarrow.parquet").write_table(table, "set.parquet")
    draft("--images", "set.parquet", *MODEL, "--yes")
    check(project, "parquet")


@pytest.mark.extras
@pytest.mark.parametrize("kind", ["split", "splits", "parquet"])
def test_a_folder_of_the_library_datasets_says_its_own_columns(
    kind: str, project: Path, pictures: list[tuple[Path, str]]
) -> None:
    datasets = needed("datasets")
    names = sorted({name for _, name in pictures})
    features = datasets.Features({"photo": datasets.Image(), "kind": datasets.ClassLabel(names=names)})
    columns = {"photo": [str(file) for file, _ in pictures], "kind": [names.index(name) for _, name in pictures]}
    table = datasets.Dataset.from_dict(columns, features=features)
    if kind == "split":
        table.save_to_disk(str(project / "set"))
    elif kind == "splits":
        datasets.DatasetDict({"train": table, "test": table}).save_to_disk(str(project / "set"))
    else:
        (project / "set").mkdir()
        table.map(lambda row: row).to_parquet(str(project / "set" / "data.parquet"))
    draft("--images", "set", *MODEL, "--yes")
    section = check(project, "huggingface")
    assert (section.image, section.label) == ("photo", "kind")
    assert section.split == ("test" if kind == "splits" else "train")
