"""Sealed run folders with one finding and a real ledger: as small as a run can be."""

from dataclasses import replace
from pathlib import Path

from tests.wolfhound.audits import finding, outcomes, side
from wolfhound.counting import Counted, differs
from wolfhound.evidence import Criterion, RunRecord
from wolfhound.finished import COMPARISON_NAME
from wolfhound.statistics import Rate
from wolfhound.store import EvidenceStore, sha256
from wolfhound.verdicts import judge_criterion

PLAN = b"name: audit\ncriteria:\n  - id: universal\n"
CRITERION = Criterion(
    "universal", "Fooling", "universal.fooling_rate", "*", "at most", 0.5, "2026-02-20", ("AI Act 15(5)",)
)


def sealed_run(
    root: Path,
    fooled: str,
    *,
    weights: str = "a" * 64,
    finished: str = "2026-03-02T09:21:33+00:00",
    comparison: bytes | None = None,
) -> Path:
    """Write a run whose perturbation fooled the images marked "1", and return its folder."""
    store = EvidenceStore(root)
    rows = [f"{image},0,0,{int(hit)}" for image, hit in outcomes(fooled).items()]
    ledger = store.put(("image,label,clean,perturbed\n" + "\n".join(rows) + "\n").encode(), ".csv")
    found = replace(
        finding({"fooling_rate": fooled}),
        ledgers={"predictions": ledger},
        counted={"fooling_rate": Counted("predictions", ((differs("clean", "perturbed"),),))},
    )
    evidence = replace(
        side([found], {}, weights=weights).evidence,
        plan_sha256=sha256(PLAN),
        criteria=(CRITERION,),
        judgements=judge_criterion(CRITERION, [found]),
    )
    store.write("plan.yaml", PLAN)
    store.write_evidence(evidence, RunRecord("2026-03-02T09:14:07+00:00", finished, {}, {}, {}))
    if comparison is not None:
        store.write(COMPARISON_NAME, comparison)
    store.seal()
    return root


def with_another_rate(root: Path, rate: Rate) -> None:
    """Change the stored rate without its ledger, and seal the folder again."""
    store = EvidenceStore(root)
    evidence, record = store.evidence(), store.run_record()
    found = replace(evidence.findings[0], rates={"fooling_rate": rate})
    judged = judge_criterion(CRITERION, [found])
    store.write_evidence(replace(evidence, findings=(found,), judgements=judged), record)
    store.seal()
