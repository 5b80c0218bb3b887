"""Fooling by group: do universal and targeted attacks reach some groups of images more often than others?

Everything is counted from the ledgers that the attacks left behind: no image goes through a network again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from flows.audit_job import AuditJob
from flows.ledgers import column, csv_bytes, read_csv
from flows.steps import StepValue, unpack
from flows.subject_images import open_splits
from flows.table_stage import noise_column
from flows.targeted_stage import EVERY, TargetedEntry, targeted_entries
from flows.universal_findings import UniversalResults
from flows.universal_stage import UniversalEntry, universal_entries
from wolfhound.counting import Counted, holds, holds_not
from wolfhound.errors import DataError, PlanError
from wolfhound.evidence import SHARE, Doubt, Finding, Quantity, RateTable
from wolfhound.groups import Gap, GroupRates, Outcome, group_rates
from wolfhound.images import ImageSet
from wolfhound.plan_groups import GroupsSection, Property
from wolfhound.statistics import Rate

LEDGER = "by group"
LISTED = 12
"""Groups that are named in a sentence; the ledger has all of them."""
_FLAGS = {True: "yes", False: "no"}


@dataclass(frozen=True)
class Attacked:
    """What one attack did to each held-out image, and the same for its noise control where it has one.

    `kind` is "universal" or "targeted". Images that the attack did not start from do not count.
    """

    title: str
    kind: str
    outcome: Outcome
    noise: Outcome | None = None


def group_findings(
    job: AuditJob,
    results: UniversalResults,
    targeted: Mapping[tuple[str, str], StepValue],
) -> list[Finding]:
    """Return one finding for each classifier and property (class, group) of the plan's groups section.

    Args:
        results: of the universal stage.
        targeted: step values by (entry, classifier).
    """
    section = job.plan.groups
    if section is None:
        return []
    report = open_splits(job).splits.report
    findings = []
    for name in job.plan.chosen(section.classifiers):
        attacked = _attacks_on(job, name, report, results, targeted)
        for by in section.by if attacked else ():
            findings.append(_Grouped(job, section, name, by, report, attacked, results.doubts[name]).finding())
    return findings


def check_groups(job: AuditJob) -> None:
    """Raise unless the plan's groups section finds attacks and groups to compare.

    Raises:
        PlanError: no attack whose ledger could be cut; DataError: images without a group.
    """
    section = job.plan.groups
    if section is None:
        return
    if not job.plan.universal and not any(one.start == "images" for one in job.plan.targeted):
        raise PlanError(
            "groups: expected universal or targeted attacks on images to compare (add one, or leave it out)"
        )
    if "group" in section.by and open_splits(job).whole.groups is None:
        raise DataError(
            f"{open_splits(job).whole.name}: the plan compares groups, but the images have none (give the CSV file a "
            "group column, or write by: [class])"
        )


def _attacks_on(
    job: AuditJob,
    name: str,
    report: ImageSet,
    results: UniversalResults,
    targeted: Mapping[tuple[str, str], StepValue],
) -> list[Attacked]:
    """Return what was done to one classifier with full knowledge of it."""
    found = [
        _universal(entry, source, results.table(job, name))
        for entry in universal_entries(job)
        for source in entry.sources
        if entry.white_box(source, name)
    ]
    for entry in targeted_entries(job):
        if name in entry.classifiers and entry.section.start == "images":
            found.append(_targeted(job, entry, targeted[entry.name, name], report))
    return found


def _universal(entry: UniversalEntry, source: str, ledger: pd.DataFrame) -> Attacked:
    noise, title = noise_column(entry.threat), f"universal {entry.column(source)}"
    return Attacked(title, "universal", _changed(entry, ledger, entry.column(source)), _changed(entry, ledger, noise))


def _changed(entry: UniversalEntry, ledger: pd.DataFrame, name: str) -> Outcome:
    clean, found = column(ledger, "clean"), column(ledger, name)
    target = entry.threat.target
    if target is None:
        return Outcome(clean != found, np.ones(len(clean), dtype=np.bool_))
    return Outcome(found == target, clean != target)


def _targeted(job: AuditJob, entry: TargetedEntry, value: StepValue, report: ImageSet) -> Attacked:
    """An image counts once: reached if it was pushed to its target, or, where every class is tried, to any of them."""
    ledger = read_csv(job.store.get(unpack(value["ledger"])))
    if entry.section.target == EVERY:  # its first rows were made for the pictures alone
        ledger = ledger.iloc[min(entry.section.shown, entry.section.images) :]
    tried = ledger[ledger["clean"] != ledger["target"]]
    reached = set(tried.loc[tried["adversarial"] == tried["target"], "image"])
    counted, hashes = set(tried["image"]), report.hashes
    return Attacked(
        f"targeted {entry.name}",
        "targeted",
        Outcome(np.array([h in reached for h in hashes]), np.array([h in counted for h in hashes])),
    )


@dataclass(frozen=True)
class _Grouped:
    """One classifier's outcomes, cut by one property of the images."""

    job: AuditJob
    section: GroupsSection
    classifier: str
    by: Property
    report: ImageSet
    attacked: list[Attacked]
    doubts: tuple[Doubt, ...]

    @property
    def groups(self) -> tuple[str, ...]:
        names = self.report.class_names
        return tuple(names[label] for label in self.report.labels) if self.by == "class" else (self.report.groups or ())

    def finding(self) -> Finding:
        seed = self.job.seed("groups") % 2**31
        options = {"seed": seed, "least": self.section.least}
        outcomes = {one.title: one.outcome for one in self.attacked}
        found = group_rates(outcomes, self.groups, denominator="held-out images", **options)
        noise = {one.title: one.noise for one in self.attacked if one.noise is not None}
        controls = group_rates(noise, self.groups, denominator="held-out images", **options)
        rates, counted = self._rates(found, controls)
        return Finding(
            id=f"bias/by-{self.by}/{self.classifier}",
            kind="bias",
            subject=self.classifier,
            title=f"Fooling by {self.by} of {self.classifier}",
            claim=self._claim(found),
            knowledge="white-box",
            conditions=self._conditions(seed),
            rates=rates,
            controls=tuple(name for name in rates if name.startswith("noise_")),
            counted=counted,
            quantities=_quantities(found, self.by) | self._largest(found),
            facts=_facts(found, self.by, self.section.least),
            tables=self._tables(found, controls),
            ledgers={LEDGER: self.job.store.put(csv_bytes(self._ledger()), ".csv")},
            reproduce=self.job.command,
            doubts=self.doubts,
        )

    def _ledger(self) -> pd.DataFrame:
        columns: dict[str, object] = {"image": list(self.report.hashes), "group": list(self.groups)}
        for one in self.attacked:
            columns[one.title] = _cells(one.outcome)
            if one.noise is not None:
                columns[_noise_name(one.title)] = _cells(one.noise)
        return pd.DataFrame(columns)

    def _rates(
        self, found: Mapping[str, GroupRates], controls: Mapping[str, GroupRates]
    ) -> tuple[dict[str, Rate], dict[str, Counted]]:
        """Return, for each kind of attack, the highest rate over groups and attacks, and the lowest of that attack.

        The control is the same group under noise of that attack's size.
        """
        rates: dict[str, Rate] = {}
        counted: dict[str, Counted] = {}
        for kind in dict.fromkeys(one.kind for one in self.attacked):
            of_kind = [one.title for one in self.attacked if one.kind == kind and found[one.title].rates]
            if not of_kind:
                continue
            title, group = max(
                ((title, group) for title in of_kind for group in found[title].rates),
                key=lambda pair: found[pair[0]].rates[pair[1]].share,
            )
            best = min(found[title].rates, key=lambda name: found[title].rates[name].share)
            chosen = {f"worst_group_{kind}": (title, group), f"best_group_{kind}": (title, best)}
            for name, (attack, which) in chosen.items():
                rates[name] = found[attack].rates[which]
                counted[name] = _counted(attack, which)
            if title in controls and group in controls[title].rates:
                rates[f"noise_worst_group_{kind}"] = controls[title].rates[group]
                counted[f"noise_worst_group_{kind}"] = _counted(_noise_name(title), group)
        return rates, counted

    def _largest(self, found: Mapping[str, GroupRates]) -> dict[str, Quantity]:
        """Return the largest gap of each kind of attack, under the name that criteria use.

        Its interval is of the largest true gap under any of these attacks: the intervals hold together for all of them.
        """
        largest: dict[str, Quantity] = {}
        for kind in dict.fromkeys(one.kind for one in self.attacked):
            gaps = [(g, one.title) for one in self.attacked if one.kind == kind and (g := found[one.title].gap)]
            if gaps:
                gap, title = max(gaps, key=lambda pair: pair[0].difference)
                low, high = (max(getattr(one.interval, end) for one, _ in gaps) for end in ("low", "high"))
                over_all = replace(gap, interval=replace(gap.interval, low=low, high=high))
                largest[f"gap_{kind}"] = _gap_quantity(over_all, f"largest of {len(gaps)}: {title}")
        return largest

    def _tables(self, found: Mapping[str, GroupRates], controls: Mapping[str, GroupRates]) -> tuple[RateTable, ...]:
        """Return the rates of every attack (rows) in every group (columns); nothing where all groups are suppressed."""
        groups = tuple(name for name in sorted(set(self.groups)) if any(name in one.rates for one in found.values()))
        if not groups:
            return ()
        noise = {_noise_name(title): control for title, control in controls.items()}
        rows = {one.title: found[one.title] for one in self.attacked} | noise
        table = RateTable(
            name=f"by_{self.by}_{self.classifier}",
            title=f"Fooling of {self.classifier} by {self.by}",
            row_label="attack",
            column_label=self.by,
            rows=tuple(rows),
            columns=groups,
            cells=tuple(tuple(row.rates.get(group) for group in groups) for row in rows.values()),
            control_rows=tuple(noise),
            note=f"Groups of fewer than {self.section.least} images that count are suppressed (listed above).",
        )
        return (table,)

    def _claim(self, found: Mapping[str, GroupRates]) -> str:
        gaps = [(gap, title) for title, one in found.items() if (gap := one.gap) is not None]
        if not gaps:
            return f"No two groups of at least {self.section.least} images: rates by {self.by} could not be compared."
        gap, title = max(gaps, key=lambda pair: pair[0].difference)
        rates = found[title].rates
        worst, best = rates[gap.worst], rates[gap.best]
        verdict = (
            "The groups differ"
            if gap.interval.low > 0
            else "No difference between groups was shown"
            + (f"; one of {100 * gap.detectable:.1f} points is found with 80 % power" if gap.detectable else "")
        )
        return (
            f"{title} reached {worst.successes} of {worst.total} images of {gap.worst} and {best.successes} of "
            f"{best.total} of {gap.best}, the widest of {len(gaps)} gap(s) by {self.by}. {verdict}."
        )

    def _conditions(self, seed: int) -> dict[str, str]:
        sizes = {name: self.groups.count(name) for name in sorted(set(self.groups))}
        return {
            "groups": f"by {self.by}: {_listed(sizes)}",
            "attacks": "those of this audit that had full knowledge of the classifier; their ledgers, counted anew",
            "intervals": (
                "of a gap: for the largest difference of any two groups, corrected for all pairs and attacks; of a "
                "group's rate: not corrected for having been chosen as the highest"
            ),
            "smallest group": f"{self.section.least} images that count; rates of smaller ones are suppressed",
            "seed": str(seed),
        }


