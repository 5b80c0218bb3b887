"""Facts about the evidence document: it survives as JSON to the byte, and carries no number that is none."""

from dataclasses import replace

import pytest

from wolfhound.errors import EvidenceError
from wolfhound.evidence import Artefact, Evidence, Finding, Quantity, RateTable, dump_evidence, load_evidence
from wolfhound.statistics import Interval, Rate
from wolfhound.tables import percent_matrix, rate_frame

TABLE = RateTable(
    name="t",
    title="Fooling rates",
    row_label="computed on",
    column_label="evaluated on",
    rows=("a", "noise"),
    columns=("a", "b"),
    cells=((Rate(9, 10, "images"), Rate(0, 0, "images")), (Rate(1, 10, "images"), None)),
    marked=(("a", "a"),),
    control_rows=("noise",),
)
FINDING = Finding(
    id="universal/x/a",
    kind="universal",
    subject="a",
    title="ü <b>&",
    claim="c",
    knowledge="white-box",
    conditions={"z": "1", "a": "2"},
    rates={"fooling_rate": Rate(9, 10, "images")},
    quantities={"q": Quantity(0.1 + 0.2, "u", "m", Interval(0.1, 0.5, 0.95, "bootstrap"))},
    series={"s": ((1.0, 0.5),)},
    ledgers={"l": Artefact("0" * 64, ".csv", 3)},
    reproduce="wolfhound demo",
)
EVIDENCE = Evidence("n", "p", "0" * 64, 1, (), (), ("wolf",), (FINDING,), (), (), (TABLE,), (), ())


def test_a_document_read_back_is_equal_and_written_again_the_same_bytes() -> None:
    data = dump_evidence(EVIDENCE)
    again = load_evidence(data)
    assert again == EVIDENCE
    assert list(again.findings[0].conditions) == ["z", "a"], "printing order is kept"
    assert dump_evidence(again) == data


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_quantity_is_nan_or_infinite(value: float) -> None:
    with pytest.raises(EvidenceError, match="finite"):
        Quantity(value, "u", "m")


def test_a_series_with_nan_cannot_be_written() -> None:
    broken = replace(EVIDENCE, findings=(replace(FINDING, series={"s": ((1.0, float("nan")),)}),))
    with pytest.raises(EvidenceError, match="malformed"):
        dump_evidence(broken)


def test_another_schema_is_refused() -> None:
    data = dump_evidence(replace(EVIDENCE, schema="wolfhound-evidence/1")).replace(b"evidence/1", b"evidence/9")
    with pytest.raises(EvidenceError, match="schema"):
        load_evidence(data)


def test_impossible_counts_are_refused_on_reading() -> None:
    data = dump_evidence(EVIDENCE).replace(b'"successes": 9', b'"successes": 99')
    with pytest.raises(EvidenceError, match="successes"):
        load_evidence(data)


def test_a_missing_finding_is_named() -> None:
    with pytest.raises(EvidenceError, match="'clean/a'"):
        EVIDENCE.finding("clean/a")


def test_a_table_must_be_rectangular() -> None:
    with pytest.raises(EvidenceError, match="2 x 2"):
        replace(TABLE, cells=((None,), (None, None)))


def test_a_frame_has_a_row_a_cell_and_no_percent_where_nothing_was_measured() -> None:
    frame = rate_frame(TABLE)
    assert list(frame["computed_on"]) == ["a", "a", "noise", "noise"]
    assert frame["percent"].isna().tolist() == [False, True, False, True]
    assert frame.loc[0, "percent"] == 90.0
    bounds = Rate(9, 10, "images").interval()
    assert frame.loc[0, "low_95"] == pytest.approx(100 * bounds.low, abs=1e-4)
    assert frame["control"].tolist() == [False, False, True, True]
    assert percent_matrix(TABLE).loc["noise", "a"] == 10.0
