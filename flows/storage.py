"""Disks that are full or cannot be written, said in a sentence that names the place and the way out."""

import errno
import os
from pathlib import Path

from wolfhound.errors import PlanError

_FULL = frozenset((errno.ENOSPC, errno.EDQUOT))
_REFUSED = frozenset((errno.EROFS, errno.EACCES, errno.EPERM))
_FULL_WORDS = os.strerror(errno.ENOSPC)


def storage_fault(error: BaseException) -> str | None:
    """Return what is wrong with the disk, if that is what `error` or a cause of it says; else None.

    Libraries that write files in other languages raise errors of their own, which still quote the system's words.
    """
    for one in _chain(error):
        place = f" at {one.filename}" if isinstance(one, OSError) and one.filename else ""
        if (isinstance(one, OSError) and one.errno in _FULL) or _FULL_WORDS in str(one):
            return f"the disk is full{place} ({_FULL_WORDS}); free some space there"
        if isinstance(one, OSError) and one.errno in _REFUSED:
            return f"no writing is allowed{place} ({one.strerror}); choose another folder with --output or --cache"
    return None


def _chain(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in found:
        found.append(following)
        following = following.__cause__ or following.__context__
    return found


def check_writable(root: Path) -> None:
    """Raise unless a run folder can be made at `root`; nothing is made or written.

    Raises:
        PlanError: it, or the nearest folder above it that exists, cannot be written.
    """
    place = next(folder for folder in (root, *root.parents) if folder.exists())
    if not place.is_dir():
        raise PlanError(f"expected a folder at {place} for the run, got a file (choose another with --output)")
    if not os.access(place, os.W_OK | os.X_OK):
        raise PlanError(
            f"expected to be allowed to write in {place}, for the run folder {root}; choose another with --output"
        )
