"""Facts about steps: done once, found again only while everything they depended on and produced is unchanged."""

from pathlib import Path

import pytest

from flows.steps import Step, StepValue, artefacts_in, noting_reuse, pack, unpack
from wolfhound.store import EvidenceStore


@pytest.fixture
def store(tmp_path: Path) -> EvidenceStore:
    return EvidenceStore(tmp_path / "run")


def counted(store: EvidenceStore, calls: list[int], **depends: object) -> StepValue:
    def work() -> StepValue:
        calls.append(1)
        return {"ledger": pack(store.put(b"a,b\n", ".csv")), "rows": [[1, 0.5]]}

    return Step(store, "table/net", depends).once(work)


def test_a_finished_step_is_not_done_again_and_says_so(store: EvidenceStore) -> None:
    calls: list[int] = []
    first = counted(store, calls, weights="w")
    with noting_reuse() as reused:
        assert counted(store, calls, weights="w") == first
    assert len(calls) == 1
    assert reused == {"table/net"}


def test_a_changed_dependency_does_it_again(store: EvidenceStore) -> None:
    calls: list[int] = []
    counted(store, calls, weights="w", seed=1)
    counted(store, calls, weights="other", seed=1)
    counted(store, calls, weights="w", seed=2)
    assert len(calls) == 3


def test_the_order_of_dependencies_is_no_change(store: EvidenceStore) -> None:
    assert Step(store, "s", {"a": 1, "b": 2}).key == Step(store, "s", {"b": 2, "a": 1}).key


@pytest.mark.parametrize("damage", ["deleted", "changed"])
def test_a_step_whose_artefact_is_lost_is_done_again(store: EvidenceStore, damage: str) -> None:
    calls: list[int] = []
    artefact = unpack(counted(store, calls)["ledger"])
    path = store.root / artefact.path
    path.unlink() if damage == "deleted" else path.write_bytes(b"x")
    counted(store, calls)
    assert len(calls) == 2
    assert store.get(artefact) == b"a,b\n"


def test_a_step_that_fails_leaves_no_record(store: EvidenceStore) -> None:
    def fail() -> StepValue:
        raise RuntimeError("power cut")

    step = Step(store, "s", {})
    with pytest.raises(RuntimeError):
        step.once(fail)
    assert step.finished() is None


def test_artefacts_are_found_however_deep_they_lie(store: EvidenceStore) -> None:
    first, second = store.put(b"1", ".a"), store.put(b"2", ".b")
    value = {"x": [{"y": pack(first)}], "z": pack(second), "n": 3, "artefact": "no artefact: the mapping has more keys"}
    assert artefacts_in(value) == [first, second]
