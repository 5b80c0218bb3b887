"""Run folders that no audit made, but that any audit could have made: one with every section, one with nearly none."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.reports.sample_findings import (
    CLASSES,
    NAMES,
    PLAN,
    RUN,
    Folder,
    bias,
    clean,
    cross_table,
    drawing,
    images,
    png,
    subjects,
    targeted,
    transfer,
    universal,
)  # fmt: skip
from tests.reports.sample_inside import inside
from wolfhound.evidence import Criterion, Doubt, Evidence, RunRecord
from wolfhound.statistics import Interval
from wolfhound.store import EvidenceStore, sha256
from wolfhound.verdicts import judge_all

__all__ = [
    "CLASSES",
    "CRITERIA",
    "RUN",
    "Doubt",
    "Interval",
    "bare_run",
    "drawing",
    "full_run",
    "judged",
    "png",
    "small_run",
]

CRITERIA = (
    Criterion(
        "accuracy", "Accuracy on clean images", "clean.accuracy", "*", "at least", 0.85, "2026-02-20", ("AI Act 15(1)",)
    ),
    Criterion(
        "universal",
        "Fooling by one universal perturbation",
        "universal.fooling_rate",
        "*",
        "at most",
        0.58,
        "2026-02-20",
        ("AI Act 15(5)", "NISTAML.022"),
    ),
    Criterion(
        "transfer",
        "Fooling by a perturbation from elsewhere",
        "transfer.worst_transfer",
        "*",
        "at most",
        0.5,
        "2026-02-20",
        ("AI Act 15(5)", "AML.T0043.002"),
    ),
    Criterion(
        "targeted",
        "Targeted fooling",
        "targeted.targeted_success",
        "*",
        "at most",
        0.95,
        "2026-02-20",
        ("AI Act 15(5)",),
    ),
    Criterion(
        "background",
        "Flips by another class's background",
        "bias.flip_rate_other_background",
        "*",
        "at most",
        0.1,
        "2026-02-20",
        ("AI Act 10(2)(f)",),
    ),
    Criterion(
        "corruption",
        "Accuracy under natural corruptions",
        "natural.accuracy",
        "*",
        "at least",
        0.7,
        "2026-02-20",
        ("AI Act 15(4)",),
    ),
)


def judged(evidence: Evidence) -> Evidence:
    return replace(
        evidence,
        judgements=judge_all(evidence.criteria, evidence.findings, evidence.subjects),
    )


def full_evidence(folder: Folder, *, attacks: Sequence[str] = ("SGD-UAP", "DeepFool-UAP")) -> Evidence:
    tables = tuple(cross_table(attack) for attack in attacks)
    findings = [clean(folder, index, name) for index, name in enumerate(NAMES)]
    findings += [universal(folder, index, name, attack) for attack in attacks for index, name in enumerate(NAMES)]
    findings += [
        transfer(folder, table, name, attack) for table, attack in zip(tables, attacks, strict=True) for name in NAMES
    ]
    findings += [targeted(folder, index, name) for index, name in enumerate(NAMES[:2])]
    findings += [bias(folder, "confounded", confounded=True), bias(folder, "balanced", confounded=False)]
    findings.append(inside(folder, NAMES[0]))
    evidence = Evidence(
        name="Demonstration audit",
        purpose="Shows the whole road of an audit on generated images of wolves, huskies and eight other things.",
        plan_sha256=sha256(PLAN),
        seed=7,
        subjects=subjects(),
        images=images(),
        class_names=CLASSES,
        findings=tuple(findings),
        criteria=CRITERIA,
        judgements=(),
        tables=tables,
        not_tested=("query attacks (black-box)", "poisoning and backdoors", "patches and physical attacks"),
        limitations=(
            "the classifiers are demonstration classifiers at reduced width, not the published networks",
            "the images are generated; nothing here carries over to photographs",
            "one seed was used for each perturbation",
            "only wolf and husky were probed for bias",
        ),
        organisation="Example Institute for Testing",
        responsible="A. Tester",
    )
    return judged(evidence)


def full_run(root: Path) -> EvidenceStore:
    """A folder with every section full, every verdict and every severity."""
    folder = Folder(root)
    return folder.finish(full_evidence(folder))


def small_run(root: Path) -> EvidenceStore:
    """A folder with one of each kind of finding: quick to render."""
    folder = Folder(root)
    evidence = full_evidence(folder, attacks=("SGD-UAP",))
    kept = {"clean/vgg_f", "universal/SGD-UAP/vgg_f", "transfer/SGD-UAP/vgg_f", "targeted/vgg_f", "bias/confounded"}
    kept.add("inside/vgg_f")
    findings = tuple(finding for finding in evidence.findings if finding.id in kept)
    return folder.finish(judged(replace(evidence, findings=findings)))


def bare_run(root: Path) -> EvidenceStore:
    """A folder of an audit that tested next to nothing."""
    evidence = Evidence(
        name="Nothing yet",
        purpose="",
        plan_sha256=sha256(PLAN),
        seed=0,
        subjects=subjects()[:1],
        images=(),
        class_names=CLASSES,
        findings=(),
        criteria=CRITERIA[:1],
        judgements=(),
        tables=(),
        not_tested=(),
        limitations=(),
    )
    record = RunRecord(started=RUN.started, finished=RUN.finished, machine={}, versions={}, seconds={})
    return Folder(root).finish(judged(evidence), record)
