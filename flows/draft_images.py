"""Which image set of the user's it is: the section of the plan that reads it, and its first picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from flows.draft_columns import huggingface_columns, shard_label, table_section
from flows.draft_wanted import Section, Wanted, one_of
from flows.init_command import KINDS
from wolfhound.errors import DataError, PlanError
from wolfhound.plan_images import TorchvisionImages
from wolfhound.sources.coco import view_coco
from wolfhound.sources.folder import list_folder
from wolfhound.sources.imagenet_names import imagenet_class_names
from wolfhound.sources.listing import SUFFIXES, Picture, PictureFile
from wolfhound.sources.tar_pictures import members

NAMED = get_args(TorchvisionImages.model_fields["dataset"].annotation)
_PARTS = {"train", "training", "val", "valid", "validation", "test"}
_IMAGENET = 1000


@dataclass(frozen=True)
class FoundImages:
    """An image set that was recognised.

    Attributes:
        section: what the plan says of it, without size and fit.
        first: returns its first picture; None where sizes are not to be found out.
        readings: what can be added of labels and class names, the likeliest first.
    """

    section: Section
    first: Callable[[], Picture] | None
    readings: tuple[Section, ...]


def find_images(wanted: Wanted, *, cache: Path) -> FoundImages:
    """Return which image set `wanted.images` is.

    Raises:
        DataError: there is nothing, or nothing that is an image set.
        PlanError: it could be several, and nobody can be asked; says which flag answers it.
    """
    kind = wanted.kind or _kind(wanted)
    path = Path(wanted.images)
    match kind:
        case "folder":
            return _folder(wanted, path)
        case "csv" | "parquet":
            section, first = table_section(wanted, path, kind)
            return FoundImages(section, first, _named_readings(wanted))
        case "webdataset":
            return _shards(wanted, path)
        case "coco":
            return _coco(wanted, path)
        case "voc":
            return _voc(wanted, path)
        case "torchvision":
            return _torchvision(wanted, path)
        case "huggingface":
            section, first = huggingface_columns(wanted, cache)
            return FoundImages(section, first, _named_readings(wanted))
    raise PlanError(f"expected --images-as to be one of {', '.join(KINDS)}, got {kind!r}")


def _kind(wanted: Wanted) -> str:
    path = Path(wanted.images)
    if wanted.images.startswith("hf:"):
        return "huggingface"
    if wanted.images in NAMED and not path.exists():
        return "torchvision"
    if wanted.images in NAMED:
        question = f"{wanted.images} is a data set of torchvision's and a folder here. Which is meant?"
        return wanted.ask(question, ("torchvision", *_folder_kinds(path)), "--images-as")
    if path.is_dir():
        return _kind_of_folder(wanted, path)
    if path.is_file():
        return _kind_of_file(path)
    if any(sign in path.name for sign in "*?["):
        return "webdataset"
    raise DataError(
        f"expected a folder with one folder of images a class at {path}, or a CSV, Parquet, COCO or tar file, but "
        f"there is none (a data set of torchvision's is one of {', '.join(NAMED)}, one of a hub is hf:NAME)"
    )


def _kind_of_file(path: Path) -> str:
    kinds = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".json": "coco", ".tar": "webdataset"}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise DataError(f"expected a folder of images, or a file out of {', '.join(kinds)}, got {path}")
    return kind


def _kind_of_folder(wanted: Wanted, path: Path) -> str:
    kinds = _folder_kinds(path)
    if not kinds:
        raise DataError(
            f"expected one folder of images a class in {path}, got no folders and no tables, shards or lists"
        )
    return one_of(kinds, f"What is in {path}?", "--images-as", wanted.ask)


def _folder_kinds(path: Path) -> tuple[str, ...]:
    """Return what a folder may be. Folders of pictures are classes, unless it has the signs of another layout."""
    names = {child.name for child in path.iterdir()} if path.is_dir() else set()
    found = []
    if {"Annotations", "JPEGImages"} <= names:
        found.append("voc")
    if names & {"dataset_dict.json", "state.json"}:
        found.append("huggingface")
    if _annotation_files(path):
        found.append("coco")
    if any(name.endswith(".tar") for name in names):
        found.append("webdataset")
    if names & {"cifar-10-batches-py", "cifar-100-python"} or _is_imagenet(path / "val"):
        found.append("torchvision")
    if not found and any(name.endswith(".parquet") for name in names):
        found.append("huggingface")
    if not found and any(child.is_dir() and not child.name.startswith(".") for child in path.iterdir()):
        found.append("folder")
    return tuple(found)


def _is_imagenet(path: Path) -> bool:
    return path.is_dir() and sum(1 for child in path.glob("n[0-9]*") if child.is_dir()) == _IMAGENET


def _annotation_files(path: Path) -> list[Path]:
    return sorted({*path.glob("annotations/*.json"), *path.glob("instances*.json"), *path.glob("*.coco.json")})


def _folder(wanted: Wanted, path: Path) -> FoundImages:
    if not path.is_dir():
        raise DataError(f"expected a folder with one folder of images a class at {path}, but there is none")
    folders = {child.name for child in path.iterdir() if child.is_dir() and not child.name.startswith(".")}
    if folders and folders <= _PARTS:
        parts = " or ".join(f"--images {path / name}" for name in sorted(folders))
        raise DataError(f"expected one folder of images a class in {path}, got parts of a set (say {parts})")
    readings = _folder_readings(wanted, folders)
    section = {"source": "folder", "path": path}

    def first() -> Picture:
        listing = list_folder(path, labels="folder_order", class_names=None, limit_per_class=1)
        if not listing.entries:
            raise DataError(f"expected one folder of images a class in {path}, got {listing.faults[0]}")
        return listing.entries[0].picture

    return FoundImages(section, first, readings)


def _folder_readings(wanted: Wanted, folders: set[str]) -> tuple[Section, ...]:
    """Folders of ImageNet's classes are known by their index or name; of any other set, by their order."""
    if wanted.class_names not in (None, "imagenet"):
        return ({"labels": "folder_order", "class_names": Path(str(wanted.class_names))},)
    plain: Section = {"labels": "folder_order", "class_names": "folders"}
    if folders and all(name[:4].isdigit() and int(name[:4]) < _IMAGENET for name in folders):
        return {"labels": "leading_index", "class_names": "imagenet"}, plain
    if folders and folders <= set(imagenet_class_names()):
        return {"labels": "class_name", "class_names": "imagenet"}, plain
    if wanted.class_names is not None:
        raise PlanError(
            "expected folders that begin with ImageNet's class index, or are called as its classes, beside "
            f"--class-names imagenet, got {', '.join(sorted(folders)[:3])}"
        )
    return (plain,)


