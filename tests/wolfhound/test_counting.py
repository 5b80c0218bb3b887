"""Facts about counting rates from ledgers: as a loop over the rows would, exactly, and never by guessing."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from wolfhound.counting import Condition, Counted, differs, holds, holds_not, outcomes, read_ledger, recount, same
from wolfhound.errors import EvidenceError

LEDGER = read_ledger(b"image,label,clean,noise,margin\na,0,0,1,0.5\nb,1,1,1,-2\nc,1,0,0,0\nd,2,2,0,1e-3\n")
CELLS = st.sampled_from(["0", "1", "2", "", "True", "a,b", 'say "x"', "two\nlines"])


def rule(*successes: tuple[Condition, ...], total: tuple[Condition, ...] = (), skip: int = 0) -> Counted:
    return Counted("per image", successes, total, skip)


def test_images_outside_the_total_count_neither_as_success_nor_at_all() -> None:
    wrong_of_right = rule((differs("noise", "label"),), total=(same("clean", "label"),))
    assert recount(wrong_of_right, LEDGER) == (2, 3)
    assert outcomes(wrong_of_right, LEDGER) == (("a", True), ("b", False), ("d", True))


def test_conditions_of_a_case_hold_together_and_one_case_is_enough() -> None:
    both = rule((holds("label", 1), same("clean", "label")))
    either = rule((holds("label", 1),), (same("clean", "label"),))
    assert (recount(both, LEDGER), recount(either, LEDGER)) == ((1, 4), (4, 4))


def test_numbers_are_compared_as_numbers_and_zero_is_not_above_itself() -> None:
    above, at_most = (Condition("margin", operator, constant="0") for operator in (">", "<="))
    assert (recount(rule((above,)), LEDGER), recount(rule((at_most,)), LEDGER)) == ((2, 4), (2, 4))


def test_cells_are_equal_as_texts_alone() -> None:
    ledger = read_ledger(b"image,a\nx,1\ny,1.0\nz,True\n")
    assert recount(rule((holds("a", 1),)), ledger) == (1, 3)
    assert recount(rule((holds("a", True),)), ledger) == (1, 3)


def test_skipped_rows_are_not_counted_even_if_there_are_fewer() -> None:
    assert recount(rule((holds_not("label", ""),), skip=3), LEDGER) == (1, 1)
    assert recount(rule((holds_not("label", ""),), skip=9), LEDGER) == (0, 0)


def test_a_ledger_without_rows_counts_nothing() -> None:
    assert recount(rule((same("a", "image"),)), read_ledger(b"image,a\n")) == (0, 0)


def test_without_a_case_nothing_succeeds_and_an_empty_case_always_does() -> None:
    assert (recount(rule(), LEDGER), recount(rule(()), LEDGER)) == ((0, 4), (4, 4))


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "distinct column names"),
        (b"image,image\na,b\n", "distinct column names"),
        (b"image,a\nx,1\ny\n", "another count in 3"),
        (b"image,a\nx,\xff\n", "UTF-8"),
        (b'image,a\nx,"1\n', "cannot be read"),
    ],
)
def test_a_malformed_ledger_is_refused(data: bytes, fault: str) -> None:
    with pytest.raises(EvidenceError, match=fault):
        read_ledger(data)


@pytest.mark.parametrize("condition", [holds("gone", 1), same("label", "gone"), same("gone", "label")])
def test_a_missing_column_is_refused(condition: Condition) -> None:
    with pytest.raises(EvidenceError, match="column 'gone'"):
        recount(rule((condition,)), LEDGER)


@pytest.mark.parametrize("constant", ["", "nan", "much"])
def test_what_is_no_number_is_not_compared_as_one(constant: str) -> None:
    with pytest.raises(EvidenceError, match="expected numbers"):
        recount(rule((Condition("margin", ">", constant=constant),)), LEDGER)


def test_a_rule_survives_as_json() -> None:
    adapter = TypeAdapter(Counted)
    stated = rule((same("a", "b"), holds("c", "")), (Condition("m", ">", constant="0"),), total=(differs("a", "c"),))
    assert adapter.validate_json(adapter.dump_json(stated)) == stated


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=12), st.integers(0, 4))
def test_counts_are_those_of_a_loop_over_the_rows(rows: list[tuple[str, str, str]], skip: int) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("image", "a", "b"), *rows])
    counted = rule((same("a", "b"),), (holds("a", "True"), holds_not("b", "")), total=(holds_not("a", "2"),), skip=skip)
    successes = total = 0
    for _, a, b in rows[skip:]:
        if a != "2":
            total += 1
            if a == b or (a == "True" and b != ""):
                successes += 1
    assert recount(counted, read_ledger(text.getvalue().encode())) == (successes, total)
