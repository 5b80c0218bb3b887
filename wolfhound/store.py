"""The run folder: content-addressed artefacts, atomic writes, finished steps, and the sums that seal it.

RUN/plan.yaml            the plan as it was given
RUN/evidence.json        what was found; the same inputs give the same bytes
RUN/run.json             when, where and with what
RUN/artefacts/ab/ab….png every picture, table, ledger and perturbation, named by its SHA-256
RUN/tables/*.csv         the main tables once more under readable names
RUN/steps/*.json         finished steps, by which a broken-off run goes on
RUN/report.html, .pdf    rendered from the above alone
RUN/SHA256SUMS           a digest of every other file, in the format of coreutils' sha256sum
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wolfhound.errors import EvidenceError, VerificationError
from wolfhound.evidence import Artefact, Evidence, RunRecord, dump_evidence, dump_run, load_evidence, load_run

SUMS = "SHA256SUMS"
_SUM_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def sha256(data: bytes) -> str:
    """Return the SHA-256 of `data` in hex."""
    return hashlib.sha256(data).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hex, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to `path` so that the file is there whole or not at all, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True)
class EvidenceStore:
    """One run folder."""

    root: Path

    def put(self, data: bytes, suffix: str) -> Artefact:
        """Store `data` under its own digest and return where it is; storing it twice writes it once."""
        artefact = Artefact(sha256(data), suffix, len(data))
        path = self.root / artefact.path
        if not (path.is_file() and file_sha256(path) == artefact.sha256):
            write_atomically(path, data)
        return artefact

    def get(self, artefact: Artefact) -> bytes:
        """Return the stored bytes, checked against their digest.

        Raises:
            EvidenceError: the file is missing.
            VerificationError: the bytes are not those that were stored.
        """
        path = self.root / artefact.path
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise EvidenceError(
                f"expected the artefact {artefact.path} in {self.root}, found a link that leads out of it"
            )
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise EvidenceError(f"expected the artefact {artefact.path} in {self.root}, but it is missing") from error
        if sha256(data) != artefact.sha256:
            raise VerificationError(f"{artefact.path} in {self.root} was changed: its SHA-256 is {sha256(data)}")
        return data

    def holds(self, artefact: Artefact) -> bool:
        """Whether the artefact is stored with the right bytes."""
        path = self.root / artefact.path
        return path.is_file() and file_sha256(path) == artefact.sha256

    def step(self, name: str, key: str) -> Mapping[str, Any] | None:
        """Return what the step recorded under this key when it finished, or None if it has to be done."""
        record = self.step_record(name)
        if record is None or record.get("key") != key:
            return None
        value = record.get("value")
        return value if isinstance(value, dict) else None

    def step_record(self, name: str) -> Mapping[str, Any] | None:
        """Return the whole record of a step, under whatever key, or None where there is none that can be read."""
        try:
            record = json.loads(self._step_path(name).read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return record if isinstance(record, dict) else None

    def step_records(self) -> Iterator[Mapping[str, Any]]:
        """Yield every record of a step that is in the folder and can be read."""
        for path in sorted((self.root / "steps").glob("*.json")):
            try:
                record = json.loads(path.read_bytes())
            except ValueError:
                continue  # damaged: its step is done again
            if isinstance(record, dict):
                yield record

    def has_steps(self) -> bool:
        """Whether a run has finished a step in this folder."""
        return any((self.root / "steps").glob("*.json"))

    def gather(self) -> None:
        """Bring everything here that belongs to the run: in a folder of one disk it is here already."""

    def finish_step(
        self, name: str, key: str, value: Mapping[str, Any], *, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Record that the step is done, under the digest of everything that it depended on: `facts`, by name."""
        record = {"step": name, "key": key, **({} if facts is None else {"facts": facts}), "value": value}
        write_atomically(self._step_path(name), json.dumps(record, indent=1, allow_nan=False).encode() + b"\n")

    def _step_path(self, name: str) -> Path:
        safe = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:80]
        return self.root / "steps" / f"{safe}-{sha256(name.encode())[:8]}.json"

    def write(self, name: str, data: bytes) -> None:
        """Write a file of the run folder by its relative name, atomically."""
        write_atomically(self.root / name, data)

    def write_evidence(self, evidence: Evidence, record: RunRecord) -> None:
        """Store the document and the run record."""
        self.write("evidence.json", dump_evidence(evidence))
        self.write("run.json", dump_run(record))

    def evidence(self) -> Evidence:
        """Return the stored document.

        Raises:
            EvidenceError: there is none, or it is malformed.
        """
        return load_evidence(self._read("evidence.json"))

    def run_record(self) -> RunRecord:
        """Return the stored run record.

        Raises:
            EvidenceError: there is none, or it is malformed.
        """
        return load_run(self._read("run.json"))

    def _read(self, name: str) -> bytes:
        try:
            return (self.root / name).read_bytes()
        except FileNotFoundError as error:
            raise EvidenceError(
                f"expected {name} in {self.root}, found none: this is no run folder, or its audit has not finished "
                "(resume it with: wolfhound run PLAN)"
            ) from error

    def files(self) -> Iterator[str]:
        """Yield the relative name of every file but the sums, sorted. Links count as files."""
        names = []
        for folder, _, files in os.walk(self.root):
            names += [(Path(folder) / name).relative_to(self.root).as_posix() for name in files]
        yield from sorted(name for name in names if name != SUMS)

    def seal(self) -> str:
        """Write the digest of every file and return the digest of that list, which stands for the whole folder."""
        lines = "".join(f"{file_sha256(self.root / name)}  {name}\n" for name in self.files())
        write_atomically(self.root / SUMS, lines.encode())
        return sha256(lines.encode())

    def faults(self) -> list[str]:
        """Return every difference between the folder and its sums: changed, missing, added; empty if none."""
        path = self.root / SUMS
        if not path.is_file():
            return [f"{SUMS} is missing, so nothing can be checked"]
        expected, faults = _parse_sums(path.read_bytes())
        found = set(self.files())
        faults += [f"missing: {name}" for name in sorted(expected.keys() - found)]
        faults += [f"added: {name}" for name in sorted(found - expected.keys())]
        for name in sorted(found & expected.keys()):
            file = self.root / name
            if file.is_symlink() or not file.is_file():
                faults.append(f"not a plain file: {name}")
            elif file_sha256(file) != expected[name]:
                faults.append(f"changed: {name}")
            elif name.startswith("artefacts/") and Path(name).stem != expected[name]:
                faults.append(f"changed: {name} (its name is not the digest of its bytes)")
        return faults


def _parse_sums(data: bytes) -> tuple[dict[str, str], list[str]]:
    """Return digest by name, and the faults of the list itself: it has exactly one canonical form."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return {}, [f"changed: {SUMS} is not UTF-8"]
    sums: dict[str, str] = {}
    faults = []
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        match = _SUM_LINE.fullmatch(line)
        if match is None:
            faults.append(f"changed: {SUMS}, line {number} is not a digest and a name")
        else:
            sums[match[2]] = match[1]
    canonical = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
    if not faults and canonical != text:
        faults.append(f"changed: {SUMS} is not in its canonical form")
    return sums, faults
