"""Pictures kept on disk as raw bytes with their digests: written once, verified whenever they are used again."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wolfhound.demonstration.scenes import Picture
from wolfhound.images import PixelFile
from wolfhound.progress import Progress

Draw = Callable[[int], Picture]


@dataclass(frozen=True)
class StoredPictures:
    """Pixels `[N,3,S,S]` and masks `[N,S,S]` on disk, and the SHA-256 (hex) of each picture's pixel bytes."""

    pixels: PixelFile
    masks: PixelFile
    hashes: tuple[str, ...]


def stored_pictures(folder: Path, draw: Draw, *, count: int, size: int, progress: Progress) -> StoredPictures:
    """Return the `count` pictures kept in `folder`; draw and keep them where they are missing or damaged.

    A set is replaced as a whole: files are written beside the folder and moved into place, their digests last.
    """
    pixels = PixelFile(folder / "pixels.u8", (count, 3, size, size))
    masks = PixelFile(folder / "masks.u8", (count, size, size))
    if not _intact(folder, (pixels, masks)):
        _write(folder, draw, pixels, masks, progress)
    everything = np.memmap(pixels.path, dtype=np.uint8, mode="r", shape=pixels.shape)
    return StoredPictures(pixels, masks, tuple(hashlib.sha256(picture.tobytes()).hexdigest() for picture in everything))


def _intact(folder: Path, files: tuple[PixelFile, ...]) -> bool:
    try:
        digests = json.loads((folder / "digests.json").read_text(encoding="utf-8"))
        return bool(digests == {file.path.name: _file_digest(file.path) for file in files})
    except (OSError, ValueError):  # missing, unreadable or no JSON: drawn anew, which mends it
        return False


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(folder: Path, draw: Draw, pixels: PixelFile, masks: PixelFile, progress: Progress) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    count = pixels.shape[0]
    workshop = Path(tempfile.mkdtemp(prefix=".drawing-", dir=folder.parent))
    try:
        with (
            (workshop / pixels.path.name).open("wb") as pixel_file,
            (workshop / masks.path.name).open("wb") as mask_file,
            progress("drawing the demonstration's images", count) as advance,
        ):
            for index in range(count):
                picture = draw(index)
                pixel_file.write(picture.pixels.tobytes())
                mask_file.write(picture.mask.tobytes())
                advance(1)
        names = (pixels.path.name, masks.path.name)
        digests = {name: _file_digest(workshop / name) for name in names}
        (workshop / "digests.json").write_text(json.dumps(digests, indent=1), encoding="utf-8")
        for name in (*names, "digests.json"):
            (workshop / name).replace(folder / name)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
