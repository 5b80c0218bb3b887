"""Files of a model or data hub, fetched once and named by the commit that they are of."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from wolfhound.errors import ModelError, WolfhoundError
from wolfhound.extras import extra_module

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
            asks for a login. Says how to do without it.
    """
    client = extra_module("huggingface_hub", extra=extra, kind=error_kind)
    errors = extra_module("huggingface_hub.errors", extra=extra, kind=error_kind)
    where = hub or os.environ.get("HF_ENDPOINT") or "the hub"
    try:
        return _fetched(client.HfApi(endpoint=hub), name, revision, patterns, kind, cache)
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


def _fetched(
    api: Any, name: str, revision: str | None, patterns: Sequence[str], kind: str, cache: Path
) -> tuple[Path, str]:
    # One short question first: the downloads themselves would try an unreachable hub again and again.
    info = api.repo_info(name, revision=revision, repo_type=kind, timeout=_TIMEOUT)
    folder = api.snapshot_download(
        name,
        revision=info.sha,
        repo_type=kind,
        allow_patterns=list(patterns),
        cache_dir=str(cache / "hub"),
        etag_timeout=_TIMEOUT,
    )
    return Path(folder), str(info.sha)


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
