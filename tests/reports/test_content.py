"""What the pages are filled with: worst first, nothing hidden, and no more claimed than was measured."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from reports import data_files, matrix, wording
from reports.attachments import artefacts, collect
from reports.charts import line_chart, strip
from reports.crosswalk import clauses_by_section, map_clauses
from reports.register import control_checks, register, unjudged
from reports.render import RenderedReport
from reports.sections import sections, shared_conditions
from reports.verdict_page import CRITERIA_SHOWN, verdict_page, worst_judgement
from tests.reports import sample
from wolfhound.errors import EvidenceError
from wolfhound.evidence import Criterion, Evidence, Judgement, Quantity, RateTable
from wolfhound.statistics import Rate
from wolfhound.store import EvidenceStore
from wolfhound.verdicts import SEVERITIES, overall, residual_risk


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Evidence with every section full."""
    return sample.full_run(tmp_path_factory.mktemp("full")).evidence()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Evidence of an audit that tested next to nothing."""
    return sample.bare_run(tmp_path_factory.mktemp("bare")).evidence()


def test_the_sample_has_every_verdict_and_almost_every_severity(full: Evidence) -> None:
    assert {judgement.verdict for judgement in full.judgements} == {"met", "not met", "inconclusive", "not tested"}
    assert {judgement.severity for judgement in full.judgements} >= {"critical", "high", "medium", "info"}


def test_the_first_page_counts_every_judgement_and_shows_each_criterion(full: Evidence) -> None:
    page = verdict_page(full)
    assert page.verdict == overall(full.judgements) == "not met"
    assert sum(count for _, count in page.judged) == len(full.judgements)
    assert [row.criterion for row in page.criteria] == list(full.criteria)
    for row in page.criteria:
        of_it = [judgement for judgement in full.judgements if judgement.criterion == row.criterion.id]
        assert sum(count for _, count in row.judged) == len(of_it)
        assert row.verdict == overall(of_it)


def test_the_worst_observation_of_a_criterion_is_the_one_furthest_beyond_its_threshold(full: Evidence) -> None:
    by_id = {row.criterion.id: row for row in verdict_page(full).criteria}
    universal = [j.observed for j in full.judgements if j.criterion == "universal" and j.observed is not None]
    assert by_id["universal"].observed == max(universal, key=lambda rate: rate.share)
    unsure = [j for j in full.judgements if j.criterion == "accuracy" and j.verdict == "inconclusive"]
    worst = min((j.observed for j in unsure if j.observed is not None), key=lambda rate: rate.share)
    assert by_id["accuracy"].observed == worst


def test_criteria_without_room_are_no_worse_than_those_shown(full: Evidence) -> None:
    many = tuple(replace(c, id=f"{c.id}-{n}") for n in range(3) for c in full.criteria)
    page = verdict_page(sample.judged(replace(full, criteria=many)))
    assert len(page.criteria) == CRITERIA_SHOWN
    assert len(page.unlisted) == len(many) - CRITERIA_SHOWN
    order = ["not met", "inconclusive", "not tested", "met"]
    shown = max(order.index(row.verdict) for row in page.criteria)
    assert shown <= min(order.index(row.verdict) for row in page.unlisted)


def test_a_criterion_that_nothing_judged_is_not_tested(full: Evidence) -> None:
    page = verdict_page(replace(full, judgements=()))
    assert {row.verdict for row in page.criteria} == {"not tested"}
    assert page.verdict == "not tested"
    assert page.worst is None


def test_the_worst_finding_has_the_highest_severity(full: Evidence) -> None:
    worst = worst_judgement(full)
    assert worst is not None
    assert worst.severity == "critical"
    same = [j.observed.share for j in full.judgements if j.severity == "critical" and j.observed is not None]
    assert worst.observed is not None
    assert worst.observed.share == max(same)


def test_the_register_has_every_judgement_once_by_falling_severity(full: Evidence) -> None:
    entries = register(full)
    assert sorted(map(id, (entry.judgement for entry in entries))) == sorted(map(id, full.judgements))
    ranks = [SEVERITIES.index(entry.judgement.severity) for entry in entries]
    assert ranks == sorted(ranks)
    judged = {entry.finding.id for entry in entries if entry.finding is not None}
    assert judged | {finding.id for finding in unjudged(full)} == {finding.id for finding in full.findings}


def test_a_judgement_of_an_unknown_criterion_fails(full: Evidence) -> None:
    stray = Judgement("no such criterion", "met", "a")
    with pytest.raises(EvidenceError, match="no such criterion"):
        register(replace(full, judgements=(stray,)))


def test_each_control_stands_beside_the_rate_it_controls(full: Evidence) -> None:
    pairs = {(check.finding.kind, check.control): check.result for check in control_checks(full)}
    assert pairs == {
        ("universal", "noise_control"): "fooling_rate",
        ("transfer", "noise_control"): "worst_transfer",
        ("bias", "flip_rate_placebo"): "flip_rate_other_background",
        ("inside", "pointing_game random"): "pointing_game gradcam",
    }
    standing = {check.finding.id: check.standing for check in control_checks(full)}
    assert standing["bias/confounded"] == "above the control"
    assert standing["bias/balanced"] == "not told apart from the control"


def test_every_finding_is_printed_in_exactly_one_section(full: Evidence) -> None:
    printed = [finding.id for section in sections(full) for finding in section.findings]
    assert sorted(printed) == sorted(finding.id for finding in full.findings)


def test_sections_without_a_finding_are_not_tested(full: Evidence, bare: Evidence) -> None:
    assert {section.anchor for section in sections(full) if not section.tested} == {"robust", "natural"}
    untested = {section.anchor for section in sections(bare) if not section.tested}
    assert untested == {"clean", "table", "universal", "robust", "targeted", "natural", "bias", "inside"}


def test_shared_conditions_are_those_of_every_finding(full: Evidence) -> None:
    findings = [finding for finding in full.findings if finding.kind == "universal"]
    shared = shared_conditions(findings)
    assert "norm and epsilon" in shared
    assert "attack" not in shared
    assert shared_conditions(findings[:1]) == {}


def test_evidence_is_absent_partial_or_sufficient_by_what_the_run_holds(full: Evidence, bare: Evidence) -> None:
    crosswalk = data_files.crosswalk()
    standing = {entry.clause.clause: entry.standing for entry in map_clauses(crosswalk, full)}
    assert standing["art. 15(1), 15(3)"] == "sufficient"
    assert standing["art. 15(5)"] == "partial"
    assert standing["art. 15(4)"] == "absent"
    assert standing["NISTAML.021, .023, .024"] == "absent"
    assert {e.standing for e in map_clauses(crosswalk, bare) if "clean" in e.clause.needs} <= {"absent", "partial"}


def test_thresholds_without_a_date_are_only_partial_evidence_that_they_were_fixed_before(full: Evidence) -> None:
    def standing(fixed_on: str) -> str:
        evidence = replace(full, criteria=tuple(replace(c, fixed_on=fixed_on) for c in full.criteria))
        mapped = {entry.clause.clause: entry.standing for entry in map_clauses(data_files.crosswalk(), evidence)}
        return mapped["art. 9(6), 9(8)"]

    assert standing("2026-02-20") == "sufficient"
    assert standing("no date stated in the plan") == standing("") == "partial"


def test_a_doubted_finding_is_never_sufficient_evidence(full: Evidence) -> None:
    doubt = sample.Doubt("d", "because")
    findings = tuple(replace(f, doubts=(doubt,)) if f.kind == "clean" else f for f in full.findings)
    mapped = map_clauses(data_files.crosswalk(), replace(full, findings=findings))
    assert {entry.standing for entry in mapped if "clean" in entry.clause.needs} == {"partial"}


def test_the_crosswalk_names_only_sections_of_the_outline_and_flags_both_amendments(full: Evidence) -> None:
    anchors = {section.anchor for section in sections(full)}
    assert set(clauses_by_section(data_files.crosswalk())) <= anchors
    flagged = " ".join(data_files.crosswalk().to_be_verified)
    assert "2026/1744" in flagged
    assert "SR 26-2" in flagged
    assert "to be verified" in flagged


def test_the_reference_table_has_the_published_diagonal() -> None:
    block = matrix.reference_block(data_files.reference_2017())
    diagonal = [cell.lines[0] for row in block.rows for cell in row.cells if cell.marked]
    assert diagonal == ["93.7 %", "93.3 %", "78.9 %", "78.3 %", "77.8 %", "84.0 %"]


def test_a_wide_table_is_cut_into_blocks_that_hold_every_cell_once() -> None:
    names = tuple(f"c{n}" for n in range(17))
    cells = (tuple(Rate(n, 17, "images") for n in range(17)), (None,) * 17)
    table = RateTable("t", "T", "r", "c", ("noise", "own"), names, cells, control_rows=("noise",))
    blocks = matrix.blocks(table)
    assert [column for block in blocks for column in block.columns] == list(names)
    assert [row.name for row in blocks[0].rows] == ["own", "noise"]
    assert [cell.lines[0] for block in blocks for cell in block.rows[0].cells] == ["not measured"] * 17
    expected = [wording.percent_parts(Rate(n, 17, "images")) for n in range(17)]
    assert [cell.lines for block in blocks for cell in block.rows[1].cells] == expected


def test_the_lines_of_a_cell_are_the_rates_own_text() -> None:
    for successes in range(0, 201, 7):
        rate = Rate(successes, 200, "images")
        percent, interval, n = wording.percent_parts(rate)
        assert f"{percent} {interval}, {n}" == rate.text


def test_a_rate_table_becomes_csv_that_counts_can_be_read_from() -> None:
    table = RateTable("t", "T", "r", "c", ("a",), ("b", "c"), ((Rate(1, 4, "images"), None),), marked=(("a", "b"),))
    header, first, second = matrix.rate_table_csv(table).decode().splitlines()
    values = dict(zip(header.split(","), first.split(","), strict=True))
    assert (values["successes"], values["total"], values["share"], values["marked"]) == ("1", "4", "0.25", "1")
    assert second == "a,c,,,,,,,0,0"


def test_a_confusion_matrix_gives_the_trivial_baseline_and_the_frequent_confusions() -> None:
    confusion = matrix.confusion(b"true,a,b\na,5,1\nb,3,1\n", name="x")
    assert confusion.baseline == Rate(6, 10, "held-out images")
    assert confusion.confusions == (("b", "a", 3), ("a", "b", 1))
    assert confusion.block is not None
    assert [cell.lines[0] for cell in confusion.block.rows[0].cells] == ["5", "1"]


@pytest.mark.parametrize("data", [b"", b"t,a,b\na,1,2\n", b"t,a\nb,1\n", b"t,a\na,-1\n", b"t,a\na,1.5\n", b"t,a\na,\n"])
def test_a_malformed_confusion_matrix_fails(data: bytes) -> None:
    with pytest.raises(EvidenceError, match="x: expected"):
        matrix.confusion(data, name="x")


def test_a_chart_has_its_words_as_text_and_the_same_bytes_each_time() -> None:
    points = ((1.0, 0.2), (2.0, 0.7))
    first = line_chart(points, x_label="pass", y_label="fooling rate")
    line_chart.cache_clear()
    assert line_chart(points, x_label="pass", y_label="fooling rate") == first
    assert b">pass</text>" in first
    assert b"DejaVu" not in first
    assert b"<dc:date>" not in first


def test_a_chart_without_points_fails() -> None:
    with pytest.raises(EvidenceError, match="expected points"):
        line_chart((), x_label="pass", y_label="fooling rate")


def test_the_band_of_the_scale_is_where_the_criterion_is_met() -> None:
    rate = Rate(30, 100, "images")
    most = Criterion("c", "t", "universal.fooling_rate", "*", "at most", 0.4, "2026-01-01")
    assert b"M0.0 1h80.0v10" in strip(rate, most)
    assert b"M80.0 1h120.0v10" in strip(rate, replace(most, comparator="at least"))


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_missing_value_is_refused(value: float | None) -> None:
    with pytest.raises(EvidenceError, match="expected"):
        wording.refuse_missing(value)


def test_an_unmeasured_rate_says_so() -> None:
    assert wording.rate(None) == wording.rate(Rate(0, 0, "images")) == "not measured"


def test_a_quantity_prints_its_interval_with_confidence_and_method() -> None:
    interval = sample.Interval(0.1, 0.3, 0.95, "bootstrap")
    assert wording.quantity(Quantity(0.2, "share", "x", interval)) == "0.2 [0.1, 0.3] (95 %, bootstrap)"


def test_a_difference_of_shares_is_printed_in_points_whoever_judges_it() -> None:
    gap = Quantity(-0.9667, "share of images", "x", sample.Interval(-1.0, 0.00001, 0.95, "newcombe"))
    assert wording.quantity(gap) == "−96.7 points [−100.0, 0.001] (95 %, newcombe)"
    assert wording.gap(gap) == "−96.7 points [−100.0, 0.001]"
    assert wording.threshold(sample.CRITERIA[1], of_gap=True) == "at most 58 points"


@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-01T00:00:00"])
def test_a_time_without_zone_or_sense_fails(text: str) -> None:
    with pytest.raises(EvidenceError, match="expected"):
        wording.moment(text)


def test_attachments_are_in_the_order_of_their_names_with_all_artefacts_in_the_manifest(tmp_path: Path) -> None:
    store = sample.small_run(tmp_path)
    evidence = store.evidence()
    attached = collect(store, evidence)
    assert [file.name for file in attached.files] == sorted(file.name for file in attached.files)
    manifest = attached["manifest.json"].data.decode()
    assert all(artefact.sha256 in manifest for artefact in artefacts(evidence))
    stored = {path.relative_to(tmp_path).as_posix() for path in (tmp_path / "artefacts").rglob("*") if path.is_file()}
    assert {artefact.path for artefact in artefacts(evidence)} <= stored
    assert attached.left_out == ()


def test_ledgers_too_large_for_a_pdf_are_named_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store: EvidenceStore = sample.small_run(tmp_path)
    monkeypatch.setattr("reports.attachments.LEDGER_BYTES", 10_000)
    attached = collect(store, store.evidence())
    ledgers = [ledger for finding in store.evidence().findings for ledger in finding.ledgers.values()]
    kept = [file for file in attached.files if file.name.startswith("ledger-")]
    assert 0 < len(kept) < len(ledgers)
    assert len(kept) + len(attached.left_out) == len(ledgers)


def test_two_findings_never_share_an_anchor() -> None:
    assert wording.anchor("bias/a b") != wording.anchor("bias/a-b") != wording.anchor("bias/a/b")


def test_every_row_of_the_register_has_a_residual_risk_and_the_plans_owner(full: Evidence) -> None:
    for entry in register(full):
        assert entry.residual_risk == residual_risk(entry.judgement.verdict, entry.judgement.severity)
        assert entry.owner == "A. Tester"
    assert {entry.owner for entry in register(replace(full, responsible=" "))} == {"not stated"}


def test_the_register_prints_every_column_of_every_judgement(
    small_report: RenderedReport, small_store: EvidenceStore
) -> None:
    page = small_report.html.read_text(encoding="utf-8")
    printed = page[page.index('<section id="register"') : page.index('<section id="clean"')]
    entries = register(small_store.evidence())
    assert entries
    for label in ("Id", "Evidence", "Command", "Residual risk", "Owner"):
        assert printed.count(f"<i>{label}:</i>") == len(entries)
    for entry in entries:
        if entry.finding is not None:
            assert f"<i>Id:</i> {entry.judgement.criterion}, {entry.finding.id}" in printed
            assert f"<code>{entry.finding.reproduce}</code>" in printed
        assert f"<i>Residual risk:</i> {entry.residual_risk}" in printed
    assert not re.search(r"\S·", printed)
