"""The statement says what the evidence says, its envelope is checked by openssl alone, and the bill fits its schema."""

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reports.attachments import artefacts, collect
from reports.provenance import bill, envelope, statement
from reports.provenance.check import folder_checks
from reports.render import PROVENANCE, render
from reports.signing.keys import load_key
from tests.reports.signing.authority import KINDS, PASSWORD, Authority
from wolfhound.store import EvidenceStore, file_sha256
from wolfhound.verdicts import overall


@pytest.fixture(scope="module")
def stated(small_store: EvidenceStore) -> dict[str, Any]:
    files = collect(small_store, small_store.evidence())
    content: dict[str, Any] = json.loads(files[statement.NAME].data)
    return content


def test_every_artefact_and_document_is_a_subject_with_its_digest(
    stated: dict[str, Any], small_store: EvidenceStore
) -> None:
    digests = {entry["name"]: entry["digest"]["sha256"] for entry in stated["subject"]}
    referred = {artefact.path: artefact.sha256 for artefact in artefacts(small_store.evidence())}
    assert referred
    assert referred.items() <= digests.items()
    assert digests["evidence.json"] == file_sha256(small_store.root / "evidence.json")
    assert stated["_type"] == "https://in-toto.io/Statement/v1"


def test_every_judgement_is_attested_with_threshold_counts_and_interval(
    stated: dict[str, Any], small_store: EvidenceStore
) -> None:
    evidence, predicate = small_store.evidence(), stated["predicate"]
    assert predicate["verdict"] == overall(evidence.judgements)
    assert len(predicate["judgements"]) == len(evidence.judgements)
    for row, judgement in zip(predicate["judgements"], evidence.judgements, strict=True):
        assert (row["criterion"], row["verdict"]) == (judgement.criterion, judgement.verdict)
        if judgement.observed is not None and judgement.observed.measured:
            bounds = judgement.observed.interval()
            assert row["observed"]["n"] == judgement.observed.total
            assert row["observed"]["interval"]["low"] == bounds.low
            assert row["observed"]["share"] == judgement.observed.share


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
@pytest.mark.parametrize("kind", list(KINDS))
def test_the_printed_commands_check_an_envelope_with_openssl_alone(
    kind: str, authority_of_all: Authority, tmp_path: Path
) -> None:
    key = load_key(authority_of_all.leaf("Ada", kind=kind).container(tmp_path), password=PASSWORD)
    payload = '{\n "named": "wölfe \\"und\\" mehr"\n}\n'.encode()
    (tmp_path / envelope.NAME).write_bytes(envelope.envelope_bytes(payload, key))
    script = "set -e\n" + "\n".join(envelope.openssl_commands(key.algorithm))
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Verified OK" in done.stdout or "Verified Successfully" in done.stdout
    assert (tmp_path / "statement.json").read_bytes() == payload
    changed = json.loads((tmp_path / envelope.NAME).read_text())
    changed["payload"] = changed["payload"][:-8] + "AAAAAA=="
    (tmp_path / envelope.NAME).write_text(json.dumps(changed, indent=1))
    assert subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, check=False).returncode != 0


@pytest.fixture(scope="module")
def authority_of_all() -> Authority:
    return Authority()


@pytest.mark.parametrize("kind", list(KINDS))
def test_an_envelope_opens_to_its_payload_and_a_changed_one_is_not_valid(
    kind: str, authority_of_all: Authority, tmp_path: Path
) -> None:
    key = load_key(authority_of_all.leaf("Ada", kind=kind).container(tmp_path), password=PASSWORD)
    opened = envelope.open_envelope(envelope.envelope_bytes(b"{}", key))
    assert (opened.payload, opened.valid, opened.fingerprint) == (b"{}", True, key.fingerprint)
    forged = json.loads(envelope.envelope_bytes(b"{}", key))
    forged["payload"] = "W10="
    assert not envelope.open_envelope(json.dumps(forged).encode()).valid


@pytest.mark.parametrize("data", [b"", b"[]", b'{"signatures": []}', b'{"payload": 1}'])
def test_what_is_no_envelope_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(ValueError, match="expected a DSSE envelope"):
        envelope.open_envelope(data)


def test_a_changed_a_missing_and_an_outside_file_are_named(small_store: EvidenceStore, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_store.root, tmp_path / "run"))
    render(EvidenceStore(folder))
    assert [check.ok for check in folder_checks(folder)] == [True]
    victim = folder / artefacts(small_store.evidence())[0].path
    victim.write_bytes(b"other")
    assert f"{victim.name} (changed)" in folder_checks(folder)[0].detail
    victim.unlink()
    assert f"{victim.name} (missing)" in folder_checks(folder)[0].detail
    outside = {"subject": [{"name": "../secret", "digest": {"sha256": "0"}}]}
    (folder / statement.NAME).write_text(json.dumps(outside))
    assert "outside the run folder" in folder_checks(folder)[0].detail


def test_rendering_without_a_key_takes_an_earlier_envelope_away(small_store: EvidenceStore, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_store.root, tmp_path / "run"))
    (folder / envelope.NAME).write_bytes(b"stale")
    render(EvidenceStore(folder))
    assert [name for name in PROVENANCE if (folder / name).is_file()] == [statement.NAME, bill.NAME]


def test_the_bill_lists_classifiers_images_and_software_and_repeats_itself(small_store: EvidenceStore) -> None:
    evidence, run = small_store.evidence(), small_store.run_record()
    data = bill.bill_bytes(evidence, run, evidence_sha256="0" * 64)
    assert data == bill.bill_bytes(evidence, run, evidence_sha256="0" * 64)
    listed = json.loads(data)
    kinds = [component["type"] for component in listed["components"]]
    assert kinds.count("machine-learning-model") == len(evidence.subjects)
    assert kinds.count("data") == len(evidence.images)
    other = json.loads(bill.bill_bytes(replace(evidence, seed=1), run, evidence_sha256="1" * 64))
    assert other["serialNumber"] != listed["serialNumber"]


@pytest.mark.peers
def test_the_bill_fits_cyclonedx_s_own_schema(small_store: EvidenceStore) -> None:
    validation = pytest.importorskip("cyclonedx.validation.json", reason="cyclonedx-python-lib is not installed")
    schema = pytest.importorskip("cyclonedx.schema")
    data = bill.bill_bytes(small_store.evidence(), small_store.run_record(), evidence_sha256="0" * 64)
    assert validation.JsonStrictValidator(schema.SchemaVersion.V1_6).validate_str(data.decode()) is None
