"""One tree of errors, and messages that list faults."""

import inspect

import pytest

from wolfhound import errors
from wolfhound.errors import WolfhoundError, fault_list


def tree() -> list[type[Exception]]:
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
    return [kind for kind in kinds if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", tree())
def test_one_except_catches_every_error_and_the_message_is_kept(kind: type[Exception]) -> None:
    with pytest.raises(WolfhoundError, match="expected 1, got 2"):
        raise kind("expected 1, got 2")


def test_the_tree_is_the_one_that_callers_tell_apart() -> None:
    names = {"PlanError", "DataError", "ModelError", "EvidenceError", "VerificationError"}
    assert names <= {kind.__name__ for kind in tree()}


def test_the_errors_are_siblings_so_that_none_is_caught_as_another() -> None:
    leaves = [kind for kind in tree() if kind is not WolfhoundError]
    for kind in leaves:
        assert [other for other in leaves if other is not kind and issubclass(kind, other)] == []


def test_every_fault_stands_on_a_line_of_its_own_in_the_given_order() -> None:
    assert fault_list("two:", iter(["b", "a"])) == "two:\n  - b\n  - a"


def test_no_fault_leaves_the_headline_alone() -> None:
    assert fault_list("none", []) == "none"


@pytest.mark.parametrize(
    ("count", "lines", "last"), [(3, 4, "  - 2"), (4, 5, "  - … and 1 more"), (9, 5, "  - … and 6 more")]
)
def test_more_faults_than_are_shown_end_in_a_true_count(count: int, lines: int, last: str) -> None:
    shown = fault_list("faults:", map(str, range(count)), most=3).splitlines()
    assert (len(shown), shown[-1]) == (lines, last)
