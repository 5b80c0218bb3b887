"""From an image section of the plan to the source that reads it."""

from pathlib import Path
from typing import TypedDict

from flows.plan_shapes import fit_of, fit_text, named_classes, pair
from wolfhound import demonstration, sources
from wolfhound.images import ImageSet
from wolfhound.plan_base import Size
from wolfhound.plan_images import (
    CocoImages,
    CsvImages,
    DemonstrationImages,
    FolderImages,
    HuggingFaceImages,
    Images,
    PluginImages,
    TorchvisionImages,
    VocImages,
    WebDatasetImages,
)
from wolfhound.plugins import plugged_images
from wolfhound.progress import Progress
from wolfhound.sources.huggingface_sets import DatasetColumns, read_huggingface

FileImages = (
    FolderImages | CsvImages | TorchvisionImages | HuggingFaceImages | WebDatasetImages | CocoImages | VocImages
)
Opened = tuple[ImageSet, str]
"""An image set, and in words where it comes from."""


class _Shared(TypedDict):
    """What every source takes."""

    cache: Path
    size: tuple[int, int]
    fit: sources.Fit
    at_least: int
    progress: Progress


def read_images(section: Images, *, cache: Path, at_least: int, progress: Progress) -> Opened:
    """Return the whole image set of a section and a sentence on where it comes from.

    Raises:
        DataError: missing, broken or too few images; all faults are named.
    """
    if isinstance(section, DemonstrationImages):
        return _demonstration(section, cache, progress)
    if isinstance(section, PluginImages):
        images = plugged_images(section.plugin, section.options, cache=cache)
        return images, f"the plug-in {section.plugin} with {section.options}"
    size = size_of(section)
    shared = _Shared(cache=cache, size=pair(size), fit=fit_of(section.fit, size), at_least=at_least, progress=progress)
    images, origin = _read(section, shared)
    return images, f"{origin}, {fit_text(section.fit, size)}"


def size_of(section: FileImages) -> Size:
    """Return the size of the images that a section makes."""
    if isinstance(section, TorchvisionImages):
        return section.size or (224 if section.dataset == "imagenet" else 32)
    return section.size


def _read(section: FileImages, shared: _Shared) -> Opened:
    match section:
        case FolderImages():
            return _folder(section, shared)
        case CsvImages():
            return _table(section, shared)
        case TorchvisionImages():
            return _torchvision(section, shared)
        case HuggingFaceImages():
            return _huggingface(section, shared)
        case WebDatasetImages():
            return _webdataset(section, shared)
        case CocoImages():
            return _coco(section, shared)
        case VocImages():
            return _voc(section, shared)


def _demonstration(section: DemonstrationImages, cache: Path, progress: Progress) -> Opened:
    images = demonstration.demonstration_images(
        cache, count=section.count, seed=section.seed, confounding=section.confounding, progress=progress
    )
    share = f"{100 * section.confounding:g} %"
    return (
        images,
        f"generated drawings, seed {section.seed}; wolf on snow and husky on grass in {share} of their images",
    )


def _folder(section: FolderImages, shared: _Shared) -> Opened:
    images = sources.read_folder(
        section.path,
        labels=section.labels,
        class_names=named_classes(section.class_names),
        limit_per_class=section.limit_per_class,
        **shared,
    )
    return images, f"folder {section.path.name}"


def _table(section: CsvImages, shared: _Shared) -> Opened:
    images = sources.read_csv(
        section.path,
        root=section.root,
        columns=sources.CsvColumns(**dict(section.columns), attributes=section.attributes),
        labels=section.labels,
        class_names=named_classes(section.class_names),
        **shared,
    )
    return images, f"table {section.path.name}"


def _torchvision(section: TorchvisionImages, shared: _Shared) -> Opened:
    images = sources.read_torchvision(
        section.dataset, root=section.root, split=section.split, download=section.download, **shared
    )
    return images, f"{section.dataset}, {section.split} split"


def _huggingface(section: HuggingFaceImages, shared: _Shared) -> Opened:
    return read_huggingface(
        folder=section.folder,
        dataset=section.dataset,
        revision=section.revision,
        configuration=section.configuration,
        split=section.split,
        columns=DatasetColumns(section.image, section.label, section.mask, section.attributes),
        class_names=named_classes(section.class_names),
        **shared,
    )


def _webdataset(section: WebDatasetImages, shared: _Shared) -> Opened:
    images = sources.read_webdataset(
        section.path,
        keys=sources.ShardKeys(section.label, section.mask, section.attributes),
        class_names=named_classes(section.class_names),
        **shared,
    )
    return images, f"shards {section.path.name}"


def _coco(section: CocoImages, shared: _Shared) -> Opened:
    images = sources.read_coco(
        section.annotations,
        root=section.root,
        masks=section.masks,
        categories=section.categories,
        least_share=section.least_share,
        **shared,
    )
    label = "labelled by the category that covers most of each picture"
    return images, f"COCO annotations {section.annotations.name}, {label}"


def _voc(section: VocImages, shared: _Shared) -> Opened:
    images = sources.read_voc(
        section.root,
        split=section.split,
        masks=section.masks,
        categories=section.categories,
        least_share=section.least_share,
        **shared,
    )
    return images, f"VOC folder {section.root.name}, labelled by the class whose boxes cover most of each picture"