def _named_readings(wanted: Wanted) -> tuple[Section, ...]:
    """Labels as they stand; where they are numbers, those of ImageNet's classes."""
    if wanted.class_names is not None:
        imagenet = wanted.class_names == "imagenet"
        return ({"class_names": "imagenet" if imagenet else Path(wanted.class_names)},)
    return {"class_names": "labels"}, {"class_names": "imagenet"}


def _shards(wanted: Wanted, path: Path) -> FoundImages:
    pattern = path / "*.tar" if path.is_dir() else path
    shards: Sequence[Path] = [pattern] if pattern.is_file() else sorted(pattern.parent.glob(pattern.name))
    if not shards:
        raise DataError(f"expected tar files at {pattern}, but there are none")
    held = members(shards[0])
    section = {"source": "webdataset", "path": pattern, "label": shard_label(wanted, shards[0], held)}

    def first() -> Picture:
        for member in held:
            if f".{member.name.rpartition('/')[2].partition('.')[2].lower()}" in SUFFIXES:
                return member
        raise DataError(f"expected pictures in {shards[0]}, got {held[0].name if held else 'nothing'}")

    return FoundImages(section, first, _named_readings(wanted))


def _coco(wanted: Wanted, path: Path) -> FoundImages:
    files = [str(file) for file in _annotation_files(path)] if path.is_dir() else [str(path)]
    if not files:
        raise DataError(f"expected a JSON file of COCO annotations at {path}, but there is none")
    chosen = Path(one_of(files, f"Which of the annotations in {path}?", "--images FILE.json", wanted.ask))
    name, masks = view_coco(chosen)
    if wanted.root is not None:
        roots = [wanted.root]
    else:
        base = chosen.parent.parent if chosen.parent.name == "annotations" else chosen.parent
        places = [base, *sorted(child for child in base.iterdir() if child.is_dir())]
        roots = [place for place in places if (place / name).is_file()]
    if not roots:
        raise DataError(f"expected {name} of {chosen} beside it, but it is not there (say --root FOLDER)")
    root = Path(one_of([str(place) for place in roots], f"Which folder holds {name}?", "--root", wanted.ask))
    section = {"source": "coco", "annotations": chosen, "root": root, "masks": masks}
    return FoundImages(section, lambda: _file(root / name), ({},))


def _voc(wanted: Wanted, path: Path) -> FoundImages:
    pictures = sorted(file for file in (path / "JPEGImages").glob("*") if file.suffix.lower() in SUFFIXES)
    annotated = {file.stem for file in (path / "Annotations").glob("*.xml")}
    segmented = {file.stem for file in (path / "SegmentationObject").glob("*.png")}
    masks = "segmentation" if annotated <= segmented else "box"
    section: Section = {"source": "voc", "root": path, "masks": masks}
    if wanted.split is not None:
        section["split"] = wanted.split
    if not pictures:
        raise DataError(f"expected pictures in {path / 'JPEGImages'}, but there are none")
    return FoundImages(section, lambda: _file(pictures[0]), ({},))


def _torchvision(wanted: Wanted, path: Path) -> FoundImages:
    dataset, root = wanted.images, wanted.root
    if dataset not in NAMED:
        held = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python", "imagenet": "val"}
        found = [name for name, inner in held.items() if (path / inner).is_dir()]
        dataset, root = one_of(found, f"Which set in {path}?", "--images NAME --root", wanted.ask), path
    if root is None:
        root = Path(wanted.ask(f"Which folder holds {dataset} (torchvision's root)?", (), "--root"))
    section = {"source": "torchvision", "dataset": dataset, "root": root, "split": wanted.split or "val"}
    return FoundImages(section, None, ({},))


def _file(path: Path) -> PictureFile:
    try:
        return PictureFile.found(path, path.name)
    except OSError as error:
        raise DataError(f"expected a picture at {path}, but: {error.strerror}") from error
