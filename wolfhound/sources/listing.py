"""What a source found before anything is decoded: pictures, labels and every fault so far."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wolfhound.errors import DataError

# Pillow would also try formats that start other programs.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF", "PPM", "JPEG2000")
SUFFIXES = frozenset(
    (".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".jp2")
)


class Picture(Protocol):
    """One undecoded picture.

    `origin` names it in reports and faults; `signature` changes whenever its bytes may have changed.
    """

    @property
    def origin(self) -> str: ...

    @property
    def signature(self) -> bytes: ...

    def open(self) -> AbstractContextManager[Image.Image]: ...


@dataclass(frozen=True)
class PictureFile:
    """A picture in a file, as it was when it was listed.

    The signature holds the times of the last change of content and of inode. The latter cannot be set back, so a
    changed file is noticed even where its size and date were kept.
    """

    path: Path
    origin: str
    stamp: tuple[int, int, int]

    @classmethod
    def found(cls, path: Path, origin: str) -> "PictureFile":
        """Return the picture at `path`.

        Raises:
            OSError: there is no such file, it may not be looked at, or it is a pipe or a device, which has no end.
        """
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is no regular file")
        return cls(path, origin, file_stamp(status))

    @property
    def signature(self) -> bytes:
        return os.fsencode(self.path.absolute()) + b"\0%d %d %d" % self.stamp

    @contextmanager
    def open(self) -> Iterator[Image.Image]:
        """Yield the lazily opened image.

        Raises:
            DataError: the file changed since it was listed.
        """
        Image.init()  # registers every format; a no-op but for the first time
        with self.path.open("rb") as stream:
            if file_stamp(os.fstat(stream.fileno())) != self.stamp:
                raise DataError("changed while the set was being read")
            with Image.open(stream, formats=FORMATS) as image:
                yield image


@dataclass(frozen=True, eq=False)
class PictureArray:
    """A picture that is already decoded, RGB uint8 `[H,W,3]`."""

    array: NDArray[np.uint8] = field(repr=False)
    origin: str

    @property
    def signature(self) -> bytes:
        return sha256(self.array.tobytes() + str(self.array.shape).encode()).digest()

    @contextmanager
    def open(self) -> Iterator[Image.Image]:
        """Yield the image."""
        yield Image.fromarray(self.array)


@dataclass(frozen=True)
class Entry:
    """A picture with its label, and where they exist its object mask, the name of its group, and named attributes.

    Every entry of a listing has attributes of the same names, in the same order.
    """

    picture: Picture
    label: int
    mask: Picture | None = None
    group: str | None = None
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Listing:
    """Everything that a source found, in a fixed order, and everything that is wrong with it."""

    entries: tuple[Entry, ...]
    class_names: tuple[str, ...]
    faults: tuple[str, ...] = ()


def file_stamp(status: os.stat_result) -> tuple[int, int, int]:
    """Return size, time of the last change of content, and time of the last change of the inode, in nanoseconds."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def name_fault(name: str) -> str | None:
    """Return what is wrong with a file name, or None: reports are UTF-8 and must be able to name every image."""
    try:
        name.encode()
    except UnicodeEncodeError:
        shown = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
        return f"{shown}: the name is not valid UTF-8 (rename it)"
    return None
