"""How values become words. Every number of a report passes through here; a missing one never prints as blank or 0."""

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from wolfhound.errors import EvidenceError
from wolfhound.evidence import Criterion, Quantity, Verdict
from wolfhound.statistics import Rate

NOT_MEASURED = "not measured"
VERDICT_WORDS: dict[Verdict, str] = {
    "met": "Met",
    "not met": "Not met",
    "inconclusive": "Inconclusive",
    "not tested": "Not tested",
}
_PROBABILITIES = ("p", "p-value", "probability")
_SMALLEST_P = 1e-4


def refuse_missing(value: Any) -> Any:
    """Return `value`, or fail if it is missing: None, an infinity or NaN reach no page.

    Raises:
        EvidenceError: the value is missing.
    """
    if value is None:
        raise EvidenceError("expected a value in the report, got none (what was not measured has to be named so)")
    if isinstance(value, float):
        if not math.isfinite(value):
            raise EvidenceError(f"expected a finite number in the report, got {value}")
        return number(value)
    return value


def rate(value: Rate | None) -> str:
    """Return percent, Wilson 95 % interval and n, or "not measured".

    >>> rate(None)
    'not measured'
    """
    return NOT_MEASURED if value is None else value.text


def percent_parts(value: Rate) -> tuple[str, str, str]:
    """Return a measured rate as percent, interval and n, in the words of its own text, for a cell of three lines.

    >>> percent_parts(Rate(83, 100, "images"))
    ('83.0 %', '[74.5, 89.1]', 'n = 100')
    """
    bounds = value.interval()
    interval = f"[{100 * bounds.low:.1f}, {100 * bounds.high:.1f}]"
    return f"{value.percent:.1f} %", interval, f"n = {value.total}"


def upper_bound(value: Rate) -> str:
    """Return the exact two-sided 95 % upper bound of a rate of which nothing was counted, else nothing.

    >>> upper_bound(Rate(0, 1000, "images"))
    'none in 1000; 95 % upper bound 0.37 % (Clopper–Pearson)'
    """
    if not value.measured or value.successes:
        return ""
    high = value.interval(method="clopper-pearson").high
    return f"none in {value.total}; 95 % upper bound {100 * high:.2f} % (Clopper–Pearson)"


def number(value: float) -> str:
    """Return a number with four significant digits, without an exponent where that stays short.

    >>> [number(0.0), number(12.34567), number(-0.5), number(2.31e-10), number(1234567.0)]
    ['0', '12.35', '−0.5', '2.31e−10', '1234567']
    """
    if not math.isfinite(value):
        raise EvidenceError(f"expected a finite number in the report, got {value}")
    if value == int(value) and abs(value) < 1e15:
        text = f"{int(value)}"
    else:
        text = f"{value:.4g}" if 1e-4 <= abs(value) < 1e6 else f"{value:.2e}"
    return text.replace("-", "−")


def decimals(value: float, places: int) -> str:
    """Return a number with a fixed count of decimal places.

    >>> decimals(12.345, 1)
    '12.3'
    """
    if not math.isfinite(value):
        raise EvidenceError(f"expected a finite number in the report, got {value}")
    return f"{value:.{places}f}"


def quantity(value: Quantity) -> str:
    """Return a quantity with unit and interval; a tiny p-value as an upper bound, as is usual.

    >>> quantity(Quantity(0.25, "share", "excess flips"))
    '0.25'
    >>> quantity(Quantity(6, "steps", "median steps"))
    '6 steps'
    >>> quantity(Quantity(3e-31, "p", "McNemar"))
    '< 0.0001'
    """
    if value.unit in _PROBABILITIES and value.value < _SMALLEST_P:
        return f"< {_SMALLEST_P:.4f}"
    unit = "" if value.unit in ("", "share", *_PROBABILITIES) else f" {value.unit}"
    text = f"{number(value.value)}{unit}"
    if value.interval is None:
        return text
    bounds = value.interval
    span = f"[{number(bounds.low)}, {number(bounds.high)}]"
    return f"{text} {span} ({100 * bounds.confidence:g} %, {bounds.method})"


def gap(value: Quantity) -> str:
    """Return a share that is no proportion of images, as a criterion judges it: percent and interval.

    >>> from wolfhound.statistics import Interval
    >>> gap(Quantity(0.25, "share of images", "gap", Interval(0.1, 0.4, method="newcombe")))
    '25.0 % [10.0, 40.0]'
    """
    if value.interval is None:
        raise EvidenceError(f"expected a share with an interval, got none ({value.meaning})")
    return f"{100 * value.value:.1f} % [{100 * value.interval.low:.1f}, {100 * value.interval.high:.1f}]"


def threshold(criterion: Criterion) -> str:
    """Return a criterion's threshold in words.

    >>> threshold(Criterion("c", "t", "universal.fooling_rate", "*", "at most", 0.2, "2026-01-01"))
    'at most 20 %'
    """
    return f"{criterion.comparator} {100 * criterion.threshold:g} %"


def stated(value: str) -> str:
    """Return a text of the plan, or "not stated" where it is empty."""
    return value if value.strip() else "not stated"


def sentence(text: str) -> str:
    """Return the text with a capital first letter and a full stop.

    >>> sentence("no image was fooled")
    'No image was fooled.'
    """
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", ":")) else ".")


def phrase(text: str) -> str:
    """Return the text without a full stop at its end, to stand inside a sentence or a table.

    >>> phrase("Not fooled.")
    'Not fooled'
    """
    return text.strip().rstrip(".")


def gist(text: str) -> str:
    """Return the text up to its first colon, semicolon or bracket: enough for the first page.

    >>> gist("demonstration classifier, VGG-F family: 5 convolutions; 1/4 width")
    'demonstration classifier, VGG-F family'
    """
    return re.split(r"[:;(]", text, maxsplit=1)[0].strip() or text


def heading(text: str) -> str:
    """Return a key such as "source_paper" as a printed label: "Source paper".

    >>> heading("source_paper")
    'Source paper'
    """
    words = text.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def short(digest: str) -> str:
    """Return the first 16 digits of a digest, enough to compare by eye.

    >>> short("0123456789abcdef0123")
    '0123456789abcdef'
    """
    return digest[:16]


def anchor(identifier: str) -> str:
    """Return a finding's id as the name of a place in the document.

    >>> anchor("universal/SGD-UAP/vgg 16")
    'finding-universal-SGD-UAP-vgg-16-8e7d37'
    """
    # Two ids that differ in signs only would fall together, so a digest of the whole keeps them apart.
    readable = re.sub(r"[^A-Za-z0-9]+", "-", identifier).strip("-")
    return f"finding-{readable}-{sha256(identifier.encode()).hexdigest()[:6]}"


def moment(text: str) -> datetime:
    """Return an ISO 8601 time of the run record in UTC.

    Raises:
        EvidenceError: it is no time, or has no time zone.
    """
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise EvidenceError(f"expected an ISO 8601 time in run.json, got {text!r}") from error
    if parsed.tzinfo is None:
        raise EvidenceError(f"expected a time with its zone in run.json, got {text!r} (write 2026-01-31T12:00:00Z)")
    return parsed.astimezone(UTC).replace(microsecond=0)


def date(text: str) -> str:
    """Return an ISO time as it is printed.

    >>> date("2026-01-31T12:00:00+01:00")
    '2026-01-31 11:00 UTC'
    """
    return f"{moment(text):%Y-%m-%d %H:%M} UTC"


def listed(items: Sequence[str]) -> str:
    """Return items as a list in a sentence.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"


def counted(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> [counted(1, "image"), counted(12000, "image")]
    ['1 image', '12000 images']
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
