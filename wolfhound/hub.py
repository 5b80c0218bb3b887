"""Files of a model or data hub, fetched once and named by the commit that they are of."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from wolfhound.errors import ModelError, WolfhoundError
from wolfhound.extras import extra_module
from wolfhound.store import file_sha256

_TIMEOUT = 10.0


def fetch_snapshot(
    name: str,
    *,
    revision: str | None,
    patterns: Sequence[str],
    cache: Path,
    extra: str,
    instead: str,
    hub: str | None = None,
    kind: Literal["model", "dataset"] = "model",
    error_kind: type[WolfhoundError] = ModelError,
) -> tuple[Path, str]:
    """Return the folder with the files of `name` that match `patterns`, and the commit that they are of.

    `instead` is what a plan says of files that were fetched elsewhere; `hub` the address of a mirror.

    Raises:
        error_kind: huggingface_hub is not installed; the hub cannot be reached; it has no such name or revision, or
            asks for a login; a file is not what the hub states. Says how to do without it.
    """
    client = extra_module("huggingface_hub", extra=extra, kind=error_kind)
    errors = extra_module("huggingface_hub.errors", extra=extra, kind=error_kind)
    address = hub or os.environ.get("HF_ENDPOINT")  # the client itself reads the variable once, when it is imported
    where, api = address or "the hub", client.HfApi(endpoint=address)
    try:
        # One short question first: the downloads themselves would try an unreachable hub again and again.
        info = api.repo_info(name, revision=revision, repo_type=kind, timeout=_TIMEOUT, files_metadata=True)
    except errors.GatedRepoError as error:
        raise error_kind(f"{name} on {where} asks for a login (accept its terms, then set HF_TOKEN)") from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
        at = f" at revision {revision}" if revision else ""
        raise error_kind(f"there is no {kind} {name!r}{at} on {where}, or it asks for a login (HF_TOKEN)") from error
    except Exception as error:  # the client's transport decides what an unreachable hub raises
        kept = _kept(client, errors, name, revision, kind, cache)
        if kept is None:
            raise error_kind(
                f"{where} cannot be reached for {name} ({type(error).__name__}: {str(error)[:200]}). Fetch it "
                f"elsewhere and say {instead}"
            ) from error
        return kept
    with _broken_off(errors, name, where, instead, error_kind):
        return _fetched(api, name, info, patterns, kind, cache)


@contextmanager
def _broken_off(errors: Any, name: str, where: str, instead: str, error_kind: type[WolfhoundError]) -> Iterator[None]:
    """Say what went wrong with a download from a hub that answered."""
    try:
        yield
    except errors.GatedRepoError as error:
        raise error_kind(f"{name} on {where} asks for a login (accept its terms, then set HF_TOKEN)") from error
    except _WrongFileError as error:
        raise error_kind(f"{error} (it was deleted; run again to fetch it anew, or say {instead})") from error
    except Exception as error:  # the client's transport decides what a lost connection raises
        raise error_kind(
            f"the download of {name} from {where} broke off ({type(error).__name__}: {str(error)[:200]}). Run again to "
            f"go on with it, or fetch it elsewhere and say {instead}"
        ) from error


class _WrongFileError(Exception):
    """A downloaded file has another digest than the hub states."""


def _fetched(api: Any, name: str, info: Any, patterns: Sequence[str], kind: str, cache: Path) -> tuple[Path, str]:
    folder = api.snapshot_download(
        name,
        revision=info.sha,
        repo_type=kind,
        allow_patterns=list(patterns),
        cache_dir=str(cache / "hub"),
        etag_timeout=_TIMEOUT,
    )
    _check_digests(Path(folder), info.siblings or ())
    return Path(folder), str(info.sha)


def _check_digests(folder: Path, stated: Iterable[Any]) -> None:
    """Raise where a file is not the one that the hub states: its client checks sizes alone.

    A hub states the SHA-256 of large files and the git blob of others; a mirror that states neither is not checked.

    A wrong one is deleted: it lies in the cache under the name of the right one, and would be taken for it.

    Raises:
        _WrongFileError: names the file.
    """
    for each in stated:
        file = folder / each.rfilename
        if not file.is_file():
            continue
        wanted = each.lfs.sha256 if each.lfs else each.blob_id
        found = file_sha256(file) if each.lfs else git_blob(file)
        if wanted and found != wanted:
            file.resolve().unlink()
            file.unlink(missing_ok=True)
            raise _WrongFileError(
                f"{each.rfilename} is not the file that the hub states: expected {wanted}, got {found}"
            )


def git_blob(file: Path) -> str:
    """Return the digest by which git knows the content of a file: SHA-1 of "blob", its length, and its bytes."""
    data = file.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _kept(client: Any, errors: Any, name: str, revision: str | None, kind: str, cache: Path) -> tuple[Path, str] | None:
    """Return what an earlier run fetched of the very commit that the plan names; anything else may have changed."""
    if revision is None or not re.fullmatch("[0-9a-f]{40}", revision):
        return None
    try:
        folder = client.snapshot_download(
            name, revision=revision, repo_type=kind, cache_dir=str(cache / "hub"), local_files_only=True
        )
    except errors.LocalEntryNotFoundError:
        return None
    return Path(folder), revision
