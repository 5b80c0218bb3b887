"""An image set of the library `datasets`: from a local folder, or by its name on a hub."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from wolfhound.errors import DataError
from wolfhound.extras import extra_module
from wolfhound.hub import fetch_snapshot
from wolfhound.images import ImageSet
from wolfhound.progress import Progress, silent
from wolfhound.sources.assemble import assemble
from wolfhound.sources.fit import Fit
from wolfhound.sources.labelling import StatedLabel, read_labels
from wolfhound.sources.listing import FORMATS, Entry, Listing

_FILES = ("*.parquet", "*.arrow", "*.json", "*.jsonl", "*.csv", "*.md", "*.jpg", "*.jpeg", "*.png", "*.zip", "*.tar")


@dataclass(frozen=True)
class DatasetColumns:
    """What the columns of a data set are called."""

    image: str = "image"
    label: str = "label"
    mask: str | None = None
    attributes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DatasetPicture:
    """A picture in a row of a data set, decoded when it is needed. `fingerprint` is the library's, of the data."""

    table: Any = field(repr=False, compare=False)
    column: str
    row: int
    fingerprint: str

    @property
    def origin(self) -> str:
        """Row and column, as reports print them."""
        return f"row {self.row}, {self.column}"

    @property
    def signature(self) -> bytes:
        """Changes whenever the data may have changed."""
        return f"{self.fingerprint} {self.column} {self.row}".encode()

    @contextmanager
    def open(self) -> Iterator[Image.Image]:
        """Yield the lazily opened image.

        Raises:
            DataError: the row holds no picture.
        """
        held = self.table[self.row][self.column]
        if not isinstance(held, dict) or not (held.get("bytes") or held.get("path")):
            raise DataError("holds no picture")
        Image.init()
        source = io.BytesIO(held["bytes"]) if held.get("bytes") else Path(held["path"])
        with Image.open(source, formats=FORMATS) as image:
            yield image


def read_huggingface(
    *,
    folder: Path | None = None,
    dataset: str | None = None,
    revision: str | None = None,
    configuration: str | None = None,
    split: str = "test",
    columns: DatasetColumns | None = None,
    class_names: Sequence[str] | None = None,
    cache: Path,
    size: tuple[int, int],
    fit: Fit,
    at_least: int = 1,
    name: str | None = None,
    progress: Progress = silent,
) -> tuple[ImageSet, str]:
    """Return the images of one split in its order, and where they come from. Runs no code of the data set.

    Args:
        folder: what `save_to_disk` wrote, or a folder of Parquet or image files that `load_dataset` understands; or
        dataset: a name on the hub.
        revision: branch, tag or commit on the hub.
        configuration: which of the data set's configurations.
        split: which images.
        columns: what the columns are called.
        class_names: the classes, in the classifier's order; by default the data set's own.
        cache: where downloads and decoded pixels are kept.
        size: height and width of every image.
        fit: how a picture becomes an image of that size.
        at_least: how many images there must be in all.
        name: what the set is called.
        progress: shows the decoding, which happens once.

    Raises:
        DataError: `datasets` is not installed; the folder or the data set is not there, or the hub cannot be reached;
            columns are missing; labels are outside the classes; pictures are broken. All faults are named.
    """
    columns = columns or DatasetColumns()
    place, provenance = folder, f"folder {folder.name}, {split} split" if folder else ""
    if place is None:
        place, commit = fetch_snapshot(
            dataset or "",
            revision=revision,
            patterns=_FILES,
            cache=cache,
            extra="datasets",
            instead="folder: PATH",
            kind="dataset",
            error_kind=DataError,
        )
        provenance = f"{dataset}, commit {commit}, {split} split"
    table = _undecoded(_opened(place, configuration, split, cache), columns, place)
    listing = _listing(table, columns, class_names)
    name = name or (dataset or place.name).rpartition("/")[2]
    images = assemble(listing, name=name, cache=cache, size=size, fit=fit, at_least=at_least, progress=progress)
    return images, provenance


