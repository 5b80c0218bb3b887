"""How a rate is counted from its per-image ledger, stated as data, so that anybody can count it again.

A finding stores one `Counted` for each of its rates. It survives as JSON and is evaluated by comparing cells, never by
running code: who has the ledger needs neither the network nor this project to get the same two whole numbers.
"""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from wolfhound.errors import EvidenceError

Operator = Literal["==", "!=", ">", "<="]
Ledger = Mapping[str, tuple[str, ...]]
"""Columns by name, one cell an image (or pair, or background), as the CSV has them: texts."""


@dataclass(frozen=True)
class Condition:
    """A comparison of a column with another column, or with a constant where `other` is empty.

    `==` and `!=` compare the cells as texts, exactly as the CSV has them; `>` and `<=` compare them as numbers.
    """

    column: str
    operator: Operator
    other: str = ""
    constant: str = ""

    @property
    def text(self) -> str:
        """The condition in words.

        >>> Condition("clean", "!=", other="noise").text, Condition("attack", "==").text
        ('clean != noise', "attack == ''")
        """
        return f"{self.column} {self.operator} {self.other or repr(self.constant)}"


Case = tuple[Condition, ...]
"""Conditions that hold together."""


@dataclass(frozen=True)
class Counted:
    """How the two counts of a rate come out of a ledger.

    Attributes:
        ledger: the name of the ledger among the finding's.
        successes: a counted row is a success if every condition of at least one of these cases holds.
        total: a row is counted if all of these hold; every row where there is none.
        skip: rows at the start of the ledger that are not counted (those made for pictures alone).
        unit: the column that says what a row is about.
    """

    ledger: str
    successes: tuple[Case, ...]
    total: Case = ()
    skip: int = 0
    unit: str = "image"

    @property
    def text(self) -> str:
        """The rule in words.

        >>> Counted("per image", ((Condition("clean", "==", other="label"),),)).text
        'clean == label, of every row'
        """
        cases = " or ".join(" and ".join(condition.text for condition in case) for case in self.successes)
        of = " and ".join(condition.text for condition in self.total) or "every row"
        return f"{cases}, of {of}" + (f", without the first {self.skip}" if self.skip else "")


def same(column: str, other: str) -> Condition:
    """The cells of two columns are equal."""
    return Condition(column, "==", other=other)


def differs(column: str, other: str) -> Condition:
    """The cells of two columns differ."""
    return Condition(column, "!=", other=other)


def holds(column: str, constant: object) -> Condition:
    """A cell is this constant, as the CSV writes it (`True`, `7`, an empty text)."""
    return Condition(column, "==", constant=str(constant))


def holds_not(column: str, constant: object) -> Condition:
    """A cell is anything but this constant."""
    return Condition(column, "!=", constant=str(constant))


def read_ledger(data: bytes) -> Ledger:
    """Return the columns of a ledger's CSV bytes.

    Raises:
        EvidenceError: not UTF-8, no header, a column twice, or rows of another length than the header.
    """
    try:
        rows = list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise EvidenceError(f"expected a ledger in UTF-8 CSV, but it cannot be read: {error}") from error
    header, *body = rows or [[]]
    if not header or len(set(header)) != len(header):
        raise EvidenceError(f"expected a ledger with distinct column names, got {header}")
    uneven = next((number for number, row in enumerate(body, start=2) if len(row) != len(header)), None)
    if uneven is not None:
        raise EvidenceError(f"expected {len(header)} cells in every row of the ledger, got another count in {uneven}")
    columns = zip(*body, strict=True) if body else ((),) * len(header)
    return dict(zip(header, columns, strict=True))


def outcomes(counted: Counted, ledger: Ledger) -> tuple[tuple[str, bool], ...]:
    """Return (unit, success) of every row that is counted, in the ledger's order.

    A unit may occur more than once (an image under every target), so this is no mapping.

    Raises:
        EvidenceError: the ledger lacks a column, or a cell that is compared as a number is none.
    """
    units = _column(ledger, counted.unit)[counted.skip :]
    total = _all_hold(counted.total, ledger, counted.skip)
    cases = [_all_hold(case, ledger, counted.skip) for case in counted.successes]
    return tuple(
        (unit, any(case[row] for case in cases)) for row, unit in enumerate(units) if total[row]
    )  # fmt: skip


def recount(counted: Counted, ledger: Ledger) -> tuple[int, int]:
    """Return successes and total, counted from the ledger.

    >>> ledger = read_ledger(b"image,label,clean,adversarial\\na,0,0,1\\nb,0,1,1\\n")
    >>> recount(Counted("l", ((differs("clean", "adversarial"),),), total=(same("clean", "label"),)), ledger)
    (1, 1)

    Raises:
        EvidenceError: the ledger lacks a column, or a cell that is compared as a number is none.
    """
    found = outcomes(counted, ledger)
    return sum(success for _, success in found), len(found)


def _all_hold(conditions: Case, ledger: Ledger, skip: int) -> list[bool]:
    rows = max(0, len(next(iter(ledger.values()), ())) - skip)
    kept = [True] * rows
    for condition in conditions:
        kept = [before and now for before, now in zip(kept, _holds(condition, ledger)[skip:], strict=True)]
    return kept


def _holds(condition: Condition, ledger: Ledger) -> list[bool]:
    left = _column(ledger, condition.column)
    right = _column(ledger, condition.other) if condition.other else (condition.constant,) * len(left)
    if condition.operator == "==":
        return [a == b for a, b in zip(left, right, strict=True)]
    if condition.operator == "!=":
        return [a != b for a, b in zip(left, right, strict=True)]
    numbers = [(_number(a, condition), _number(b, condition)) for a, b in zip(left, right, strict=True)]
    return [a > b if condition.operator == ">" else a <= b for a, b in numbers]


def _column(ledger: Ledger, name: str) -> tuple[str, ...]:
    if name not in ledger:
        raise EvidenceError(f"expected a column {name!r} in the ledger, got {', '.join(ledger)}")
    return ledger[name]


def _number(cell: str, condition: Condition) -> float:
    try:
        value = float(cell)
    except ValueError as error:
        raise EvidenceError(f"expected numbers to compare in {condition.text}, got {cell!r}") from error
    if math.isnan(value):
        raise EvidenceError(f"expected numbers to compare in {condition.text}, got {cell!r}")
    return value
