"""Pictures inside tar files, read where they lie: nothing is ever unpacked."""

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from wolfhound.errors import DataError
from wolfhound.sources.listing import FORMATS, file_stamp


@dataclass(frozen=True)
class TarMember:
    """A file inside a tar file, as it was when it was listed: where its bytes begin, and how many they are."""

    path: Path
    name: str
    start: int
    size: int
    stamp: tuple[int, int, int]

    @property
    def origin(self) -> str:
        """Tar file and name, as reports print them."""
        return f"{self.path.name}/{self.name}"

    @property
    def signature(self) -> bytes:
        """Changes whenever the bytes may have changed."""
        return f"{self.path.absolute()}\0{self.start} {self.size} {self.stamp}".encode(errors="surrogateescape")

    def read(self) -> bytes:
        """Return the bytes.

        Raises:
            DataError: the tar file changed since it was listed.
        """
        with self.path.open("rb") as stream:
            if file_stamp(self.path.stat()) != self.stamp:
                raise DataError("its tar file changed while the set was being read")
            stream.seek(self.start)
            return stream.read(self.size)

    @contextmanager
    def open(self) -> Iterator[Image.Image]:
        """Yield the lazily opened image.

        Raises:
            DataError: the tar file changed since it was listed.
        """
        Image.init()
        with Image.open(io.BytesIO(self.read()), formats=FORMATS) as image:
            yield image


def members(path: Path) -> list[TarMember]:
    """Return the regular files in a tar file, in its order. Folders are passed over.

    Raises:
        DataError: it is missing, damaged, compressed, or holds links.
    """
    try:
        stamp = file_stamp(path.stat())
        with tarfile.open(path, "r:") as archive:
            found = [entry for entry in archive if not entry.isdir()]
    except (OSError, tarfile.TarError, ValueError, EOFError) as error:
        raise DataError(
            f"{path} cannot be read as a tar file ({error}); is it compressed? unpack it to .tar"
        ) from error
    if links := [entry.name for entry in found if not entry.isreg()]:
        raise DataError(f"{path} holds {links[0]!r}, which is no plain file (shards hold files alone)")
    held = path.stat().st_size
    if cut := [entry.name for entry in found if entry.offset_data + entry.size > held]:
        raise DataError(f"{path} is cut off within {cut[0]!r} (fetch it again)")
    return [TarMember(path, entry.name, entry.offset_data, entry.size, stamp) for entry in found]