@dataclass(frozen=True)
class DatasetView:
    """What a local data set holds: its columns, those of pictures, those of numbered classes, and its first picture."""

    columns: tuple[str, ...]
    pictures: tuple[str, ...]
    classes: tuple[str, ...]
    first: DatasetPicture | None


def view_huggingface(folder: Path, *, split: str, cache: Path) -> DatasetView:
    """Return what one split of a local data set holds.

    Raises:
        DataError: `datasets` is not installed, or there is no such folder or split.
    """
    datasets = extra_module("datasets", extra="datasets", kind=DataError)
    table = _opened(folder, None, split, cache)
    pictures = tuple(name for name in table.column_names if isinstance(table.features[name], datasets.Image))
    classes = tuple(name for name in table.column_names if isinstance(table.features[name], datasets.ClassLabel))
    first = None
    if pictures and len(table):
        undecoded = table.cast_column(pictures[0], datasets.Image(decode=False))
        first = DatasetPicture(undecoded, pictures[0], 0, str(table._fingerprint))
    return DatasetView(tuple(table.column_names), pictures, classes, first)


def _opened(folder: Path, configuration: str | None, split: str, cache: Path) -> Any:
    datasets = extra_module("datasets", extra="datasets", kind=DataError)
    if not folder.is_dir():
        raise DataError(f"expected the folder of a data set at {folder}, but there is none")
    try:
        if any((folder / file).is_file() for file in ("dataset_dict.json", "state.json")):
            found = datasets.load_from_disk(str(folder))
            return found[split] if hasattr(found, "keys") else found
        return datasets.load_dataset(str(folder), name=configuration, split=split, cache_dir=str(cache / "datasets"))
    except KeyError as error:
        raise DataError(f"{folder} has no split {split!r}") from error
    except Exception as error:  # the library raises nearly anything
        raise DataError(
            f"{folder} cannot be read as a data set ({type(error).__name__}: {str(error)[:300]})"
        ) from error


def _undecoded(table: Any, columns: DatasetColumns, folder: Path) -> Any:
    """Return the table with its pictures left as bytes: our own decoder decides what is a picture."""
    datasets = extra_module("datasets", extra="datasets", kind=DataError)
    wanted = [columns.image, columns.label, *([columns.mask] if columns.mask else []), *columns.attributes]
    missing = [column for column in wanted if column not in table.column_names]
    if missing:
        raise DataError(f"{folder}: expected the columns {wanted}, got {table.column_names}")
    for column in (columns.image, columns.mask):
        if column is None:
            continue
        if not isinstance(table.features[column], datasets.Image):
            raise DataError(f"{folder}: expected pictures in the column {column}, got {table.features[column]}")
        table = table.cast_column(column, datasets.Image(decode=False))
    return table


def _listing(table: Any, columns: DatasetColumns, class_names: Sequence[str] | None) -> Listing:
    feature, values = table.features[columns.label], table[columns.label]
    own = getattr(feature, "names", None)
    stated = [StatedLabel(f"row {row}", _label(value, own)) for row, value in enumerate(values)]
    names, labels, faults = read_labels(stated, "name" if own else "auto", class_names or own)
    fingerprint = str(table._fingerprint)
    attributes = [(column, [str(value) for value in table[column]]) for column in columns.attributes]
    entries = [
        Entry(
            DatasetPicture(table, columns.image, row, fingerprint),
            label,
            DatasetPicture(table, columns.mask, row, fingerprint) if columns.mask else None,
            None,
            tuple((column, cells[row]) for column, cells in attributes),
        )
        for row, label in enumerate(labels)
    ]
    return Listing(tuple(entries), names, tuple(faults))


def _label(value: Any, own: Sequence[str] | None) -> str:
    """Return a label as text: a numbered class by the name that the data set gives it; -1 stands for none."""
    if value is None or (own and not 0 <= int(value) < len(own)):
        return ""
    return own[int(value)] if own else str(value)
