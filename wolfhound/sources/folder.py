"""An image set from a folder with one folder per class."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from wolfhound.errors import DataError
from wolfhound.images import ImageSet
from wolfhound.progress import Progress, silent
from wolfhound.sources.assemble import assemble
from wolfhound.sources.fit import Fit
from wolfhound.sources.listing import SUFFIXES, Entry, Listing, PictureFile, name_fault

FolderLabels = Literal["folder_order", "leading_index", "class_name"]

# What lies beside pictures in published data sets. Any other file is a fault: it may be a picture that nobody counts.
_BESIDE = frozenset((".txt", ".csv", ".tsv", ".json", ".xml", ".md", ".yaml", ".yml", ".html", ".db", ".ini", ".mat"))


def read_folder(
    path: Path,
    *,
    cache: Path,
    size: tuple[int, int],
    fit: Fit,
    labels: FolderLabels = "folder_order",
    class_names: Sequence[str] | None = None,
    limit_per_class: int | None = None,
    at_least: int = 1,
    name: str | None = None,
    progress: Progress = silent,
) -> ImageSet:
    """Return the images of `path`, one folder per class, sorted by their path.

    Hidden files and folders are passed over. Folders within a class folder belong to the class.

    Args:
        path: the folder.
        cache: where decoded pixels are kept between runs.
        size: height and width of every image.
        fit: how a picture becomes an image of that size.
        labels: "folder_order": the sorted folder names are the classes (with `class_names`, these are what they are
            called, in that order); "leading_index": a folder's name begins with the class index of `class_names`, as
            in 0207_golden_retriever; "class_name": a folder's name is one of `class_names`.
        class_names: the classes, in the classifier's order.
        limit_per_class: take at most so many images of a class, the first in the order of their paths.
        at_least: how many images there must be in all.
        name: what the set is called; the folder's name by default.
        progress: shows the decoding, which happens once.

    Raises:
        DataError: names every fault at once: folders without a class, empty classes, broken or missing files.
    """
    if not path.is_dir():
        raise DataError(f"expected a folder with one folder per class at {path}, but there is none")
    listing = list_folder(path, labels=labels, class_names=class_names, limit_per_class=limit_per_class)
    name = name or path.resolve().name
    return assemble(listing, name=name, cache=cache, size=size, fit=fit, at_least=at_least, progress=progress)


def list_folder(
    path: Path, *, labels: FolderLabels, class_names: Sequence[str] | None, limit_per_class: int | None
) -> Listing:
    """Return what `path` holds, with every fault that can be seen without opening a picture."""
    children = [child for child in path.iterdir() if not child.name.startswith(".")]
    folders = sorted(child.name for child in children if child.is_dir())
    if not folders:
        return Listing((), (), ("it holds no folders (expected one per class)",))
    found, names, faults = _classes(folders, labels, class_names)
    faults += [f"{_shown(child.name)}: is a link to nothing" for child in children if not child.exists()]
    # Shared by all classes: a link from one class folder into another must not give its pictures a second label.
    seen = {_identity(path)}
    entries: list[Entry] = []
    for folder in folders:
        scan = _Scan(path, seen)
        scan.walk(path / folder)
        faults += scan.faults
        if not scan.pictures and not scan.faults:
            faults.append(f"{_shown(folder)}: holds no image")
        for picture in sorted(scan.pictures, key=lambda picture: picture.origin)[:limit_per_class]:
            # A folder without a class is a fault already; its pictures are still looked at, for one list of faults.
            entries.append(Entry(picture, found.get(folder, 0)))
    return Listing(tuple(entries), names, tuple(faults))


def _classes(
    folders: list[str], labels: FolderLabels, class_names: Sequence[str] | None
) -> tuple[dict[str, int], tuple[str, ...], list[str]]:
    """Return the class of each folder, the class names, and a fault for each folder that has none."""
    if labels == "folder_order":
        names = tuple(folders if class_names is None else class_names)
        return {folder: index for index, folder in enumerate(folders)}, names, _order_faults(folders, names)
    if class_names is None:
        raise DataError(f"labels: {labels} needs the class names of the classifier (class_names)")
    if labels not in ("leading_index", "class_name"):
        raise DataError(f"expected labels to be folder_order, leading_index or class_name, got {labels!r}")
    read = _leading_index if labels == "leading_index" else _index_of_name
    found: dict[str, int] = {}
    faults = []
    for folder in folders:
        index = read(folder, class_names)
        if isinstance(index, str):
            faults.append(f"{_shown(folder)}: {index}")
        elif index in found.values():
            other = next(name for name, taken in found.items() if taken == index)
            faults.append(f"{_shown(folder)}: is class {index}, and so is {_shown(other)} (merge them)")
        else:
            found[folder] = index
    return found, tuple(class_names), faults


def _order_faults(folders: list[str], names: tuple[str, ...]) -> list[str]:
    if len(folders) != len(names):
        return [f"there are {len(folders)} folders but {len(names)} class names (labels: class_name maps by name)"]
    place = {name: index for index, name in enumerate(names)}
    return [
        f"{_shown(folder)}: is number {index} of the sorted folders but number {place[folder]} of the class names "
        "(labels: class_name maps by name)"
        for index, folder in enumerate(folders)
        if place.get(folder, index) != index
    ]


def _leading_index(folder: str, class_names: Sequence[str]) -> int | str:
    match = re.match(r"[0-9]+", folder)
    if match is None:
        return "the name does not begin with a class index (expected a name such as 0207_golden_retriever)"
    if int(match[0]) >= len(class_names):
        return f"class index {int(match[0])} is outside the {len(class_names)} classes (indices begin at 0)"
    return int(match[0])


def _index_of_name(folder: str, class_names: Sequence[str]) -> int | str:
    places = [index for index, name in enumerate(class_names) if name == folder]
    if len(places) == 1:
        return places[0]
    return f"is the name of {len(places)} classes" if places else "is none of the class names"


def _shown(folder: str) -> str:
    return folder.encode(errors="surrogateescape").decode(errors="backslashreplace") + "/"


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


@dataclass
class _Scan:
    """Collects the pictures below a class folder; follows links, but never into a folder twice."""

    root: Path
    seen: set[tuple[int, int]]
    pictures: list[PictureFile] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def walk(self, folder: Path) -> None:
        if _identity(folder) in self.seen:
            return
        self.seen.add(_identity(folder))
        try:
            children = [Path(child.path) for child in os.scandir(folder) if not child.name.startswith(".")]
        except OSError as error:
            self.faults.append(f"{_shown(folder.relative_to(self.root).as_posix())}: {error.strerror}")
            return
        for child in children:
            if child.is_dir():
                self.walk(child)
            else:
                self._take(child)

    def _take(self, path: Path) -> None:
        origin = path.relative_to(self.root).as_posix()
        suffix = path.suffix.lower()
        if suffix in _BESIDE:
            return
        if fault := name_fault(origin):
            self.faults.append(fault)
        elif suffix not in SUFFIXES:
            self.faults.append(f"{origin}: is no picture of a known kind (convert it to PNG or JPEG, or move it out)")
        else:
            try:
                self.pictures.append(PictureFile.found(path, origin))
            except OSError as error:
                self.faults.append(f"{origin}: {error.strerror}")
