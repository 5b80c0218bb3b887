"""Rate tables as pandas DataFrames: long, with counts and intervals, so that nothing has to be parsed out of text."""

import pandas as pd

from wolfhound.evidence import RateTable


def rate_frame(table: RateTable) -> pd.DataFrame:
    """Return one row a cell: row, column, successes, total, percent, Wilson 95 % bounds in percent, denominator.

    A cell that was not measured has total 0 and no percent. `attrs` carries the table's name and title.
    """
    records = []
    for row, cells in zip(table.rows, table.cells, strict=True):
        for column, rate in zip(table.columns, cells, strict=True):
            measured = rate is not None and rate.measured
            bounds = rate.interval() if rate is not None and measured else None
            records.append(
                {
                    table.row_label.replace(" ", "_"): row,
                    table.column_label.replace(" ", "_"): column,
                    "successes": rate.successes if rate is not None else 0,
                    "total": rate.total if rate is not None else 0,
                    "percent": round(rate.percent, 4) if rate is not None and measured else None,
                    "low_95": round(100 * bounds.low, 4) if bounds else None,
                    "high_95": round(100 * bounds.high, 4) if bounds else None,
                    "denominator": rate.denominator if rate is not None else "not measured",
                    "control": row in table.control_rows,
                    "marked": (row, column) in table.marked,
                }
            )
    frame = pd.DataFrame.from_records(records)
    frame.attrs.update(name=table.name, title=table.title)
    return frame


def percent_matrix(table: RateTable) -> pd.DataFrame:
    """Return the table as a square of percents: rows computed on, columns evaluated on; NaN where not measured."""
    values = [[rate.percent if rate is not None and rate.measured else None for rate in row] for row in table.cells]
    return pd.DataFrame(
        values,
        index=pd.Index(table.rows, name=table.row_label),
        columns=pd.Index(table.columns, name=table.column_label),
        dtype=float,
    )
