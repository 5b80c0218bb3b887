"""What a check says, and what a check is."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from flows.preflight.sample import Inspected

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Notice:
    """One thing that was seen before the run.

    Attributes:
        code: under which docs/preflight.md explains it, and by which a plan accepts it.
        severity: an error stops the run; a warning is printed in the report; a note only in the terminal.
        subject: the classifier it is about, or "images" or "plan".
        seen: what was seen, with its numbers.
        change: what to change; empty where there is nothing to.
    """

    code: str
    severity: Severity
    subject: str
    seen: str
    change: str

    @property
    def text(self) -> str:
        """What was seen, about whom, and what to do.

        >>> Notice("near-chance", "error", "net", "it is right on 1 of 10 images", "look at the labels").text
        'net: it is right on 1 of 10 images. To do: look at the labels. (near-chance)'
        >>> Notice("memory", "note", "net", "a batch takes 1 GB, 2 GB are free", "").text
        'net: a batch takes 1 GB, 2 GB are free. (memory)'
        """
        to_do = f" To do: {self.change}." if self.change else ""
        return f"{self.subject}: {self.seen}.{to_do} ({self.code})"


class Check(Protocol):
    """Looks for one kind of fault in the plan, its images and a sample of what its classifiers say of them."""

    def __call__(self, inspected: Inspected, /) -> Iterator[Notice]: ...
