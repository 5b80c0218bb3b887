"""Facts about result.json: it says what the evidence says, and it keeps to its published schema."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from tests.reports import sample
from tests.wolfhound.audits import measured
from wolfhound.comparison import compare_audits
from wolfhound.errors import EvidenceError, VerificationError
from wolfhound.finished import FinishedRun, read_finished
from wolfhound.result import dump_result, load_result, metrics, result_schema
from wolfhound.store import file_sha256

PUBLISHED = Path(__file__).parent.parent.parent / "docs" / "pipelines" / "result.schema.json"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    store = sample.small_run(tmp_path_factory.mktemp("sealed") / "run")
    store.seal()
    return read_finished(store.root)


def test_every_judgement_of_the_evidence_is_in_the_result(finished: FinishedRun) -> None:
    result, evidence = finished.result, finished.evidence
    assert [(j.criterion, j.finding, j.verdict, j.severity) for j in result.judgements] == [
        (j.criterion, j.finding, j.verdict, j.severity) for j in evidence.judgements
    ]
    assert len({row.id for row in result.judgements}) == len(result.judgements)
    assert (result.verdict, result.exit_code) == ("not met", 1)
    assert result.evidence_sha256 == file_sha256(finished.store.root / "evidence.json")


def test_every_rate_has_its_counts_and_its_wilson_interval(finished: FinishedRun) -> None:
    for found, stored in zip(finished.result.findings, finished.evidence.findings, strict=True):
        for name, rate in stored.rates.items():
            shown = found.rates[name]
            assert (shown.successes, shown.total) == (rate.successes, rate.total)
            if rate.measured:
                assert shown.low_95 == 100 * rate.interval().low
            else:
                assert shown.percent is None


def test_an_audit_without_findings_has_a_result_that_gates(tmp_path: Path) -> None:
    store = sample.bare_run(tmp_path / "run")
    store.seal()
    result = read_finished(store.root).result
    assert (result.verdict, result.exit_code) == ("not tested", 3)
    assert result.judgements[0].observed is None


def test_a_result_survives_as_json_also_with_a_comparison(finished: FinishedRun) -> None:
    result = replace(finished.result, since_last_audit=compare_audits(measured("0" * 9), measured("1" * 9)))
    assert load_result(dump_result(result)) == result
    with pytest.raises(EvidenceError, match="wolfhound-result/1"):
        load_result(b'{"schema": "another"}')


def test_the_published_schema_is_the_one_that_export_prints() -> None:
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == result_schema()


def test_the_schema_names_every_key_and_admits_no_other(finished: FinishedRun) -> None:
    schema = result_schema()
    document = json.loads(dump_result(finished.result))
    assert set(schema["properties"]) == set(document)
    for name, part in schema["$defs"].items():
        # Only those two are shared with the evidence, whose own reader is strict.
        assert part["additionalProperties"] is False or name in ("Rate",), name


@pytest.mark.peers
def test_results_are_valid_by_their_schema(finished: FinishedRun) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(result_schema())
    compared = replace(finished.result, since_last_audit=compare_audits(measured("0" * 9), measured("1" * 9)))
    for result in (finished.result, compared):
        validator.validate(json.loads(dump_result(result)))
    wrong = {**json.loads(dump_result(finished.result)), "verdict": "compliant"}
    assert not validator.is_valid(wrong)


def test_metrics_are_shares_by_finding_and_rate(finished: FinishedRun) -> None:
    shares: Mapping[str, Mapping[str, float]] = json.loads(metrics(finished.result))
    assert shares["clean/vgg_f"]["accuracy"] == pytest.approx(0.91)
    assert "targeted_change" not in shares["targeted/vgg_f"]  # 0 of 0 is no share


def test_nothing_is_read_from_a_folder_that_does_not_verify(tmp_path: Path) -> None:
    store = sample.bare_run(tmp_path / "run")
    with pytest.raises(VerificationError, match="SHA256SUMS is missing"):
        read_finished(store.root)
    store.seal()
    (store.root / "run.json").write_bytes((store.root / "run.json").read_bytes() + b" ")
    with pytest.raises(VerificationError, match=r"changed: run\.json"):
        read_finished(store.root)
