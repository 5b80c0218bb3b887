"""What can be seen of a folder of images and a network of the user's own, for the plan that `wolfhound init` writes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from wolfhound import loading, sources
from wolfhound.classifier import Classifier, Preprocessing, frozen
from wolfhound.errors import DataError, ModelError, PlanError
from wolfhound.images import ImageSet
from wolfhound.sources.folder import FolderLabels, list_folder
from wolfhound.sources.listing import Entry

LOOKED_AT = 96
"""Images on which preprocessings are compared."""

USUAL = {
    "ImageNet's": Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "none (pixels in [0, 1])": Preprocessing(),
    "0.5 and 0.5 (pixels in [-1, 1])": Preprocessing((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "none (pixels in 0..255)": Preprocessing(std=(1 / 255, 1 / 255, 1 / 255)),
    "CIFAR-10's": Preprocessing((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616)),
}
_IMAGENET = 1000
_SMALL = 96


@dataclass(frozen=True)
class Wanted:
    """What the user said: where the images are, and what the network is.

    `model` is a name of torchvision's or "FILE.py:CALLABLE".
    """

    images: Path
    model: str
    weights: str | None = None
    size: int | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None

    @property
    def factory(self) -> tuple[Path, str] | None:
        """The file and what to call in it; None for a name of torchvision's."""
        file, colon, name = self.model.rpartition(":")
        return (Path(file), name) if colon and file.endswith(".py") else None


@dataclass(frozen=True)
class Draft:
    """What was seen.

    Attributes:
        classes: how many classes the images have.
        count: how many images there are.
        size: side of the square images that the plan makes.
        crop: the shorter side before cutting; None where images are squashed to the size.
        labels: how folder names become labels.
        names: `class_names` of the plan: "folders" or "imagenet".
        preprocessing: means and deviations; None where the weights bring them.
        seen: how that was chosen, for a comment.
    """

    classes: int
    count: int
    size: int
    crop: int | None
    labels: FolderLabels
    names: str
    preprocessing: Preprocessing | None
    seen: str


def look(wanted: Wanted, *, cache: Path) -> Draft:
    """Return what can be seen of the images and the network.

    Raises:
        PlanError: means without deviations, or for weights that bring their own.
        DataError: there are no images in one folder a class, or the first of them is no picture.
        ModelError: the network cannot be made, or has another number of classes than the images.
    """
    _check_preprocessing(wanted)
    if not wanted.images.is_dir():
        raise DataError(f"expected a folder with one folder of images a class at {wanted.images}, but there is none")
    labels, names, class_names = _labels(wanted)
    listing = list_folder(wanted.images, labels=labels, class_names=class_names, limit_per_class=None)
    if not listing.entries:
        raise DataError(f"expected one folder of images a class in {wanted.images}, got {listing.faults[0]}")
    size, crop = _size(wanted, listing.entries[0])
    present = len({entry.label for entry in listing.entries})
    if wanted.factory is None:
        return Draft(present, len(listing.entries), size, crop, labels, names, None, "as its weights were published")
    images = _sample(wanted, labels, class_names, size, crop, cache, total=len(listing.entries))
    preprocessing, seen = _preprocessing(wanted, images, size)
    return Draft(present, len(listing.entries), size, crop, labels, names, preprocessing, seen)


def _labels(wanted: Wanted) -> tuple[FolderLabels, str, Sequence[str] | None]:
    """Folders of ImageNet's classes are known by their index or name; of any other set, by their order."""
    folders = [child.name for child in wanted.images.iterdir() if child.is_dir() and not child.name.startswith(".")]
    imagenet = loading.imagenet_class_names()
    if wanted.factory is None and folders:
        if all(name[:4].isdigit() and int(name[:4]) < _IMAGENET for name in folders):
            return "leading_index", "imagenet", imagenet
        if set(folders) <= set(imagenet):
            return "class_name", "imagenet", imagenet
    return "folder_order", "folders", None


def _check_preprocessing(wanted: Wanted) -> None:
    given = [flag for flag, values in (("--mean", wanted.mean), ("--std", wanted.std)) if values is not None]
    if len(given) == 1:
        raise PlanError(f"expected --mean and --std together, got {given[0]} alone")
    if given and wanted.factory is None:
        raise PlanError(f"expected no --mean and --std for {wanted.model}, whose weights bring their own")


def _size(wanted: Wanted, first: Entry) -> tuple[int, int | None]:
    """Return the side of the images and the shorter side before the cut; small square pictures are taken whole."""
    if wanted.factory is None:
        published = "DEFAULT" if wanted.weights is None or Path(wanted.weights).suffix else wanted.weights
        fit, (height, _) = loading.torchvision_fit(wanted.model, weights=published)
        return wanted.size or height, fit.shorter_side if wanted.size in (None, height) else None
    if wanted.size:
        return wanted.size, None if wanted.size <= _SMALL else round(wanted.size * 256 / 224)
    try:
        with first.picture.open() as picture:
            width, height = picture.size
    except OSError as error:
        raise DataError(f"{first.picture.origin}: expected a picture, but it cannot be read as one") from error
    return (width, None) if width == height <= _SMALL else (224, 256)


def _sample(
    wanted: Wanted,
    labels: FolderLabels,
    class_names: Sequence[str] | None,
    size: int,
    crop: int | None,
    cache: Path,
    *,
    total: int,
) -> ImageSet:
    fit = sources.Fit("squash") if crop is None else sources.Fit("crop", shorter_side=crop)
    images = sources.read_folder(
        wanted.images, cache=cache / "images", size=(size, size), fit=fit, labels=labels, class_names=class_names
    )
    chosen = np.argsort(np.array(images.hashes))[: min(LOOKED_AT, total)]
    return images.subset(chosen)


def _preprocessing(wanted: Wanted, images: ImageSet, size: int) -> tuple[Preprocessing, str]:
    """Return the preprocessing that was given, or the usual one with which the network is right most often."""
    if wanted.mean is not None and wanted.std is not None:
        return Preprocessing(wanted.mean, wanted.std, (size, size)), "as you said"
    network = _network(wanted, images, Preprocessing(input_size=(size, size)))
    tried = {words: _tried(network, images, usual) for words, usual in USUAL.items()}
    words = max(tried, key=lambda name: tried[name])
    shown = "; ".join(f"{name}: {count}" for name, (count, _) in sorted(tried.items(), key=lambda row: -row[1][0]))
    return USUAL[words], f"the best of the usual ones by images that are right, of {len(images)}: {shown}"


def _network(wanted: Wanted, images: ImageSet, preprocessing: Preprocessing) -> Classifier:
    if wanted.factory is None:
        raise ModelError(f"expected FILE.py:CALLABLE, got {wanted.model!r}")
    file, name = wanted.factory
    weights = None if wanted.weights is None else Path(wanted.weights)
    return loading.load_factory(
        file, name, preprocessing=preprocessing, class_names=images.class_names, weights=weights
    )


def _tried(network: Classifier, images: ImageSet, usual: Preprocessing) -> tuple[int, float]:
    """Return on how many images the network is right, and of equals the surer one: its mean log-probability."""
    preprocessing = Preprocessing(usual.mean, usual.std, network.preprocessing.input_size)
    count, sure = 0, 0.0
    with frozen(network.module), torch.no_grad():
        for positions, pixels in images.batches(32):
            logits = network.module(preprocessing.apply(pixels.to(network.dtype)))
            labels = torch.from_numpy(images.labels[positions])
            count += int((logits.argmax(dim=1) == labels).sum())
            sure -= float(torch.nn.functional.cross_entropy(logits.double(), labels, reduction="sum"))
    return count, sure / len(images)
