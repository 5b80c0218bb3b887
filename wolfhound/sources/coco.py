"""An image set from COCO annotations (instances)."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from wolfhound.errors import DataError, fault_list
from wolfhound.images import ImageSet
from wolfhound.progress import Progress, silent
from wolfhound.sources.annotated import boxes_mask, polygons_mask, runs_mask, unpacked_runs
from wolfhound.sources.annotated_pictures import AnnotatedObject, AnnotatedPicture, Rule, chosen_categories, labelled
from wolfhound.sources.assemble import assemble
from wolfhound.sources.fit import Fit
from wolfhound.sources.listing import Listing

MaskKind = Literal["segmentation", "box"]


def read_coco(
    annotations: Path,
    *,
    root: Path,
    cache: Path,
    size: tuple[int, int],
    fit: Fit,
    masks: MaskKind = "segmentation",
    categories: Sequence[str] = (),
    least_share: float = 0.0,
    at_least: int = 1,
    name: str | None = None,
    progress: Progress = silent,
) -> ImageSet:
    """Return the pictures of COCO annotations, labelled by the category that covers most of each, with object masks.

    Args:
        annotations: the JSON file, with images, annotations and categories.
        root: the folder that file_name is relative to.
        cache: where decoded pixels are kept between runs.
        size: height and width of every image.
        fit: how a picture becomes an image of that size.
        masks: whether the mask is the segmentation (polygons or run lengths) or the box.
        categories: names of the classes, in the classifier's order; by default all, in the file's order.
        least_share: pictures whose object covers a smaller share are left out.
        at_least: how many images there must be in all.
        name: what the set is called; the file's name by default.
        progress: shows the decoding, which happens once.

    Raises:
        DataError: the file is missing or no COCO annotations, or pictures are missing or broken; all are named.
    """
    document = _document(annotations)
    names = {row["id"]: str(row["name"]) for row in document["categories"]}
    chosen = chosen_categories(list(names.values()), categories, where=annotations)
    pictures = _pictures(annotations, document, names, root, masks)
    entries, faults = labelled(pictures, Rule(chosen, least_share))
    listing = Listing(entries, chosen, faults)
    name = name or annotations.stem
    return assemble(listing, name=name, cache=cache, size=size, fit=fit, at_least=at_least, progress=progress)


def view_coco(annotations: Path) -> tuple[str, MaskKind]:
    """Return the file_name of the first picture, and which masks every object has: boxes where one lacks a segment.

    Raises:
        DataError: the file is missing or no COCO annotations, or names no picture.
    """
    document = _document(annotations)
    if not document["images"]:
        raise DataError(f"{annotations}: expected a list of images, got an empty one")
    segmented = all(isinstance(row, dict) and row.get("segmentation") for row in document["annotations"])
    return str(document["images"][0]["file_name"]), "segmentation" if segmented else "box"


def _document(path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"expected COCO annotations at {path}, but they cannot be read: {error}") from error
    wanted = {"images": ("id", "file_name", "width", "height"), "categories": ("id", "name"), "annotations": ()}
    for part, keys in wanted.items():
        rows = document.get(part) if isinstance(document, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) and set(keys) <= set(row) for row in rows):
            stated = f", each with {', '.join(keys)}" if keys else ""
            raise DataError(f"{path}: expected a list of {part}{stated} (COCO's instances)")
    found: dict[str, list[dict[str, Any]]] = document
    return found


def _pictures(
    path: Path, document: dict[str, list[dict[str, Any]]], names: dict[Any, str], root: Path, masks: MaskKind
) -> list[AnnotatedPicture]:
    objects: dict[Any, list[AnnotatedObject]] = {row["id"]: [] for row in document["images"]}
    faults = []
    for index, row in enumerate(document["annotations"]):
        try:
            objects[row["image_id"]].append(_object(row, names, masks))
        except (DataError, KeyError, TypeError, ValueError, IndexError) as error:
            faults.append(f"annotation {row.get('id', index)}: {_said(error)}")
    try:
        found = [
            AnnotatedPicture(
                root / str(row["file_name"]),
                str(row["file_name"]),
                (int(row["width"]), int(row["height"])),
                tuple(objects[row["id"]]),
            )
            for row in document["images"]
        ]
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: expected the width and height of every image as numbers: {error}") from error
    if faults:
        raise DataError(fault_list(f"{len(faults)} fault(s) in {path}:", faults))
    return found


def _object(row: dict[str, Any], names: dict[Any, str], masks: MaskKind) -> AnnotatedObject:
    left, top, width, height = (float(value) for value in row["bbox"])
    category = names[row["category_id"]]
    if masks == "box":
        box = (left, top, left + width, top + height)
        return AnnotatedObject(category, width * height, f"box {box}", boxes_mask([box]))
    shape, area = row["segmentation"], float(row.get("area", width * height))
    if isinstance(shape, list):
        polygons = [[float(value) for value in polygon] for polygon in shape]
        if not polygons or any(len(polygon) < 6 or len(polygon) % 2 for polygon in polygons):
            raise DataError("expected polygons of at least three corners, x and y in turn")
        return AnnotatedObject(category, area, f"polygons {polygons}", polygons_mask(polygons))
    counts = shape["counts"]
    runs = unpacked_runs(counts) if isinstance(counts, str) else [int(count) for count in counts]
    return AnnotatedObject(category, area, f"runs {runs}", runs_mask(runs))


def _said(error: Exception) -> str:
    if isinstance(error, DataError):
        return str(error)
    if isinstance(error, KeyError):
        return f"expected {error} to be there, among images, categories or keys"
    return f"{type(error).__name__}: {error}"
