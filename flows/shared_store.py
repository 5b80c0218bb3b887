"""A run folder that is kept at a URL as well, for workers that share no disk: s3://bucket/audits, or any of fsspec's.

Each process has its run folder on its own disk; what it stores there goes to the URL, and what others stored is fetched
when it is asked for. Nothing is believed that the URL says: a record counts while its key is right and its artefacts
have their digests.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec

from flows.steps import artefacts_in
from wolfhound.errors import EvidenceError, PlanError
from wolfhound.evidence import Artefact
from wolfhound.store import SUMS, EvidenceStore, sha256, write_atomically


@dataclass(frozen=True)
class SharedStore(EvidenceStore):
    """A run folder with its counterpart at `url`. Every method may raise EvidenceError: the storage refuses."""

    url: str

    def put(self, data: bytes, suffix: str) -> Artefact:
        """Store `data` here and at the URL."""
        artefact = super().put(data, suffix)
        if self._size(artefact.path) != artefact.bytes:
            self._upload(artefact.path)
        return artefact

    def get(self, artefact: Artefact) -> bytes:
        """Return the stored bytes, fetched where they are missing here and checked against their digest."""
        self.holds(artefact)
        return super().get(artefact)

    def holds(self, artefact: Artefact) -> bool:
        """Whether the artefact is stored with the right bytes, here or at the URL; then it is here as well."""
        if super().holds(artefact):
            return True
        data = self._download(artefact.path)
        if data is None or sha256(data) != artefact.sha256:
            return False
        write_atomically(self.root / artefact.path, data)
        return True

    def step(self, name: str, key: str) -> Mapping[str, Any] | None:
        """Return what the step recorded under this key, here or at the URL."""
        value = super().step(name, key)
        if value is None and self._fetch(self._step_path(name).relative_to(self.root).as_posix()):
            value = super().step(name, key)
        return value

    def finish_step(
        self, name: str, key: str, value: Mapping[str, Any], *, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Record the step here and then at the URL, where its artefacts are already."""
        super().finish_step(name, key, value, facts=facts)
        self._upload(self._step_path(name).relative_to(self.root).as_posix())

    def has_steps(self) -> bool:
        """Whether a run has finished a step, here or elsewhere."""
        return super().has_steps() or bool(self._step_names())

    def gather(self) -> None:
        """Fetch every record and every artefact that workers stored elsewhere.

        A record that is here already may be of an earlier plan: what this process records goes to the URL at once, so
        none there is older than its own.
        """
        for name in self._step_names():
            self._fetch(name)
        for record in self.step_records():
            for artefact in artefacts_in(record.get("value")):
                self.holds(artefact)

    def seal(self) -> str:
        """Seal the folder, and put all that is in it to the URL, the sums last."""
        sealed = super().seal()
        for name in (*self.files(), SUMS):
            if not name.startswith("artefacts/"):  # those are there since they were stored
                self._upload(name)
        return sealed

    def _fetch(self, name: str) -> bool:
        data = self._download(name)
        if data is not None:
            write_atomically(self.root / name, data)
        return data is not None

    def _upload(self, name: str) -> None:
        with self._storage() as (system, base):
            system.makedirs(f"{base}/{name}".rpartition("/")[0], exist_ok=True)
            system.pipe_file(f"{base}/{name}", (self.root / name).read_bytes())

    def _download(self, name: str) -> bytes | None:
        with self._storage() as (system, base):
            try:
                return bytes(system.cat_file(f"{base}/{name}"))
            except FileNotFoundError:
                return None

    def _size(self, name: str) -> int | None:
        with self._storage() as (system, base):
            try:
                return int(system.info(f"{base}/{name}")["size"])
            except FileNotFoundError:
                return None

    def _step_names(self) -> list[str]:
        with self._storage() as (system, base):
            try:
                found = system.ls(f"{base}/steps", detail=False)
            except FileNotFoundError:
                return []
            return sorted(f"steps/{name.rpartition('/')[2]}" for name in found if name.endswith(".json"))

    @contextmanager
    def _storage(self) -> Iterator[tuple[Any, str]]:
        """Yield the file system and the path in it; what it raises says where, and what was expected of it."""
        system, base = _opened(self.url)
        system.invalidate_cache()  # others write there too
        try:
            yield system, base
        except Exception as error:  # each protocol's library has errors of its own
            raise EvidenceError(f"expected storage that can be read and written at {self.url}, but: {error}") from error


def shared_url(store: str, root: Path) -> str:
    """Return where the run folder `root` is kept in `store`, a URL; empty where there is none.

    Raises:
        PlanError: fsspec does not know the protocol, or lacks what it needs for it.
    """
    if not store:
        return ""
    url = f"{store.rstrip('/')}/{root.name}"
    _opened(url)
    return url


def _opened(url: str) -> tuple[Any, str]:
    try:
        system, base = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        hint = "; pip install 'wolfhound[s3]'" if url.startswith("s3:") else ""
        raise PlanError(f"expected the URL of a storage, as s3://bucket/audits, got {url!r}: {error}{hint}") from error
    return system, str(base)
