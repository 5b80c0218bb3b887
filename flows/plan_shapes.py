"""Sizes, geometries and class names as a plan may write them, in the one form that sources and doors take."""

from pathlib import Path

from wolfhound import sources
from wolfhound.errors import DataError
from wolfhound.plan_images import FitSection
from wolfhound.sources.imagenet_names import imagenet_class_names


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
