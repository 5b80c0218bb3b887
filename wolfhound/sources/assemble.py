"""From a listing to an image set: the part that all sources share."""

from pathlib import Path

import numpy as np

from wolfhound.errors import DataError, fault_list
from wolfhound.images import ImageSet
from wolfhound.progress import Progress
from wolfhound.sources.fit import Fit
from wolfhound.sources.listing import Listing
from wolfhound.sources.raster import BrokenPicturesError, RasterJob, check_pictures, rasterise

# One line for each fault that a person could mend by hand; beyond that, a count.
_MOST_FAULTS = 1000


def assemble(
    listing: Listing, *, name: str, cache: Path, size: tuple[int, int], fit: Fit, at_least: int, progress: Progress
) -> ImageSet:
    """Return the image set of `listing`, with its pixels decoded into `cache` or found there.

    Raises:
        DataError: names every fault of the listing and every broken picture at once. Nothing is kept then.
    """
    faults = list(listing.faults)
    try:
        fit.check(size)
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    if len(listing.entries) < at_least:
        faults.append(f"expected at least {at_least} images, got {len(listing.entries)} (add images or ask for fewer)")
    if not listing.entries:
        raise _refusal(name, faults or ["it holds no image"])
    job = RasterJob(listing.entries, size, fit, name)
    if faults:  # read on all the same: one round of mending, not two
        raise _refusal(name, faults + check_pictures(job, progress=progress))
    try:
        raster = rasterise(job, cache=cache, progress=progress)
    except BrokenPicturesError as error:
        raise _refusal(name, error.faults) from error
    groups = [entry.group for entry in listing.entries if entry.group is not None]
    return ImageSet(
        name=name,
        pixels=raster.pixels,
        rows=np.arange(len(listing.entries), dtype=np.int64),
        labels=np.array([entry.label for entry in listing.entries], dtype=np.int64),
        class_names=listing.class_names,
        hashes=raster.hashes,
        masks=raster.masks,
        groups=tuple(groups) or None,
        origins=tuple(entry.picture.origin for entry in listing.entries),
        attributes=_attributes(listing),
    )


def _attributes(listing: Listing) -> dict[str, tuple[str, ...]]:
    names = [name for name, _ in listing.entries[0].attributes]
    columns = zip(*([value for _, value in entry.attributes] for entry in listing.entries), strict=True)
    return dict(zip(names, columns, strict=True))


def _refusal(name: str, faults: list[str]) -> DataError:
    return DataError(fault_list(f"{len(faults)} fault(s) in the image set {name}:", faults, most=_MOST_FAULTS))
