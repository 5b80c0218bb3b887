"""How values become words. Every number of a report passes through here; a missing one never prints as blank or 0."""

import math
import re
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from wolfhound.errors import EvidenceError
from wolfhound.evidence import SHARE, Criterion, Quantity, Verdict
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
    return f"{value:.{places}f}".replace("-", "−")


def points(share: float) -> str:
    """Return a difference of shares in percentage points, with one decimal place unless that made it nothing.

    >>> [points(0.9667), points(-0.005), points(0.0), points(1e-5)]
    ['96.7', '−0.5', '0.0', '0.001']
    """
    return number(100 * share) if share and not round(100 * share, 1) else decimals(100 * share, 1)


def unit(value: Quantity) -> str:
    """Return a quantity's unit as it is printed: none for a probability and a bare share.

    >>> [unit(Quantity(0.5, name, "m")) for name in ("share of images", "share", "p-value", "logits")]
    ['points', '', '', 'logits']
    """
    if value.unit == SHARE:
        return "points"
    return "" if value.unit in ("", "share", *_PROBABILITIES) else value.unit


def quantity(value: Quantity) -> str:
    """Return a quantity with unit and interval; a tiny p-value as an upper bound, as is usual.

    >>> quantity(Quantity(0.25, "share", "overlap"))
    '0.25'
    >>> quantity(Quantity(0.25, "share of images", "excess flips"))
    '25.0 points'
    >>> quantity(Quantity(6, "steps", "median steps"))
    '6 steps'
    >>> quantity(Quantity(3e-31, "p", "McNemar"))
    '< 0.0001'
    """
    if value.unit in _PROBABILITIES and value.value < _SMALLEST_P:
        return f"< {_SMALLEST_P:.4f}"
    written = points if value.unit == SHARE else number
    text = f"{written(value.value)} {unit(value)}".rstrip()
    if value.interval is None:
        return text
    bounds = value.interval
    span = f"[{written(bounds.low)}, {written(bounds.high)}]"
    return f"{text} {span} ({100 * bounds.confidence:g} %, {bounds.method})"


def gap(value: Quantity) -> str:
    """Return a difference of shares, as a criterion judges it: percentage points and interval.

    >>> from wolfhound.statistics import Interval
    >>> gap(Quantity(0.25, "share of images", "gap", Interval(0.1, 0.4, method="newcombe")))
    '25.0 points [10.0, 40.0]'
    """
    if value.interval is None:
        raise EvidenceError(f"expected a share with an interval, got none ({value.meaning})")
    return f"{points(value.value)} points [{points(value.interval.low)}, {points(value.interval.high)}]"


def threshold(criterion: Criterion, *, of_gap: bool = False) -> str:
    """Return a criterion's threshold in words; `of_gap` where it is held against a difference of shares.

    >>> threshold(Criterion("c", "t", "universal.fooling_rate", "*", "at most", 0.2, "2026-01-01"))
    'at most 20 %'
    """
    return f"{criterion.comparator} {100 * criterion.threshold:g} {'points' if of_gap else '%'}"


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


def tied(text: str) -> str:
    """Return the text with each number tied to its percent sign, so that no line begins with the sign.

    >>> tied("at most 20 %") == "at most 20\\N{NO-BREAK SPACE}%"
    True
    """
    return re.sub(r"(?<=\d) (?=%)", "\N{NO-BREAK SPACE}", text)


def gist(text: str) -> str:
    """Return the text up to its first colon, semicolon or bracket: enough for the first page.

    >>> gist("demonstration classifier, VGG-F family: 5 convolutions; 1/4 width")
    'demonstration classifier, VGG-F family'
    """
    return re.split(r"[:;(]", text, maxsplit=1)[0].strip() or text


def heading(text: str) -> str:
    """Return a key such as "source_paper" as a printed label: "Source paper". Ids inside words stay as they are.

    >>> heading("source_paper"), heading("gap by class, universal sgd_uap")
    ('Source paper', 'Gap by class, universal sgd_uap')
    """
    words = text.strip() if " " in text.strip() else text.replace("_", " ").strip()
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
