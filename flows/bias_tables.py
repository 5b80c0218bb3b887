"""What a user states of the images in a CSV beside them: boxes around objects, attributes. Joined by the path."""

import csv
import hashlib
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flows.audit_job import AuditJob
from flows.plan_shapes import pair
from wolfhound import sources
from wolfhound.errors import DataError, fault_list
from wolfhound.images import ImageSet, PixelFile
from wolfhound.plan import CsvImages, FolderImages

BOX = ("x0", "y0", "x1", "y1")
_TURNED = range(5, 9)
"""EXIF orientations whose picture lies on its side."""


def rows_of(table: Path, columns: Sequence[str], images: ImageSet) -> list[Mapping[str, str]]:
    """Return the table's row of each image, found by the column path (an image's path within its set).

    Raises:
        DataError: no such file, missing columns, a path that is there twice, or images without a row; all are named.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, restval="", strict=True)
            heading = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = heading
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"expected a UTF-8 CSV file at {table}, but it cannot be read: {error}") from error
    missing = [name for name in ("path", *columns) if name not in heading]
    if missing:
        raise DataError(f"{table}: expected the columns {['path', *columns]}, got {heading}")
    by_path = {row["path"].strip(): row for row in rows}
    if len(by_path) < len(rows):
        raise DataError(f"{table}: expected every path once, got {len(rows) - len(by_path)} repeated")
    origins = images.origins or ()
    absent = [origin for origin in origins if origin not in by_path]
    if absent or not origins:
        raise DataError(fault_list(f"{table}: expected a row for every image of {images.name}; none for:", absent))
    return [by_path[origin] for origin in origins]


def attributes_of(table: Path | None, columns: Sequence[str], images: ImageSet) -> dict[str, list[str]]:
    """Return column -> its value for each image; without a table, the image set's own attributes and its "group".

    Raises:
        DataError: a column that is not there, or an image without a value; all are named.
    """
    own = {} if table is not None else {name: list(values) for name, values in images.attributes.items()}
    own |= {"group": list(images.groups)} if images.groups is not None and table is None else {}
    unknown = [name for name in columns if name not in own]
    if unknown and table is None:
        raise DataError(f"{images.name}: expected a table with {unknown} (the images themselves have {list(own)})")
    rows = rows_of(table, unknown, images) if table is not None else []
    found = own | {name: [row[name].strip() for row in rows] for name in unknown}
    empty = [f"{name}: {sum(not value for value in found[name])} images without a value" for name in columns
             if not all(found[name])]  # fmt: skip
    if empty:
        raise DataError(
            fault_list(f"{table or images.name}: expected a value for every image (write unknown, if it is):", empty)
        )
    return {name: found[name] for name in columns}


def with_boxes(job: AuditJob, images: ImageSet, table: Path) -> ImageSet:
    """Return the images with a mask each: the box that the table states, after the picture's own resizing and cutting.

    Boxes count pixels of the picture as it is seen, from its upper left corner; x1 and y1 lie outside.

    Raises:
        DataError: images without files, rows or boxes, or a box that leaves nothing inside the picture; all are named.
    """
    section = job.plan.images
    if not isinstance(section, CsvImages | FolderImages):
        raise DataError(f"boxes are joined to images by their paths, which {section.source} images do not have")
    root = section.path if isinstance(section, FolderImages) else section.root or section.path.parent
    rows, size = rows_of(table, BOX, images), pair(section.size)
    fit = fit_of(section)
    faults, masks = [], []
    for origin, row in zip(images.origins or (), rows, strict=True):
        try:
            masks.append(_box_mask(root / origin, [float(row[name]) for name in BOX], fit, size))
        except (DataError, ValueError, OSError) as error:
            faults.append(f"{origin}: {error}")
    if faults:
        raise DataError(fault_list(f"{table}: boxes that mark no object:", faults))
    return replace(images, masks=stored_masks(job.cache / "boxes", images, masks))


def fit_of(section: CsvImages | FolderImages) -> sources.Fit:
    """Return the geometry that the plan's photographs are decoded with."""
    size, fit = section.size, section.fit
    side = (fit.shorter_side or round(min(pair(size)) * 256 / 224)) if fit.method == "crop" else None
    return sources.Fit(fit.method, side, fit.interpolation, fit.upright)


def _box_mask(path: Path, box: list[float], fit: sources.Fit, size: tuple[int, int]) -> NDArray[np.uint8]:
    with Image.open(path) as picture:  # the header alone is read
        width, height = picture.size
        if fit.upright and picture.getexif().get(0x0112) in _TURNED:
            width, height = height, width
    if not all(map(math.isfinite, box)):
        raise DataError(f"expected finite numbers, got {box}")
    left, top, right, bottom = (round(value) for value in box)
    if not (left < right and top < bottom):
        raise DataError(f"expected x0 < x1 and y0 < y1, got {box}")
    drawn = np.zeros((height, width), dtype=np.uint8)
    drawn[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = 255
    fitted = np.asarray(fit.apply(Image.fromarray(drawn), size)) >= 128
    if not fitted.any():
        raise DataError(f"the box {box} lies outside what is left of the picture ({width}x{height})")
    return np.where(fitted, np.uint8(255), np.uint8(0))


def stored_masks(folder: Path, images: ImageSet, masks: list[NDArray[np.uint8]]) -> PixelFile:
    """Write the masks where the images' rows are; rows of other images stay empty and take no room on disk."""
    shape = (images.pixels.shape[0], *images.size)
    digest = hashlib.sha256(b"".join(mask.tobytes() for mask in masks) + images.rows.tobytes()).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{digest[:24]}.bin"
    partial = path.with_suffix(f".{uuid.uuid4().hex}")
    mapped = np.memmap(partial, dtype=np.uint8, mode="w+", shape=shape)
    for row, mask in zip(images.rows, masks, strict=True):
        mapped[row] = mask
    mapped.flush()
    del mapped
    partial.replace(path)
    return PixelFile(path, shape)