def _noise_name(title: str) -> str:
    return f"noise of {title}"


def _cells(outcome: Outcome) -> list[str]:
    """An empty cell is an image that does not count."""
    return [_FLAGS[bool(hit)] if counts else "" for hit, counts in zip(outcome.success, outcome.counted, strict=True)]


def _counted(attack: str, group: str) -> Counted:
    return Counted(LEDGER, ((holds(attack, "yes"),),), total=(holds("group", group), holds_not(attack, "")))


def _quantities(found: Mapping[str, GroupRates], by: str) -> dict[str, Quantity]:
    return {f"gap by {by}, {title}": _gap_quantity(one.gap, "") for title, one in found.items() if one.gap is not None}


def _gap_quantity(gap: Gap, prefix: str) -> Quantity:
    missed = "" if gap.detectable is None else f"; detectable {100 * gap.detectable:.1f} points"
    meaning = (
        f"{prefix}{'; ' if prefix else ''}highest ({gap.worst}) minus lowest rate ({gap.best}); permutation p "
        f"{gap.p_value:.3g}, Holm {gap.p_holm:.3g}{missed}"
    )
    return Quantity(gap.difference, SHARE, meaning, gap.interval)


def _facts(found: Mapping[str, GroupRates], by: str, least: int) -> dict[str, str]:
    hidden = {
        title: f"fewer than {least} images that count of {by} {_listed(one.suppressed)}"
        for title, one in found.items()
        if one.suppressed
    }
    return {f"suppressed, {title}": text for title, text in hidden.items()}


def _listed(sizes: Mapping[str, int]) -> str:
    named = [f"{name} ({size})" for name, size in list(sizes.items())[:LISTED]]
    return ", ".join(named) + (f" and {len(sizes) - LISTED} further" if len(sizes) > LISTED else "")
