"""An image set from a CSV file that names each picture and its label."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wolfhound.errors import DataError
from wolfhound.images import ImageSet
from wolfhound.progress import Progress, silent
from wolfhound.sources.assemble import assemble
from wolfhound.sources.fit import Fit
from wolfhound.sources.listing import Entry, Listing, PictureFile, name_fault

CsvLabels = Literal["auto", "name", "index"]


@dataclass(frozen=True)
class CsvColumns:
    """What the columns are called. `mask` and `group` may be absent from the file if they keep these names."""

    path: str = "path"
    label: str = "label"
    mask: str = "mask"
    group: str = "group"


@dataclass(frozen=True)
class _Row:
    line: int
    path: str
    label: str
    mask: str
    group: str


def read_csv(
    csv_path: Path,
    *,
    root: Path | None = None,
    cache: Path,
    size: tuple[int, int],
    fit: Fit,
    labels: CsvLabels = "auto",
    class_names: Sequence[str] | None = None,
    columns: CsvColumns | None = None,
    limit_per_class: int | None = None,
    at_least: int = 1,
    name: str | None = None,
    progress: Progress = silent,
) -> ImageSet:
    """Return the images that a CSV file (UTF-8, commas, one heading line) lists, in its order.

    Args:
        csv_path: the file, with the columns path and label, and where they exist mask and group.
        root: what the paths are relative to; the file's own folder by default.
        cache: where decoded pixels are kept between runs.
        size: height and width of every image.
        fit: how a picture becomes an image of that size.
        labels: whether labels are class names or class indices; "auto" takes the reading that suits every row, and
            refuses to choose between two that disagree.
        class_names: the classes, in the classifier's order; by default the sorted names that occur.
        columns: other names for the columns.
        limit_per_class: take at most so many images of a class, the first in the file.
        at_least: how many images there must be in all.
        name: what the set is called; the file's name by default.
        progress: shows the decoding, which happens once.

    Raises:
        DataError: names every fault at once, with its line: missing files, labels outside the classes, pictures that
            are listed twice, masks or groups that only some rows have, broken pictures.
    """
    rows = _read_rows(csv_path, columns or CsvColumns())
    names, found, faults = _labels(rows, labels, class_names)
    faults += _partial(rows)
    taken: Counter[int] = Counter()
    first_line: dict[Path, int] = {}
    entries = []
    for row, label in zip(rows, found, strict=True):
        taken[label] += 1
        if limit_per_class is not None and taken[label] > limit_per_class:
            continue
        entry = _entry(row, label, (root or csv_path.parent), first_line)
        if isinstance(entry, Entry):
            entries.append(entry)
        else:
            faults.append(f"line {row.line}: {entry}")
    listing = Listing(tuple(entries), names, tuple(faults))
    name = name or csv_path.stem
    return assemble(listing, name=name, cache=cache, size=size, fit=fit, at_least=at_least, progress=progress)


def _read_rows(path: Path, columns: CsvColumns) -> list[_Row]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True, restval="", restkey="")
            heading = [column.strip() for column in reader.fieldnames or ()]
            _check_heading(path, heading, columns)
            reader.fieldnames = heading
            rows = [_row(reader.line_num, cells, columns) for cells in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"expected a UTF-8 CSV file at {path}, but it cannot be read: {error}") from error
    if not rows:
        raise DataError(f"{path}: holds no rows below its heading")
    return rows


def _check_heading(path: Path, heading: list[str], columns: CsvColumns) -> None:
    usual = CsvColumns()
    wanted = [columns.path, columns.label]
    wanted += [columns.mask] if columns.mask != usual.mask else []
    wanted += [columns.group] if columns.group != usual.group else []
    missing = [column for column in wanted if column not in heading]
    if missing:
        hint = " (separate the columns by commas)" if len(heading) == 1 and re.search("[;\t]", heading[0]) else ""
        raise DataError(f"{path}: expected the columns {wanted}, got {heading}{hint}")
    repeated = [column for column, count in Counter(heading).items() if count > 1]
    if repeated:
        raise DataError(f"{path}: the columns {repeated} are there twice")


def _row(line: int, cells: dict[str, str], columns: CsvColumns) -> _Row:
    named = (columns.path, columns.label, columns.mask, columns.group)
    path, label, mask, group = ((cells.get(column) or "").strip() for column in named)
    return _Row(line, path, label, mask, group)


def _labels(
    rows: list[_Row], labels: CsvLabels, class_names: Sequence[str] | None
) -> tuple[tuple[str, ...], list[int], list[str]]:
    """Return the class names, the label of each row (0 where it has none) and a fault for each that has none."""
    if class_names is None:
        return _labels_from_names(rows, labels)
    places = _places(class_names)
    as_names = [_by_name(row.label, places) for row in rows]
    as_indices = [_by_index(row.label, class_names) for row in rows]
    fits_names = all(isinstance(label, int) for label in as_names)
    fits_indices = all(isinstance(label, int) for label in as_indices)
    if labels == "auto" and fits_names and fits_indices and as_names != as_indices:
        fault = "the labels can be read as names and as indices, with different results (say labels: name or index)"
        return tuple(class_names), [0] * len(rows), [fault]
    if labels == "auto":
        numbers = sum(row.label.isdecimal() for row in rows)
        labels = "index" if not fits_names and (fits_indices or 2 * numbers > len(rows)) else "name"
    chosen = as_indices if labels == "index" else as_names
    faults = [f"line {row.line}: {label}" for row, label in zip(rows, chosen, strict=True) if isinstance(label, str)]
    return tuple(class_names), [label if isinstance(label, int) else 0 for label in chosen], faults


def _labels_from_names(rows: list[_Row], labels: CsvLabels) -> tuple[tuple[str, ...], list[int], list[str]]:
    names = tuple(sorted({row.label for row in rows if row.label}))
    faults = [f"line {row.line}: has no label" for row in rows if not row.label]
    if labels == "index" or (labels == "auto" and names and all(name.isdecimal() for name in names)):
        faults.append("the labels are numbers: give the class names that they count (class_names)")
    place = {name: index for index, name in enumerate(names)}
    return names or ("",), [place.get(row.label, 0) for row in rows], faults


def _places(class_names: Sequence[str]) -> dict[str, list[int]]:
    places: dict[str, list[int]] = {}
    for index, name in enumerate(class_names):
        places.setdefault(name, []).append(index)
    return places


def _by_name(label: str, places: dict[str, list[int]]) -> int | str:
    found = places.get(label, [])
    if len(found) == 1:
        return found[0]
    return f"the label {label!r} is the name of classes {found}" if found else f"the label {label!r} is no class name"


def _by_index(label: str, class_names: Sequence[str]) -> int | str:
    if not label.isdecimal():
        return f"the label {label!r} is no class index"
    if int(label) >= len(class_names):
        return f"the label {label} is outside the {len(class_names)} classes (indices begin at 0)"
    return int(label)


def _partial(rows: list[_Row]) -> list[str]:
    """Return a fault for each row that lacks what others have: rates by mask or group would be of some images only."""
    faults = []
    for what in ("mask", "group"):
        empty = [row.line for row in rows if not getattr(row, what)]
        if empty and len(empty) < len(rows):
            faults += [f"line {line}: has no {what}, but other rows have" for line in empty]
    return faults


def _entry(row: _Row, label: int, root: Path, first_line: dict[Path, int]) -> Entry | str:
    if not row.path:
        return "has no path"
    if fault := name_fault(row.path):
        return fault
    path = root / row.path
    if path in first_line:
        return f"{row.path}: is listed on line {first_line[path]} already"
    first_line[path] = row.line
    try:
        picture = PictureFile.found(path, row.path)
        mask = PictureFile.found(root / row.mask, row.mask) if row.mask else None
    except (OSError, ValueError) as error:
        missing = row.mask if path.exists() else row.path
        return f"{missing}: {getattr(error, 'strerror', None) or error}"
    return Entry(picture, label, mask, row.group or None)
