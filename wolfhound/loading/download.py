"""Published weights from torch.hub's folder, the cache, or the network; always checked against their digest."""

import hashlib
import http.client
import os
import urllib.request
from pathlib import Path

import torch

from wolfhound.errors import ModelError
from wolfhound.loading.torchvision_names import PublishedWeights
from wolfhound.progress import Progress
from wolfhound.store import file_sha256

_TIMEOUT = 30.0
_PIECE = 1 << 20


def obtain(weights: PublishedWeights, *, cache: Path, progress: Progress) -> Path:
    """Return the file of `weights`: where torch.hub keeps it, in `cache`, or downloaded into `cache`.

    Raises:
        ModelError: a file of that name is damaged, or the download fails; says how to give a local file.
    """
    hub = Path(torch.hub.get_dir()) / "checkpoints"
    own = cache / "weights"
    for folder in (hub, own):
        path = folder / weights.file_name
        if path.is_file():
            if not file_sha256(path).startswith(weights.hash_prefix):
                raise ModelError(
                    f"{path} is not what its name says: its SHA-256 does not begin with {weights.hash_prefix} "
                    "(a broken download? delete it, or rename it if it holds weights of your own)"
                )
            return path
    target = own / weights.file_name
    try:
        fetch(weights.url, target, hash_prefix=weights.hash_prefix, progress=progress)
    except (OSError, http.client.HTTPException) as error:
        raise ModelError(
            f"the weights {weights.title} are not on this machine and cannot be downloaded from {weights.url} "
            f"({error}). Fetch {weights.file_name} elsewhere and put it into {hub}, or say weights: PATH/TO/"
            f'{weights.file_name}. Untrained networks are made by weights: "random" alone'
        ) from error
    return target


def fetch(url: str, target: Path, *, hash_prefix: str, progress: Progress) -> None:
    """Download `url` to `target`, which is there whole and right or not at all.

    Raises:
        OSError: the network or the disk fails, or what came has another digest.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as source, partial.open("wb") as sink:
            total = int(source.headers.get("Content-Length") or 0)
            with progress(f"downloading {target.name}", total) as advance:
                while piece := source.read(_PIECE):
                    digest.update(piece)
                    sink.write(piece)
                    advance(len(piece))
        if total and partial.stat().st_size != total:
            raise OSError(f"the connection was closed after {partial.stat().st_size} of {total} bytes")
        if not digest.hexdigest().startswith(hash_prefix):
            raise OSError(f"expected a SHA-256 that begins with {hash_prefix}, got {digest.hexdigest()}")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
