"""From an image section of the plan to the source that reads it, beyond the first four; and what all share."""

from pathlib import Path

from wolfhound import sources
from wolfhound.errors import DataError
from wolfhound.images import ImageSet
from wolfhound.plan_images import CocoImages, FitSection, HuggingFaceImages, Images, VocImages, WebDatasetImages
from wolfhound.progress import Progress
from wolfhound.sources.huggingface_sets import DatasetColumns, read_huggingface
from wolfhound.sources.imagenet_names import imagenet_class_names


def read_further(section: Images, *, cache: Path, at_least: int, progress: Progress) -> tuple[ImageSet, str]:
    """Return the image set of a section and a sentence on where it comes from.

    Raises:
        DataError: missing, broken or too few images; all faults are named.
    """
    match section:
        case HuggingFaceImages():
            return _huggingface(section, cache, at_least, progress)
        case WebDatasetImages():
            return _webdataset(section, cache, at_least, progress)
        case CocoImages():
            return _coco(section, cache, at_least, progress)
        case VocImages():
            return _voc(section, cache, at_least, progress)
    raise DataError(f"expected an image source that is read by itself, got {section.source}")


def _huggingface(section: HuggingFaceImages, cache: Path, at_least: int, progress: Progress) -> tuple[ImageSet, str]:
    images, provenance = read_huggingface(
        folder=section.folder,
        dataset=section.dataset,
        revision=section.revision,
        configuration=section.configuration,
        split=section.split,
        columns=DatasetColumns(section.image, section.label, section.mask, section.attributes),
        class_names=named_classes(section.class_names),
        cache=cache,
        size=pair(section.size),
        fit=fit_of(section.fit, section.size),
        at_least=at_least,
        progress=progress,
    )
    return images, f"{provenance}, {fit_text(section.fit, section.size)}"


def _webdataset(section: WebDatasetImages, cache: Path, at_least: int, progress: Progress) -> tuple[ImageSet, str]:
    images = sources.read_webdataset(
        section.path,
        keys=sources.ShardKeys(section.label, section.mask, section.attributes),
        class_names=named_classes(section.class_names),
        cache=cache,
        size=pair(section.size),
        fit=fit_of(section.fit, section.size),
        at_least=at_least,
        progress=progress,
    )
    return images, f"shards {section.path.name}, {fit_text(section.fit, section.size)}"


def _coco(section: CocoImages, cache: Path, at_least: int, progress: Progress) -> tuple[ImageSet, str]:
    images = sources.read_coco(
        section.annotations,
        root=section.root,
        masks=section.masks,
        categories=section.categories,
        least_share=section.least_share,
        cache=cache,
        size=pair(section.size),
        fit=fit_of(section.fit, section.size),
        at_least=at_least,
        progress=progress,
    )
    label = "labelled by the category that covers most of each picture"
    return images, f"COCO annotations {section.annotations.name}, {label}, {fit_text(section.fit, section.size)}"


def _voc(section: VocImages, cache: Path, at_least: int, progress: Progress) -> tuple[ImageSet, str]:
    images = sources.read_voc(
        section.root,
        split=section.split,
        masks=section.masks,
        categories=section.categories,
        least_share=section.least_share,
        cache=cache,
        size=pair(section.size),
        fit=fit_of(section.fit, section.size),
        at_least=at_least,
        progress=progress,
    )
    label = "labelled by the class whose boxes cover most of each picture"
    return images, f"VOC folder {section.root.name}, {label}, {fit_text(section.fit, section.size)}"


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) of a size that the plan may write as one number."""
    return (size, size) if isinstance(size, int) else size


def shorter_side(section: FitSection, size: int | tuple[int, int]) -> int:
    """Return what the shorter side is resized to before the centre is cut out."""
    return section.shorter_side or round(min(pair(size)) * 256 / 224)


def fit_of(section: FitSection, size: int | tuple[int, int]) -> sources.Fit:
    """Return the geometry of decoding that a plan asks for."""
    side = shorter_side(section, size) if section.method == "crop" else None
    return sources.Fit(section.method, side, section.interpolation, section.upright)


def fit_text(section: FitSection, size: int | tuple[int, int]) -> str:
    """Return that geometry in words."""
    height, width = pair(size)
    if section.method == "squash":
        return f"whole image resized to {height}x{width}"
    return f"shorter side resized to {shorter_side(section, size)}, centre {height}x{width} cut out"


def named_classes(wanted: str | Path | tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the class names that a plan gives, or None where they are those of the folders, the labels or the images.

    Raises:
        DataError: a file of class names cannot be read.
    """
    if isinstance(wanted, tuple):
        return wanted
    if wanted in ("folders", "labels", "images"):
        return None
    if wanted == "imagenet":
        return imagenet_class_names()
    try:
        text = Path(wanted).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(f"expected class names at {wanted}, one a line, but it cannot be read: {error}") from error
    return tuple(line.strip() for line in text.splitlines() if line.strip())
