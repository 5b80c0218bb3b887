"""Which column, suffix or key of a set holds the pictures, and which the labels."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from flows.draft_wanted import Section, Wanted, one_of
from wolfhound.errors import DataError, PlanError
from wolfhound.sources.huggingface_sets import view_huggingface
from wolfhound.sources.listing import Picture, PictureFile
from wolfhound.sources.table import CsvColumns, first_path, table_columns
from wolfhound.sources.tar_pictures import TarMember

_PATHS = ("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img", "picture")
_LABELS = ("label", "class", "class_name", "category", "target", "label_name", "y", "fine_label")

Found = tuple[Section, Callable[[], Picture] | None]


def table_section(wanted: Wanted, path: Path, kind: str) -> Found:
    """Return the section of a CSV or Parquet file, and what returns its first picture.

    Raises:
        DataError: it cannot be read.
        PlanError: it is not plain which columns hold paths and labels, and nobody can be asked.
    """
    columns = table_columns(path)
    picture = _column(
        wanted.picture, columns, _PATHS, f"Which column of {path} holds the pictures' paths?", wanted, "--picture"
    )
    label = _column(wanted.label, columns, _LABELS, f"Which column of {path} holds the labels?", wanted, "--label")
    section: Section = {"source": kind, "path": path}
    renamed = {key: value for key, value in (("path", picture), ("label", label)) if key != value}
    if renamed:
        section["columns"] = renamed
    if wanted.root is not None:
        section["root"] = wanted.root

    def first() -> Picture:
        place = (wanted.root or path.parent) / first_path(path, CsvColumns(path=picture, label=label))
        try:
            return PictureFile.found(place, str(place))
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path}: expected the picture of its first row at {place}, but it cannot be opened: {error} (paths "
                "are meant from the table's folder, or from --root)"
            ) from error

    return section, first


def _column(
    given: str | None, columns: Sequence[str], usual: Sequence[str], question: str, wanted: Wanted, flag: str
) -> str:
    if given is not None:
        if given not in columns:
            raise PlanError(f"expected {flag} to be one of the columns {list(columns)}, got {given!r}")
        return given
    found = [column for column in columns if column == usual[0]] or [
        column for column in columns if column.lower() in usual
    ]
    return one_of(found or list(columns), question, flag, wanted.ask)


def shard_label(wanted: Wanted, shard: Path, held: Sequence[TarMember]) -> str:
    """Return which file of the first sample of a shard holds the label: cls, txt or json:KEY.

    Raises:
        DataError: the shard is empty, or no file of the sample can hold one.
        PlanError: several can, and nobody can be asked.
    """
    if wanted.label is not None:
        return wanted.label
    if not held:
        raise DataError(f"expected samples in {shard}, but it is empty")
    stem = held[0].name.rpartition("/")[2].partition(".")[0]
    files = {
        name.partition(".")[2].lower(): member for member in held if (name := _base(member)).startswith(f"{stem}.")
    }
    plain = [suffix for suffix in ("cls", "txt") if suffix in files]
    if plain == ["cls"] or (not plain and "json" not in files):
        if not plain:
            raise DataError(f"expected a .cls, .txt or .json with the label in {shard}, got {', '.join(sorted(files))}")
        return "cls"
    keys = _json_keys(files["json"]) if "json" in files else ()
    likely = [f"json:{key}" for key in keys if key.lower() in _LABELS]
    choices = [*plain, *(likely or [f"json:{key}" for key in keys])]
    return one_of(choices, f"What holds the labels in {shard}?", "--label", wanted.ask)


def _base(member: TarMember) -> str:
    return member.name.rpartition("/")[2]


def _json_keys(member: TarMember) -> tuple[str, ...]:
    try:
        found = json.loads(member.read())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{member.origin}: expected JSON, but it cannot be read: {error}") from error
    return tuple(found) if isinstance(found, dict) else ()


def huggingface_columns(wanted: Wanted, cache: Path) -> Found:
    """Return the section of a data set of the library `datasets`, and what returns its first picture.

    Raises:
        DataError: `datasets` is not installed, or the folder is no data set.
        PlanError: it is not plain which split or column is meant, and nobody can be asked.
    """
    name = wanted.images.removeprefix("hf:")
    folder = Path(name)
    if not folder.is_dir():
        section: Section = {"source": "huggingface", "dataset": name, "split": wanted.split or "test"}
        named = {"image": wanted.picture, "label": wanted.label}
        return section | {key: value for key, value in named.items() if value is not None}, None
    split = wanted.split or _split(wanted, folder)
    view = view_huggingface(folder, split=split, cache=cache)
    if not view.pictures:
        raise DataError(f"{folder}: expected a column of pictures, got {list(view.columns)}")
    picture = wanted.picture or one_of(view.pictures, "Which column holds the pictures?", "--picture", wanted.ask)
    others = [column for column in view.columns if column not in view.pictures]
    likely = view.classes or [column for column in others if column.lower() in _LABELS] or others
    label = wanted.label or one_of(likely, "Which column holds the labels?", "--label", wanted.ask)
    section = {"source": "huggingface", "folder": folder, "split": split, "image": picture, "label": label}
    held = view.first
    return section, None if held is None else lambda: held


def _split(wanted: Wanted, folder: Path) -> str:
    file = folder / "dataset_dict.json"
    if not file.is_file():
        return "train"  # what the library calls the one split of a set that has none
    try:
        splits = [str(name) for name in json.loads(file.read_text(encoding="utf-8"))["splits"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"expected the names of splits in {file}, but they cannot be read: {error}") from error
    held_out = [name for name in splits if name in ("test", "validation")]
    return one_of(held_out or splits, f"Which split of {folder}?", "--split", wanted.ask)
