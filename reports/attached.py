"""One file inside a report's PDF."""

from dataclasses import dataclass

from wolfhound.store import sha256

_MEDIA_TYPES = {".json": "application/json", ".csv": "text/csv", ".yaml": "text/yaml"}


@dataclass(frozen=True)
class AttachedFile:
    """One file inside the PDF. `path` is where the run folder has the same bytes; empty if it has them nowhere."""

    name: str
    data: bytes
    description: str
    path: str = ""

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes in hex."""
        return sha256(self.data)

    @property
    def media_type(self) -> str:
        """The media type by the name's ending, the same on every machine."""
        return next((kind for end, kind in _MEDIA_TYPES.items() if self.name.endswith(end)), "application/octet-stream")
