"""Text that others wrote, made harmless for the format that it goes into."""

import string

from wolfhound.result import JudgedCriterion

_KEPT = {"\t", "\n", "\r"}
_HARMLESS = set(" ,;/='\"")


def legal(text: str) -> str:
    """Return the text with every sign that XML 1.0 forbids (section 2.2) written as its code, so nothing is lost.

    >>> legal("a\\x00b")
    'a\\\\x00b'
    """
    return "".join(sign if _legal(sign) else f"\\x{ord(sign):02x}" for sign in text)


def _legal(sign: str) -> bool:
    code = ord(sign)
    return sign in _KEPT or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000


def one_line(text: str) -> str:
    """Return the text on one line: control characters, separators of lines and direction marks are written as codes.

    >>> one_line("a\\nb")
    'a\\\\x0ab'
    """
    return "".join(sign if sign.isprintable() else _code(sign) for sign in text)


def _code(sign: str) -> str:
    return f"\\x{ord(sign):02x}" if ord(sign) < 0x100 else f"\\u{ord(sign):04x}"


def markdown(text: str) -> str:
    """Return the text for one cell of a Markdown table: every sign that could be markup is escaped.

    A backslash before ASCII punctuation makes it literal (CommonMark 0.31, section 2.4); `<` and `&` become entities
    all the same, for readers that look for HTML first.

    >>> print(markdown("a|b <i>"))
    a\\|b &lt;i\\>
    """
    entities = {"<": "&lt;", "&": "&amp;"}
    escaped = (
        entities.get(sign) or (f"\\{sign}" if sign in string.punctuation and sign not in _HARMLESS else sign)
        for sign in one_line(text)
    )
    return "".join(escaped)


def headline(row: JudgedCriterion) -> str:
    """Return one judgement in one line: what was asked of whom, and what was observed."""
    subject = "" if row.subject is None else f" ({row.subject})"
    return one_line(f"{row.text}{subject}: {row.verdict}, {observed(row)}, asked: {row.comparator} {threshold(row)}")


def observed(row: JudgedCriterion) -> str:
    """Return what was observed, as every report prints it."""
    rate = row.observed
    if _of_gap(row):
        return row.reason  # a gap between groups is no proportion of images; its reason begins with it
    if rate is None or rate.percent is None:
        return "not measured"
    return f"{rate.percent:.1f} % [{rate.low_95:.1f}, {rate.high_95:.1f}], n = {rate.total}"


def threshold(row: JudgedCriterion) -> str:
    """Return the threshold in percent, in points where it was held against a gap."""
    return f"{100 * row.threshold:g} {'points' if _of_gap(row) else '%'}"


def _of_gap(row: JudgedCriterion) -> bool:
    return row.observed is None and row.verdict != "not tested"


def details(row: JudgedCriterion) -> str:
    """Return everything behind a judgement, one fact a line."""
    facts = {
        "criterion": f"{row.criterion}: {row.rate} {row.comparator} {threshold(row)}, fixed on {row.fixed_on}",
        "observed": observed(row),
        "counted": ""
        if row.observed is None
        else f"{row.observed.successes} of {row.observed.total} {row.observed.denominator}",
        "reason": row.reason,
        "severity": row.severity,
        "finding": row.finding or "none",
        "clauses": "; ".join(row.clauses),
        "doubts": "; ".join(row.doubts),
    }
    return "\n".join(f"{name}: {one_line(text)}" for name, text in facts.items() if text)
