"""Accuracy by an attribute that the user states: groups, the worst of them, gap, association, equalised odds."""

import numpy as np
import pandas as pd

from explainers.bias.groups import GroupReport, group_report
from flows.audit_job import AuditJob
from flows.bias_tables import attributes_of
from flows.clean_stage import measure_clean
from flows.finding_steps import packed_finding
from flows.ledgers import csv_bytes, read_csv
from flows.steps import StepValue, unpack
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from wolfhound.counting import Counted, holds, same
from wolfhound.evidence import SHARE, Finding, Quantity, RateTable
from wolfhound.plan_bias import AttributeBias
from wolfhound.statistics import Rate, holm

LEDGER = "per image"
DIFFERS, NOT_FOUND = "accuracy differs by group", "no difference found"
LEVEL = 0.05


def probe_attributes(job: AuditJob, section: AttributeBias, name: str, classifier_name: str) -> StepValue:
    """Return the finding on one classifier, from the predictions that the audit has already made. Done once."""
    classifier, report = open_classifier(job, classifier_name), open_splits(job).splits.report
    attributes = attributes_of(section.table, section.columns, report)
    step = job.step(
        f"bias/{name}",
        classifier=classifier.identity,
        images=report.fingerprint,
        attributes=attributes,
        least=section.least_group,
        seed=job.seed("bias"),
    )

    def work() -> StepValue:
        clean = read_csv(job.store.get(unpack(measure_clean(job, classifier_name)["ledger"])))
        ledger = pd.DataFrame({"image": clean["image"], "label": clean["label"], "prediction": clean["clean"]})
        ledger = pd.concat([ledger, pd.DataFrame({_column(key): values for key, values in attributes.items()})], axis=1)
        reports = [
            group_report(
                ledger,
                _column(key),
                class_names=classifier.class_names,
                seed=job.seed("bias"),
                least=section.least_group,
                significance=LEVEL / len(attributes),
            )
            for key in attributes
        ]
        return packed_finding(_finding(job, section, name, classifier_name, ledger, reports))

    return step.once(work)


def _column(attribute: str) -> str:
    """A column of the ledger; a user's attribute may be called label."""
    return f"attribute {attribute}"


def _title(report: GroupReport) -> str:
    return report.column.removeprefix("attribute ")


def _finding(
    job: AuditJob,
    section: AttributeBias,
    name: str,
    subject: str,
    ledger: pd.DataFrame,
    reports: list[GroupReport],
) -> Finding:
    corrected = _corrected(reports)
    rates, counted = _rates(ledger, reports)
    return Finding(
        id=f"bias/{name}",
        kind="bias",
        subject=subject,
        title=f"Accuracy of {subject} by group",
        claim=_claim(subject, reports, corrected),
        knowledge="none",
        conditions={
            "attributes": ", ".join(_title(one) for one in reports),
            "images": f"the report split, {len(ledger)} images, as they are",
            "smallest group": f"{section.least_group} images; smaller groups are named and have no rate",
            "what it can show": "a difference between groups; nothing is changed, so not what causes it",
            "seed": str(job.seed("bias")),
        },
        rates=rates,
        counted=counted,
        quantities=_quantities(reports, corrected),
        facts=_facts(reports, corrected),
        tables=_tables(name, reports),
        ledgers={LEDGER: job.store.put(csv_bytes(ledger), ".csv")},
        reproduce=job.command,
    )


def _corrected(reports: list[GroupReport]) -> dict[str, float]:
    """Holm over the attributes that could be tested."""
    tested = [(one.column, one.p_value) for one in reports if one.p_value is not None]
    return dict(zip([column for column, _ in tested], holm([p for _, p in tested]), strict=True))


def _verdict(report: GroupReport, corrected: dict[str, float]) -> str:
    if report.column not in corrected or report.gap_interval is None:
        return "not tested: fewer than two groups are large enough"
    found = corrected[report.column] < LEVEL and report.gap_interval.low > 0
    return DIFFERS if found else NOT_FOUND


def _claim(subject: str, reports: list[GroupReport], corrected: dict[str, float]) -> str:
    words = []
    for one in reports:
        verdict = _verdict(one, corrected)
        if one.gap is not None:
            verdict += f" (worst {one.worst}, best {one.best}, {100 * one.gap:.1f} points apart{_missed(one, verdict)})"
        words.append(f"{_title(one)}: {verdict}")
    return f"Accuracy of {subject} by group. {'; '.join(words)}."


