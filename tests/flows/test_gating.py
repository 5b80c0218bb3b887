"""Facts about gating on finished runs: export, compare, approve and history, on the smallest run folders."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner, Result

from flows.cli import app
from flows.comparing import earlier_run
from flows.exporting import export_run
from tests.flows.gated_runs import sealed_run, with_another_rate
from wolfhound.approval import approve, approved_run
from wolfhound.errors import EvidenceError, PlanError, VerificationError, WolfhoundError
from wolfhound.finished import read_finished
from wolfhound.statistics import Rate
from wolfhound.store import EvidenceStore
from wolfhound.verification import verify_run

FEW, MANY = "1" * 5 + "0" * 95, "1" * 60 + "0" * 40


def wolfhound(*arguments: str | Path, **environment: str) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    sealed_run(tmp_path / "runs" / "first", FEW)
    sealed_run(tmp_path / "runs" / "second", MANY, weights="e" * 64, finished="2026-04-02T09:21:33+00:00")
    return tmp_path / "runs"


def test_export_writes_every_format_and_leaves_the_run_as_it_was(runs: Path, tmp_path: Path) -> None:
    step = tmp_path / "step.md"
    step.write_text("an earlier step\n")
    formats = [part for name in ("json", "junit", "sarif", "metrics", "github", "gitlab") for part in ("-f", name)]
    done = wolfhound("export", runs / "second", "--to", tmp_path / "out", *formats, GITHUB_STEP_SUMMARY=str(step))
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "junit.xml", "metrics.json", "result.json", "results.sarif", "summary.md", "wolfhound.env",
    ]  # fmt: skip
    assert step.read_text() == "an earlier step\n" + (tmp_path / "out" / "summary.md").read_text()
    assert "::error file=plan.yaml,line=3,title=Wolfhound universal::Fooling (net): not met" in done.stdout
    assert all(check.ok is not False for check in verify_run(runs / "second"))


def test_export_can_exit_as_the_audit_did(runs: Path, tmp_path: Path) -> None:
    sealed_run(runs / "third", "1" * 50 + "0" * 50)
    codes = [wolfhound("export", runs / name, "--to", tmp_path / "out", "--exit-code").exit_code for name in
             ("first", "second", "third")]  # fmt: skip
    assert codes == [0, 1, 3]


def test_a_run_that_ended_inconclusive_has_all_its_files(runs: Path, tmp_path: Path) -> None:
    sealed_run(runs / "third", "1" * 50 + "0" * 50)
    export_run(runs / "third", tmp_path / "out", formats=["json", "junit"], plan_path="plan.yaml")
    assert json.loads((tmp_path / "out" / "result.json").read_text())["verdict"] == "inconclusive"
    root = ElementTree.parse(tmp_path / "out" / "junit.xml").getroot()
    assert (root.attrib["errors"], root.attrib["failures"]) == ("1", "0")


def test_nothing_is_exported_into_the_run_or_from_a_changed_one(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="sealed"):
        export_run(runs / "first", runs / "first" / "results", formats=["json"], plan_path="plan.yaml")
    (runs / "first" / "plan.yaml").write_bytes(b"another: plan\n")
    with pytest.raises(VerificationError, match=r"changed: plan\.yaml"):
        export_run(runs / "first", tmp_path / "out", formats=["json"], plan_path="plan.yaml")
    assert not (tmp_path / "out").exists()


def test_compare_says_which_rates_got_worse_and_on_which_weights(runs: Path) -> None:
    done = wolfhound("compare", runs / "first", runs / "second")
    assert done.exit_code == 1, done.output
    assert "net: other weights" in done.stdout
    assert "x worse" in done.stdout
    assert "0 images only before, 55 only now, of 100" in done.stdout
    assert wolfhound("compare", runs / "second", runs / "first").exit_code == 0
    assert wolfhound("compare", runs / "first", runs / "first").exit_code == 0


def test_compare_as_json_is_the_comparison(runs: Path) -> None:
    found = json.loads(wolfhound("compare", runs / "first", runs / "second", "--json").stdout)
    (row,) = found["changes"]
    assert (row["change"], row["only_before"], row["only_after"]) == ("worse", 0, 55)
    assert found["before"]["seal"] != found["after"]["seal"]


def test_a_ledger_that_does_not_give_the_stated_counts_is_not_compared(runs: Path) -> None:
    with_another_rate(runs / "second", Rate(4, 100, "held-out images"))
    done = wolfhound("compare", runs / "first", runs / "second")
    assert isinstance(done.exception, EvidenceError | VerificationError)


def test_the_approved_run_is_found_again_and_says_who_approved_it(runs: Path) -> None:
    done = wolfhound("approve", runs / "first", "--by", "R. Officer")
    assert done.exit_code == 0, done.output
    found, record = approved_run(runs / "approved.json", "audit")
    assert found.store.root.resolve() == (runs / "first").resolve()
    assert (record.approved_by, record.seal, record.verdict) == ("R. Officer", found.seal, "met")
    wolfhound("approve", runs / "second", "--by", "R. Officer")
    assert approved_run(runs / "approved.json", "audit")[1].run == "second"


def test_approvals_move_with_their_runs(runs: Path, tmp_path: Path) -> None:
    approve(runs / "first", runs / "approved.json", by="R. Officer", on="2026-05-01")
    runs.rename(tmp_path / "moved")
    assert approved_run(tmp_path / "moved" / "approved.json", "audit")[0].evidence.name == "audit"


def test_a_run_that_does_not_verify_is_not_approved(runs: Path) -> None:
    (runs / "first" / "run.json").unlink()
    with pytest.raises(WolfhoundError):
        approve(runs / "first", runs / "approved.json", by="R. Officer", on="2026-05-01")
    assert not (runs / "approved.json").exists()


def test_an_approval_names_a_person(runs: Path) -> None:
    with pytest.raises(PlanError, match="--by NAME"):
        approve(runs / "first", runs / "approved.json", by=" ", on="2026-05-01")


def test_an_approved_folder_that_holds_another_audit_is_refused(runs: Path) -> None:
    approve(runs / "first", runs / "approved.json", by="R. Officer", on="2026-05-01")
    sealed_run(runs / "first", MANY)
    with pytest.raises(VerificationError, match="another audit has been written"):
        approved_run(runs / "approved.json", "audit")


def test_an_approved_folder_that_was_sealed_anew_is_still_approved(runs: Path) -> None:
    approve(runs / "first", runs / "approved.json", by="R. Officer", on="2026-05-01")
    store = EvidenceStore(runs / "first")
    store.write("report.html", b"rendered again")
    store.seal()
    assert (
        approved_run(runs / "approved.json", "audit")[0].seal != approved_run(runs / "approved.json", "audit")[1].seal
    )


def test_a_plan_compares_with_a_named_or_the_approved_run_but_never_with_its_own_folder(runs: Path) -> None:
    named, approval = earlier_run("runs/first", folder=runs.parent, root=runs / "next", audit="audit")
    assert named.seal == read_finished(runs / "first").seal
    assert approval is None
    with pytest.raises(PlanError, match="wolfhound approve RUN"):
        earlier_run("approved", folder=runs.parent, root=runs / "next", audit="audit")
    approve(runs / "first", runs / "approved.json", by="R. Officer", on="2026-05-01")
    assert earlier_run("approved", folder=Path("/"), root=runs / "next", audit="audit")[0].seal == named.seal
    with pytest.raises(PlanError, match="--output FOLDER"):
        earlier_run("approved", folder=Path("/"), root=runs / "first", audit="audit")


def test_history_lists_every_run_the_oldest_first_also_the_unusable(runs: Path, tmp_path: Path) -> None:
    broken = sealed_run(runs / "broken", FEW)
    (broken / "evidence.json").write_bytes(b"{}")
    done = wolfhound("history", runs, "--svg", tmp_path / "h.svg", "--html", tmp_path / "h.html")
    assert done.exit_code == 0, done.output
    starts = [line.split()[:2] for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert starts == [["first", "met"], ["second", "not"], ["broken", "UNUSABLE"]]
    assert "universal.fooling_rate: 60.0 %" in done.stdout
    page = (tmp_path / "h.html").read_text()
    assert read_finished(runs / "second").seal in page
    assert "Unusable:" in page
    assert ElementTree.parse(tmp_path / "h.svg").getroot().tag.endswith("svg")


def test_the_plot_of_the_same_runs_is_the_same_bytes(runs: Path, tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        wolfhound("history", runs, "--svg", tmp_path / name)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_folder_without_runs_has_an_empty_history(tmp_path: Path) -> None:
    assert wolfhound("history", tmp_path, "--html", tmp_path / "h.html").stdout == "no runs\n"
    assert "No runs." in (tmp_path / "h.html").read_text()


def test_the_plot_has_a_chart_a_rate_and_the_date_of_its_runs(runs: Path, tmp_path: Path) -> None:
    wolfhound("history", runs, "--svg", tmp_path / "h.svg")
    text = (tmp_path / "h.svg").read_text()
    for part in ("audit: universal.fooling_rate", "2026-03-02", "2026-04-02"):
        assert f">{part}</text>" in text
