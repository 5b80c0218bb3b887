"""Tables of rates for print: shaded cells with interval and n, in blocks of columns that fit a page."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from reports import wording
from reports.data_files import Measure, ReferenceTable
from wolfhound.errors import EvidenceError
from wolfhound.evidence import Finding, RateTable
from wolfhound.statistics import Rate

COLUMNS_PER_BLOCK = 7
SHADES = 10
CONFUSIONS_SHOWN = 20


@dataclass(frozen=True)
class Cell:
    """One cell. `shade` is 0 (white, 0 %) to 10 (100 %); `lines` has the value, and interval and n where they exist."""

    lines: tuple[str, ...]
    shade: int
    marked: bool = False
    measured: bool = True


@dataclass(frozen=True)
class Row:
    """One row of cells. A control row is set apart from the results."""

    name: str
    cells: tuple[Cell, ...]
    control: bool = False


@dataclass(frozen=True)
class Block:
    """As many columns of a table as fit beside one another."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def shade(share: float) -> int:
    """Return the step of the grey scale for a share in [0, 1].

    >>> [shade(0.0), shade(0.049), shade(0.5), shade(1.0)]
    [0, 0, 5, 10]
    """
    return round(share * SHADES)


def blocks(table: RateTable) -> tuple[Block, ...]:
    """Return a table's blocks, results first and control rows last."""
    order = sorted(range(len(table.rows)), key=lambda index: table.rows[index] in table.control_rows)
    return tuple(_block(table, order, start, stop) for start, stop in spans(len(table.columns)))


def spans(columns: int) -> list[tuple[int, int]]:
    """Return where to cut a table into blocks of almost equal width, none wider than a page holds.

    >>> spans(9)
    [(0, 5), (5, 9)]
    """
    if not columns:
        return []
    count = -(-columns // COLUMNS_PER_BLOCK)
    edges = [-(-columns * part // count) for part in range(count + 1)]
    return list(pairwise(edges))


def _block(table: RateTable, order: Sequence[int], start: int, stop: int) -> Block:
    columns = table.columns[start:stop]
    rows = tuple(
        Row(
            table.rows[index],
            tuple(
                _cell(rate, marked=(table.rows[index], column) in table.marked)
                for column, rate in zip(columns, table.cells[index][start:stop], strict=True)
            ),
            table.rows[index] in table.control_rows,
        )
        for index in order
    )
    return Block(columns, rows)


def _cell(rate: Rate | None, *, marked: bool) -> Cell:
    if rate is None or not rate.measured:
        return Cell((wording.NOT_MEASURED,), 0, marked, measured=False)
    return Cell(wording.percent_parts(rate), shade(rate.share), marked)


def overview(findings: Sequence[Finding], measure: Callable[[str], Measure]) -> tuple[Block, ...]:
    """Return the rates that several findings share, one row a finding; nothing where there is nothing to compare.

    `measure` says how a rate of a name is printed.
    """
    if len(findings) < 2:
        return ()
    names = [name for name in findings[0].rates if all(name in finding.rates for finding in findings)]
    return tuple(_overview_block(findings, names[start:stop], measure) for start, stop in spans(len(names)))


def _overview_block(findings: Sequence[Finding], names: Sequence[str], measure: Callable[[str], Measure]) -> Block:
    rows = tuple(
        Row(finding.id.partition("/")[2], tuple(_cell(finding.rates[name], marked=False) for name in names))
        for finding in findings
    )
    return Block(tuple(measure(name).label for name in names), rows)


def reference_block(table: ReferenceTable) -> Block:
    """Return a published table of percentages; the diagonal is marked. It has no intervals, for none were published."""
    rows = tuple(
        Row(
            name,
            tuple(
                Cell((f"{value:.1f} %",), shade(value / 100), name == column)
                for column, value in zip(table.columns, values, strict=True)
            ),
        )
        for name, values in table.rows.items()
    )
    return Block(table.columns, rows)


def rate_table_csv(table: RateTable) -> bytes:
    """Return a table as CSV, one line a cell: its names, counts, share and interval. Unmeasured cells are empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("row", "column", "successes", "total", "denominator", "share", "low", "high", "control", "marked"))
    for name, cells in zip(table.rows, table.cells, strict=True):
        for column, rate in zip(table.columns, cells, strict=True):
            flags = (int(name in table.control_rows), int((name, column) in table.marked))
            writer.writerow((name, column, *_csv_values(rate), *flags))
    return stream.getvalue().encode()


def _csv_values(rate: Rate | None) -> tuple[object, ...]:
    if rate is None or not rate.measured:
        return ("", "", "" if rate is None else rate.denominator, "", "", "")
    bounds = rate.interval()
    return (rate.successes, rate.total, rate.denominator, rate.share, bounds.low, bounds.high)


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix of counts: `block` where it fits a page, else the most frequent confusions."""

    block: Block | None
    confusions: tuple[tuple[str, str, int], ...]
    baseline: Rate


def confusion(data: bytes, *, name: str) -> Confusion:
    """Return the confusion matrix of a CSV file: a header of predicted classes, then one line a true class.

    The baseline is the accuracy of always answering the most frequent class.

    Raises:
        EvidenceError: the CSV is no square table of counts with the same classes in the same order both ways.
    """
    lines = list(csv.reader(io.StringIO(data.decode("utf-8"))))
    if not lines or any(len(line) != len(lines[0]) for line in lines) or [r[0] for r in lines[1:]] != lines[0][1:]:
        raise EvidenceError(f"{name}: expected a square CSV, true classes down and predicted classes across")
    if not all(value.isascii() and value.isdigit() for line in lines[1:] for value in line[1:]):
        raise EvidenceError(f"{name}: expected whole counts in every cell")
    classes = lines[0][1:]
    counts = [[int(value) for value in line[1:]] for line in lines[1:]]
    sums = [sum(row) for row in counts]
    baseline = Rate(max(sums, default=0), sum(sums), "held-out images")
    pairs = [
        (classes[i], classes[j], count)
        for i, row in enumerate(counts)
        for j, count in enumerate(row)
        if i != j and count
    ]
    frequent = tuple(sorted(pairs, key=lambda pair: -pair[2])[:CONFUSIONS_SHOWN])
    return Confusion(_confusion_block(classes, counts) if len(classes) <= 12 else None, frequent, baseline)


def _confusion_block(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> Block:
    rows = tuple(
        Row(
            label,
            tuple(Cell((f"{count}",), shade(count / max(1, sum(row))), marked=i == j) for j, count in enumerate(row)),
        )
        for i, (label, row) in enumerate(zip(classes, counts, strict=True))
    )
    return Block(tuple(classes), rows)
