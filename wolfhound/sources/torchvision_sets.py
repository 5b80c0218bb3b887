"""Image sets in the layouts that torchvision keeps on disk: CIFAR-10 and -100, ImageNet."""

import re
from collections import Counter
from pathlib import Path
from typing import Any, Literal

from wolfhound.errors import DataError
from wolfhound.images import ImageSet
from wolfhound.progress import Progress, silent
from wolfhound.sources.assemble import assemble
from wolfhound.sources.fit import Fit
from wolfhound.sources.folder import list_folder
from wolfhound.sources.imagenet_names import imagenet_class_names
from wolfhound.sources.listing import Entry, Listing, PictureArray
from wolfhound.torchvision_import import torchvision

Dataset = Literal["cifar10", "cifar100", "imagenet"]


def read_torchvision(
    dataset: Dataset,
    *,
    root: Path,
    split: Literal["train", "val", "test"],
    cache: Path,
    size: tuple[int, int],
    fit: Fit,
    download: bool = False,
    limit_per_class: int | None = None,
    at_least: int = 1,
    name: str | None = None,
    progress: Progress = silent,
) -> ImageSet:
    """Return one of torchvision's data sets, with torchvision's class order.

    CIFAR's held-out images are its test batch; "val" and "test" both mean them. ImageNet's test split has no labels,
    so only "train" and "val" exist. torchvision's evaluation ignores EXIF orientation; give `Fit(..., upright=False)`
    to repeat published ImageNet accuracies to the image.

    Args:
        dataset: "cifar10", "cifar100" (root/cifar-10-batches-py, root/cifar-100-python) or "imagenet"
            (root/train and root/val with one folder per WordNet id).
        root: the folder that torchvision calls root.
        split: which images.
        cache: where decoded pixels are kept between runs.
        size: height and width of every image.
        fit: how a picture becomes an image of that size.
        download: fetch CIFAR if it is not there. ImageNet cannot be downloaded.
        limit_per_class: take at most so many images of a class, the first in the data set's order.
        at_least: how many images there must be in all.
        name: what the set is called; data set and split by default.
        progress: shows the decoding, which happens once.

    Raises:
        DataError: the data set is not there, is damaged, or cannot be downloaded; or its images are unusable.
    """
    if dataset == "imagenet":
        listing = _list_imagenet(root, split, limit_per_class, download)
    elif dataset in ("cifar10", "cifar100"):
        listing = _list_cifar(dataset, root, split, limit_per_class, download)
    else:
        raise DataError(f"expected cifar10, cifar100 or imagenet, got {dataset!r}")
    name = name or f"{dataset}-{split}"
    return assemble(listing, name=name, cache=cache, size=size, fit=fit, at_least=at_least, progress=progress)


def _list_cifar(dataset: str, root: Path, split: str, limit: int | None, download: bool) -> Listing:
    datasets: Any = torchvision().datasets
    kind = datasets.CIFAR10 if dataset == "cifar10" else datasets.CIFAR100
    try:
        # Checks the published MD5 of every file before it unpickles one.
        found = kind(root=str(root), train=split == "train", download=download)
    except (RuntimeError, OSError) as error:
        how = "the download failed" if download else "download: true fetches it"
        raise DataError(
            f"expected {kind.base_folder} of {dataset} in {root}, whole and unchanged: {error} ({how}; or unpack "
            f"{kind.url} there)"
        ) from error
    taken: Counter[int] = Counter()
    entries = []
    for index, (pixels, label) in enumerate(zip(found.data, found.targets, strict=True)):
        taken[label] += 1
        if limit is None or taken[label] <= limit:
            entries.append(Entry(PictureArray(pixels, f"{split}/{index}"), int(label)))
    return Listing(tuple(entries), tuple(found.classes))


def _list_imagenet(root: Path, split: str, limit: int | None, download: bool) -> Listing:
    folder = root / split
    if download and not folder.is_dir():
        raise DataError(f"ImageNet cannot be downloaded without its owners' consent; unpack it to {folder}")
    if split not in ("train", "val") or not folder.is_dir():
        raise DataError(
            f"expected ImageNet's folder train or val in {root}, with one folder per WordNet id, got {split!r}, which "
            "is not there (torchvision.datasets.ImageNet unpacks the published archives to this layout)"
        )
    children = [child.name for child in folder.iterdir() if not child.name.startswith(".")]
    classes = [name for name in children if re.fullmatch("n[0-9]{8}", name)]
    if len(classes) != 1000 or len(children) != 1000:
        raise DataError(
            f"expected the 1000 WordNet folders n01440764 … n15075141 in {folder}, got {len(classes)}, and "
            f"{len(children) - len(classes)} other entries (for part of ImageNet use a folder with leading class "
            "indices or a CSV file: class numbers would shift)"
        )
    return list_folder(folder, labels="folder_order", class_names=imagenet_class_names(), limit_per_class=limit)
