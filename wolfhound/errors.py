"""One tree of errors for everything that can go wrong at a boundary.

Every message says what was expected, what was found and how to mend it.
"""

from collections.abc import Iterable


class WolfhoundError(Exception):
    """Base of every error that Wolfhound raises on purpose."""


class PlanError(WolfhoundError):
    """The audit plan cannot be read or asks for something impossible. Nothing was run."""


class DataError(WolfhoundError):
    """An image set is unusable: missing, broken, mislabelled or too small."""


class ModelError(WolfhoundError):
    """A classifier cannot be built, or its weights cannot be loaded."""


class EvidenceError(WolfhoundError):
    """Stored evidence is missing or malformed, or a value that a report needs was not measured."""


class VerificationError(WolfhoundError):
    """Stored evidence does not match its digests."""


def fault_list(headline: str, faults: Iterable[str], *, most: int = 50) -> str:
    """Return a message that names every fault on a line of its own, at most `most` of them and then a count.

    >>> print(fault_list("2 faults in the plan:", ["no images", "no classifiers"]))
    2 faults in the plan:
      - no images
      - no classifiers
    """
    rows = list(faults)
    lines = [headline, *(f"  - {row}" for row in rows[:most])]
    if len(rows) > most:
        lines.append(f"  - … and {len(rows) - most} more")
    return "\n".join(lines)