def _missed(report: GroupReport, verdict: str) -> str:
    if verdict != NOT_FOUND:
        return ""
    if report.detectable is None:
        return "; so few images show no gap at all"
    return f"; one of {100 * report.detectable:.1f} is found with 80 % power"


def _rates(ledger: pd.DataFrame, reports: list[GroupReport]) -> tuple[dict[str, Rate], dict[str, Counted]]:
    right = (same("prediction", "label"),)
    correct = int((ledger["prediction"].to_numpy(np.int64) == ledger["label"].to_numpy(np.int64)).sum())
    rates = {"accuracy": Rate(correct, len(ledger), "held-out images")}
    counted = {"accuracy": Counted(LEDGER, (right,))}
    worst = [(one.rates[one.worst].share, one) for one in reports if one.worst is not None]
    if worst:
        report = min(worst, key=lambda pair: pair[0])[1]
        assert report.worst is not None  # chosen so
        rates["worst_group_accuracy"] = Rate(
            report.rates[report.worst].successes, report.rates[report.worst].total, "images of the group"
        )
        counted["worst_group_accuracy"] = Counted(LEDGER, (right,), total=(holds(report.column, report.worst),))
    for report in reports:
        for value, rate in report.rates.items():
            label = f"{_title(report)} = {value}"
            rates[label] = Rate(rate.successes, rate.total, "images of the group")
            counted[label] = Counted(LEDGER, (right,), total=(holds(report.column, value),))
    return rates, counted


def _quantities(reports: list[GroupReport], corrected: dict[str, float]) -> dict[str, Quantity]:
    found: dict[str, Quantity] = {}
    for one in reports:
        title = _title(one)
        if one.gap is not None:
            meaning = (
                f"accuracy of {one.best} minus {one.worst}; interval of these two alone, not corrected for the choice"
            )
            found[f"{title}, gap"] = Quantity(one.gap, SHARE, meaning, one.gap_interval)
        if one.column in corrected:
            meaning = "permutation within labels, corrected by Holm over the attributes"
            found[f"{title}, p"] = Quantity(corrected[one.column], "p-value", meaning)
        if one.detectable is not None:
            meaning = (
                "how far below the best group another of the worst one's size must lie to be found with 80 % power, "
                "corrected for all pairs of groups and all attributes"
            )
            found[f"{title}, minimum detectable gap"] = Quantity(one.detectable, SHARE, meaning)
        for what, value in (("label", one.label_association), ("being right", one.error_association)):
            if value is not None:
                meaning = (
                    f"of the attribute and {what}: 0 independent, 1 one determines the other (Bergsma's correction)"
                )
                found[f"{title}, Cramer's V with {what}"] = Quantity(value, "", meaning)
        found |= _odds(one)
    return found


def _odds(report: GroupReport) -> dict[str, Quantity]:
    """Return the class furthest from equalised odds; the ledger has what is needed for the others."""
    gaps = [
        (gap, one.class_name, which)
        for one in report.odds
        for gap, which in ((one.true_positive_gap, "true positive"), (one.false_positive_gap, "false positive"))
        if gap is not None
    ]
    if not gaps:
        return {}
    gap, class_name, which = max(gaps)
    meaning = (
        f"largest {which} difference between groups, {class_name} against the rest, of {len(report.odds)} classes; "
        "no interval: the largest of many is above 0 by chance alone"
    )
    return {f"{_title(report)}, equalised odds": Quantity(gap, SHARE, meaning)}


def _facts(reports: list[GroupReport], corrected: dict[str, float]) -> dict[str, str]:
    found = {f"verdict on {_title(one)}": _verdict(one, corrected) for one in reports}
    for one in reports:
        if one.suppressed:
            listed = ", ".join(f"{value} ({count})" for value, count in one.suppressed.items())
            found[f"{_title(one)}, too few images for a rate"] = listed
    return found


def _tables(name: str, reports: list[GroupReport]) -> tuple[RateTable, ...]:
    return tuple(
        RateTable(
            name=f"bias_{name}_{_title(one)}".replace("/", "_").replace(" ", "_"),
            title=f"Accuracy by {_title(one)}",
            row_label=_title(one),
            column_label="images",
            rows=tuple(one.rates),
            columns=("as they are",),
            cells=tuple((rate,) for rate in one.rates.values()),
            note="Groups with too few images have no row; they are named above.",
        )
        for one in reports
        if one.rates
    )
