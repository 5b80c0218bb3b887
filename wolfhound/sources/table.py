"""An image set from a table (CSV or Parquet) that names each picture and its label."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wolfhound.errors import DataError
from wolfhound.extras import extra_module
from wolfhound.images import ImageSet
from wolfhound.progress import Progress, silent
from wolfhound.sources.assemble import assemble
from wolfhound.sources.fit import Fit
from wolfhound.sources.labelling import LabelKind, StatedLabel, read_labels
from wolfhound.sources.listing import Entry, Listing, PictureFile, name_fault


@dataclass(frozen=True)
class CsvColumns:
    """What the columns are called. `mask` and `group` may be absent from the file if they keep these names.

    `attributes` are further columns to keep of each image; each must be there and filled in on every row.
    """

    path: str = "path"
    label: str = "label"
    mask: str = "mask"
    group: str = "group"
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Row:
    line: int
    path: str
    label: str
    mask: str
    group: str
    attributes: tuple[tuple[str, str], ...]


def read_csv(
    csv_path: Path,
    *,
    root: Path | None = None,
    cache: Path,
    size: tuple[int, int],
    fit: Fit,
    labels: LabelKind = "auto",
    class_names: Sequence[str] | None = None,
    columns: CsvColumns | None = None,
    limit_per_class: int | None = None,
    at_least: int = 1,
    name: str | None = None,
    progress: Progress = silent,
) -> ImageSet:
    """Return the images that a table lists, in its order.

    Args:
        csv_path: a CSV file (UTF-8, commas, one heading line), or a Parquet file if its name ends in .parquet or .pq,
            with the columns path and label, and where they exist mask, group and attributes.
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
    columns = columns or CsvColumns()
    rows = _rows(csv_path, columns)
    stated = [StatedLabel(f"line {row.line}", row.label) for row in rows]
    names, found, faults = read_labels(stated, labels, class_names)
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


def table_columns(path: Path) -> tuple[str, ...]:
    """Return what the columns of a CSV or Parquet file are called.

    Raises:
        DataError: it cannot be read; for a Parquet file also that pyarrow is not installed.
    """
    if path.suffix in (".parquet", ".pq"):
        parquet = extra_module("pyarrow.parquet", extra="parquet", kind=DataError)
        try:
            return tuple(parquet.read_schema(str(path)).names)
        except Exception as error:  # pyarrow's errors have no common base but this
            raise DataError(f"expected a Parquet file at {path}, but it cannot be read: {error}") from error
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return tuple(column.strip() for column in next(csv.reader(stream, strict=True), []))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"expected a UTF-8 CSV file at {path}, but it cannot be read: {error}") from error


def first_path(path: Path, columns: CsvColumns) -> str:
    """Return the path on the first row of a table.

    Raises:
        DataError: it cannot be read, or lacks columns.
    """
    return _rows(path, columns)[0].path


def _rows(path: Path, columns: CsvColumns) -> list[_Row]:
    return _parquet_rows(path, columns) if path.suffix in (".parquet", ".pq") else _csv_rows(path, columns)


def _csv_rows(path: Path, columns: CsvColumns) -> list[_Row]:
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


def _parquet_rows(path: Path, columns: CsvColumns) -> list[_Row]:
    """Return the rows of a Parquet file; the first is called line 1."""
    parquet = extra_module("pyarrow.parquet", extra="parquet", kind=DataError)
    try:
        table = parquet.read_table(str(path))
    except Exception as error:  # pyarrow's errors have no common base but this
        raise DataError(f"expected a Parquet file at {path}, but it cannot be read: {error}") from error
    _check_heading(path, list(table.column_names), columns)
    wanted = {columns.path, columns.label, columns.mask, columns.group, *columns.attributes}
    cells = table.select([name for name in table.column_names if name in wanted]).to_pylist()
    if not cells:
        raise DataError(f"{path}: holds no rows")
    return [
        _row(number, {key: _text(value) for key, value in row.items()}, columns) for number, row in enumerate(cells, 1)
    ]


def _text(value: Any) -> str:
    """Return a cell as it would stand in a CSV file; what is neither text nor number is shown, and fits no column."""
    return "" if value is None else str(value)


def _check_heading(path: Path, heading: list[str], columns: CsvColumns) -> None:
    usual = CsvColumns()
    wanted = [columns.path, columns.label]
    wanted += [columns.mask] if columns.mask != usual.mask else []
    wanted += [columns.group] if columns.group != usual.group else []
    wanted += columns.attributes
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
    attributes = tuple((column, (cells.get(column) or "").strip()) for column in columns.attributes)
    return _Row(line, path, label, mask, group, attributes)


def _partial(rows: list[_Row]) -> list[str]:
    """Return a fault for each row that lacks what others have: rates by mask or group would be of some images only."""
    faults = []
    for what in ("mask", "group"):
        empty = [row.line for row in rows if not getattr(row, what)]
        if empty and len(empty) < len(rows):
            faults += [f"line {line}: has no {what}, but other rows have" for line in empty]
    faults += [f"line {row.line}: has no {name}" for row in rows for name, value in row.attributes if not value]
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
    return Entry(picture, label, mask, row.group or None, row.attributes)
