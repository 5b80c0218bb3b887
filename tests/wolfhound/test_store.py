"""Facts about the run folder: content addresses, atomic writes, steps, and sums that miss no byte."""

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wolfhound.errors import EvidenceError, VerificationError
from wolfhound.store import SUMS, EvidenceStore, sha256, write_atomically


@pytest.fixture
def store(tmp_path: Path) -> EvidenceStore:
    store = EvidenceStore(tmp_path / "run")
    store.put(b"a picture", ".png")
    store.put(b"a,ledger\n", ".csv")
    store.write("plan.yaml", b"wolfhound: 1\n")
    store.finish_step("craft/one two", "key", {"seed": 1})
    store.seal()
    return store


def test_an_artefact_is_found_by_its_digest_and_checked_when_read(store: EvidenceStore) -> None:
    artefact = store.put(b"bytes", ".bin")
    assert artefact.sha256 == sha256(b"bytes")
    assert store.get(artefact) == b"bytes"
    (store.root / artefact.path).write_bytes(b"other")
    assert not store.holds(artefact)
    with pytest.raises(VerificationError, match="was changed"):
        store.get(artefact)
    assert store.get(store.put(b"bytes", ".bin")) == b"bytes"  # storing again mends it
    (store.root / artefact.path).unlink()
    with pytest.raises(EvidenceError, match="missing"):
        store.get(artefact)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wolfhound.store.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_step_is_found_only_under_the_key_that_it_was_finished_with(store: EvidenceStore) -> None:
    assert store.step("craft/one two", "key") == {"seed": 1}
    assert store.step("craft/one two", "another") is None
    assert store.step("craft/one_two", "key") is None, "names that look alike as files are different steps"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"key": "key"}', b"\xff"])
def test_a_damaged_step_record_is_as_good_as_none(store: EvidenceStore, content: bytes) -> None:
    (file,) = (store.root / "steps").iterdir()
    file.write_bytes(content)
    assert store.step("craft/one two", "key") is None


def test_a_step_cannot_record_nan(store: EvidenceStore) -> None:
    with pytest.raises(ValueError, match="JSON"):
        store.finish_step("s", "k", {"value": float("nan")})


def test_a_sealed_folder_has_no_faults_and_coreutils_agrees(store: EvidenceStore) -> None:
    assert store.faults() == []
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", SUMS], cwd=store.root, check=True)


def test_missing_added_and_replaced_files_are_named(store: EvidenceStore, tmp_path: Path) -> None:
    (store.root / "plan.yaml").unlink()
    (store.root / "artefacts" / "extra").write_bytes(b"")
    (picture,) = store.root.glob("artefacts/*/*.png")
    target = tmp_path / "elsewhere.png"
    picture.rename(target)
    picture.symlink_to(target)
    faults = store.faults()
    assert "missing: plan.yaml" in faults
    assert "added: artefacts/extra" in faults
    assert any(fault.startswith("not a plain file: artefacts/") for fault in faults)


def test_an_artefact_swapped_together_with_its_sum_is_still_caught(store: EvidenceStore) -> None:
    (picture,) = store.root.glob("artefacts/*/*.png")
    picture.write_bytes(b"another picture")
    store.seal()
    assert any("its name is not the digest of its bytes" in fault for fault in store.faults())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_anywhere_is_a_fault(store: EvidenceStore, data: st.DataObject) -> None:
    names = [*store.files(), SUMS]
    path = store.root / data.draw(st.sampled_from(names))
    original = path.read_bytes()
    position = data.draw(st.integers(0, len(original) - 1))
    flipped = bytes([original[position] ^ data.draw(st.integers(1, 255))])
    changed = data.draw(
        st.sampled_from(
            [
                original[:position] + flipped + original[position + 1 :],
                original[:position] + original[position + 1 :],
                original[:position] + flipped + original[position:],
                original + flipped,
            ]
        )
    )
    try:
        path.write_bytes(changed)
        assert changed == original or store.faults()
    finally:
        path.write_bytes(original)
    assert store.faults() == []


def test_without_sums_nothing_passes(store: EvidenceStore) -> None:
    (store.root / SUMS).unlink()
    assert store.faults() == [f"{SUMS} is missing, so nothing can be checked"]


def test_evidence_of_an_unfinished_run_is_asked_for_in_plain_words(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="has not finished"):
        EvidenceStore(tmp_path).evidence()


def test_step_records_say_what_they_are(store: EvidenceStore) -> None:
    (file,) = (store.root / "steps").iterdir()
    assert json.loads(file.read_bytes()) == {"step": "craft/one two", "key": "key", "value": {"seed": 1}}
