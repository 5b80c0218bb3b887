"""Decodes a listing once into raw uint8 files, `[N,3,H,W]` and `[N,H,W]`, and finds them again the next time.

A cached raster is a folder named by the digest of everything that its bytes depend on. It is built beside its final
name under a lock and renamed when it is whole, so a broken-off run leaves nothing that could be taken for a raster.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import PIL
from PIL import ImageFile, features

from wolfhound.errors import DataError
from wolfhound.images import PixelFile
from wolfhound.progress import Progress
from wolfhound.sources.decode import PixelBudget, decode
from wolfhound.sources.fit import Fit
from wolfhound.sources.listing import Entry, file_stamp

RASTER_FORMAT = 1
_PIXELS, _MASKS, _META = "pixels.u8", "masks.u8", "raster.json"
# Decoding is most of the work and releases the interpreter; more threads than this only cost memory.
_MOST_THREADS = 8
_PIXELS_IN_FLIGHT = 60_000_000


@dataclass(frozen=True)
class Raster:
    """Decoded pixels and masks on disk, with the SHA-256 of each image's bytes."""

    pixels: PixelFile
    hashes: tuple[str, ...] = field(repr=False)
    masks: PixelFile | None = None


@dataclass(frozen=True)
class RasterJob:
    """What is to be decoded, and how."""

    entries: tuple[Entry, ...] = field(repr=False)
    size: tuple[int, int]
    fit: Fit
    name: str = ""

    @property
    def masked(self) -> bool:
        """Whether there are masks; a listing has one for every image or for none."""
        return self.entries[0].mask is not None

    @property
    def bytes_needed(self) -> int:
        """What the raster takes on disk."""
        return len(self.entries) * self.size[0] * self.size[1] * (4 if self.masked else 3)

    def key(self) -> str:
        """Return the digest of everything that the raster's bytes depend on: pictures, geometry and decoders."""
        decoders = [PIL.__version__, *(features.version(name) for name in ("jpg", "libjpeg_turbo", "webp", "jpg_2000"))]
        digest = hashlib.sha256(json.dumps([RASTER_FORMAT, decoders, self.size, asdict(self.fit)]).encode())
        for entry in self.entries:
            digest.update(b"\npicture " + entry.picture.signature)
            digest.update(b"\nmask " + entry.mask.signature if entry.mask else b"")
        return digest.hexdigest()[:32]


def rasterise(job: RasterJob, *, cache: Path, progress: Progress) -> Raster:
    """Return the raster of `job`, decoded now or found in `cache`.

    Raises:
        BrokenPicturesError: names every picture that cannot be used.
        DataError: the cache cannot be written, or the disk is too small.
    """
    folder = cache / "images" / job.key()
    if (kept := _kept(folder, job)) is not None:
        return kept
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_name(folder.name + ".lock")):
            if (kept := _kept(folder, job)) is not None:  # another run made it while this one waited
                return kept
            _build(folder, job, progress)
    except OSError as error:
        raise DataError(
            f"cannot keep the decoded images in {cache}: {error.strerror or error} (choose another cache)"
        ) from error
    made = _kept(folder, job)
    if made is None:
        raise DataError(f"the decoded images in {folder} changed while they were written; run again")
    return made


class BrokenPicturesError(DataError):
    """Some pictures cannot be used; `faults` says which and why."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(f"{len(faults)} broken picture(s)")
        self.faults = faults


def check_pictures(job: RasterJob, *, progress: Progress) -> list[str]:
    """Decode everything and keep nothing; return every fault."""
    return _decode_all(job, lambda _row, _pixels, _mask: None, progress)[1]


def _build(folder: Path, job: RasterJob, progress: Progress) -> None:
    free = shutil.disk_usage(folder.parent).free
    if free < job.bytes_needed:
        raise DataError(
            f"the decoded images of {job.name} need {job.bytes_needed / 1e9:.1f} GB in {folder.parent}, "
            f"but {free / 1e9:.1f} GB are free (free some, or choose another cache)"
        )
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a run that broke off; the lock says that nobody uses it
    try:
        partial.mkdir()
        hashes = _write(partial, job, progress)
        _seal(partial, job, hashes)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(partial: Path, job: RasterJob, progress: Progress) -> list[str]:
    area = job.size[0] * job.size[1]
    with ExitStack() as stack:
        pixels = stack.enter_context((partial / _PIXELS).open("wb")).fileno()
        masks = stack.enter_context((partial / _MASKS).open("wb")).fileno() if job.masked else None

        def keep(row: int, picture: bytes, mask: bytes | None) -> None:
            _write_at(pixels, picture, row * 3 * area)
            if masks is not None and mask is not None:
                _write_at(masks, mask, row * area)

        hashes, faults = _decode_all(job, keep, progress)
    if faults:
        raise BrokenPicturesError(faults)
    return hashes


def _write_at(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def _decode_all(
    job: RasterJob, keep: Callable[[int, bytes, bytes | None], None], progress: Progress
) -> tuple[list[str], list[str]]:
    """Hand every decoded row to `keep` (from several threads); return the hashes, and a fault for every broken one."""
    budget = PixelBudget(_PIXELS_IN_FLIGHT)

    def work(row: int) -> tuple[str, str | None]:
        entry = job.entries[row]
        try:
            picture, mask = decode(entry.picture, entry.mask, fit=job.fit, size=job.size, budget=budget)
        except DataError as error:
            return "", f"{entry.picture.origin}: {error}"
        data = picture.tobytes()
        keep(row, data, None if mask is None else mask.tobytes())
        return hashlib.sha256(data).hexdigest(), None

    hashes, faults = [], []
    with progress(f"decoding {job.name}", len(job.entries)) as advance, _whole_files_only(), _threads() as pool:
        for content, fault in pool.map(work, range(len(job.entries))):
            hashes.append(content)
            faults += [] if fault is None else [fault]
            advance(1)
    return hashes, faults


@contextmanager
def _whole_files_only() -> Iterator[None]:
    """Let Pillow refuse cut-off files; once any package asked it to, as WeasyPrint does, it fills them with grey."""
    allowed = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = allowed


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """Yield a pool that drops what it has not begun when something goes wrong."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pool = ThreadPoolExecutor(min(_MOST_THREADS, usable), thread_name_prefix="decode")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock at `path`; waits for other threads and processes, and never outlives its process."""
    with path.open("wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _seal(partial: Path, job: RasterJob, hashes: list[str]) -> None:
    names = [_PIXELS, *([_MASKS] if job.masked else [])]
    for name in names:
        (partial / name).chmod(0o444)
    stamps = {name: file_stamp((partial / name).stat()) for name in names}
    (partial / _META).write_text(json.dumps({"format": RASTER_FORMAT, "stamps": stamps, "hashes": hashes}))


def _kept(folder: Path, job: RasterJob) -> Raster | None:
    """Return the raster in `folder` if it is whole and nobody touched its files since they were written."""
    try:
        meta = json.loads((folder / _META).read_text())
        for name, stamp in meta["stamps"].items():
            if list(file_stamp((folder / name).stat())) != stamp:
                return None
        hashes = tuple(meta["hashes"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # absent or damaged: it is decoded anew
    count, (height, width) = len(job.entries), job.size
    if len(hashes) != count or (job.masked and _MASKS not in meta["stamps"]):
        return None
    masks = PixelFile(folder / _MASKS, (count, height, width)) if job.masked else None
    return Raster(PixelFile(folder / _PIXELS, (count, 3, height, width)), hashes, masks)
