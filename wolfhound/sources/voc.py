"""An image set in the layout of PASCAL VOC: JPEGImages, Annotations, SegmentationObject."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from wolfhound.errors import DataError, fault_list
from wolfhound.images import ImageSet
from wolfhound.progress import Progress, silent
from wolfhound.sources.annotated import Mask, boxes_mask
from wolfhound.sources.annotated_pictures import AnnotatedObject, AnnotatedPicture, Rule, chosen_categories, labelled
from wolfhound.sources.assemble import assemble
from wolfhound.sources.fit import Fit
from wolfhound.sources.listing import FORMATS, Listing, file_stamp

MaskKind = Literal["segmentation", "box"]


def read_voc(
    root: Path,
    *,
    cache: Path,
    size: tuple[int, int],
    fit: Fit,
    split: str | None = None,
    masks: MaskKind = "segmentation",
    categories: Sequence[str] = (),
    least_share: float = 0.0,
    at_least: int = 1,
    name: str | None = None,
    progress: Progress = silent,
) -> ImageSet:
    """Return the pictures of a VOC folder, labelled by the class whose boxes cover most of each, with object masks.

    Args:
        root: the folder with Annotations and JPEGImages.
        cache: where decoded pixels are kept between runs.
        size: height and width of every image.
        fit: how a picture becomes an image of that size.
        split: a list of names in ImageSets/Main, "val" say; None takes every annotation.
        masks: "segmentation": the pixels of SegmentationObject that belong to objects of the label's class (the n-th
            object has the value n); "box": the boxes.
        categories: names of the classes, in the classifier's order; by default all that occur, sorted.
        least_share: pictures whose object covers a smaller share are left out.
        at_least: how many images there must be in all.
        name: what the set is called; the folder's name by default.
        progress: shows the decoding, which happens once.

    Raises:
        DataError: folder, list, annotations or pictures are missing or broken; all are named.
    """
    pictures, faults = [], []
    for stem in _stems(root, split):
        try:
            pictures.append(_picture(root, stem, masks))
        except DataError as error:
            faults.append(f"{stem}: {error}")
    if faults:
        raise DataError(fault_list(f"{len(faults)} fault(s) in {root}:", faults))
    offered = sorted({each.category for picture in pictures for each in picture.objects})
    chosen = chosen_categories(offered, categories, where=root)
    entries, missing = labelled(pictures, Rule(chosen, least_share))
    name = name or root.resolve().name
    listing = Listing(entries, chosen, missing)
    return assemble(listing, name=name, cache=cache, size=size, fit=fit, at_least=at_least, progress=progress)


def _stems(root: Path, split: str | None) -> list[str]:
    if not (root / "Annotations").is_dir():
        raise DataError(f"expected the folders Annotations and JPEGImages in {root}, but there is no Annotations")
    if split is None:
        return sorted(path.stem for path in (root / "Annotations").glob("*.xml"))
    file = root / "ImageSets" / "Main" / f"{split}.txt"
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise DataError(f"expected a list of names at {file}, but it cannot be read: {error}") from error
    return [line.split()[0] for line in lines if line.strip()]


def _picture(root: Path, stem: str, masks: MaskKind) -> AnnotatedPicture:
    tree = _tree(root / "Annotations" / f"{stem}.xml")
    width, height = int(_number(tree, "size/width")), int(_number(tree, "size/height"))
    file = tree.findtext("filename") or f"{stem}.jpg"
    if "/" in file or "\\" in file:
        raise DataError(f"expected the name of a file in JPEGImages, got {file!r}")
    segmentation = root / "SegmentationObject" / f"{stem}.png"
    if masks == "segmentation" and not segmentation.is_file():
        raise DataError(f"has no SegmentationObject/{stem}.png (say masks: box)")
    objects = []
    for index, node in enumerate(tree.findall("object"), 1):
        left, top, right, bottom = (_number(node, f"bndbox/{edge}") for edge in ("xmin", "ymin", "xmax", "ymax"))
        # VOC counts pixels from 1, and its right and bottom edges are inside.
        box = (left - 1, top - 1, right, bottom)
        area = max(0.0, right - left + 1) * max(0.0, bottom - top + 1)
        draw, described = (boxes_mask([box]), f"box {box}")
        if masks == "segmentation":
            draw = _segment(segmentation, index)
            described = f"segment {index} {file_stamp(segmentation.stat())}"
        objects.append(AnnotatedObject(_text(node, "name"), area, described, draw))
    return AnnotatedPicture(root / "JPEGImages" / file, file, (width, height), tuple(objects))


def _tree(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(path.read_bytes())
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"its annotation cannot be read: {error}") from error


def _text(node: ElementTree.Element, place: str) -> str:
    if text := (node.findtext(place) or "").strip():
        return text
    raise DataError(f"its annotation has no {place}")


def _number(node: ElementTree.Element, place: str) -> float:
    text = _text(node, place)
    try:
        value = float(text)
    except ValueError as error:
        raise DataError(f"its annotation has {place} {text!r}, expected a number") from error
    if not abs(value) < 1e6:
        raise DataError(f"its annotation has {place} {text!r}, expected pixels")
    return value


def _segment(path: Path, index: int) -> Callable[[int, int], Mask]:
    def draw(width: int, height: int) -> Mask:
        try:
            with Image.open(path, formats=FORMATS) as image:
                values = np.asarray(image)
        except Exception as error:  # decoders of foreign bytes raise nearly anything
            raise DataError(f"SegmentationObject/{path.name} cannot be decoded ({error})") from error
        if values.shape != (height, width):
            raise DataError(f"SegmentationObject/{path.name} has the shape {values.shape}, expected {(height, width)}")
        return np.asarray(values == index)

    return draw
