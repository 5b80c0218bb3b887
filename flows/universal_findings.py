"""From ledgers to findings on universal perturbations: white-box, transfer and the cross-architecture tables.

Every rate here is computed from a stored ledger, so this runs without a network and again at any time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from attacks.doubts import not_monotone, transfer_stronger, weaker_than_noise
from attacks.judge import float_column
from attacks.registry import WITHOUT_PHOTOGRAPHS
from attacks.universal.sweep import Spread
from flows.audit_job import AuditJob
from flows.ledgers import column, read_csv
from flows.pictures import DIFFERENCE_NOTE, store_difference, store_image
from flows.steps import StepValue, unpack
from flows.subject_images import open_splits
from flows.table_stage import NOISE, noise_column
from flows.universal_stage import UniversalEntry, best_run, load_delta
from wolfhound.counting import Counted, differs, holds, holds_not, same
from wolfhound.evidence import Doubt, Finding, Gallery, Quantity, RateTable
from wolfhound.metrics import (
    Predictions,
    attack_success_rate,
    dominant_labels,
    error_rate,
    fooling_rate,
    targeted_change_rate,
    targeted_success_rate,
)
from wolfhound.statistics import Rate

SHOWN = 4


@dataclass(frozen=True)
class UniversalResults:
    """What the stage measured.

    Attributes:
        crafted: the runs of every source, by ledger column.
        ledgers: step values by target.
        doubts: those about each classifier, by its name.
    """

    crafted: Mapping[str, Sequence[StepValue]]
    ledgers: Mapping[str, StepValue]
    doubts: Mapping[str, tuple[Doubt, ...]]

    def table(self, job: AuditJob, target: str) -> pd.DataFrame:
        """Return the per-image ledger of one target."""
        return read_csv(job.store.get(unpack(self.ledgers[target]["ledger"])))

    def chosen(self, name: str) -> StepValue:
        """Return the judged run of a ledger column: the best on the select split."""
        runs = self.crafted[name]
        return runs[best_run(runs)]


def counted(entry: UniversalEntry, ledger: pd.DataFrame, name: str) -> Rate:
    """Return what an entry is after: predictions changed, or, with a target, changed to it."""
    clean, perturbed = column(ledger, "clean"), column(ledger, name)
    if entry.threat.target is None:
        return fooling_rate(clean, perturbed)
    return targeted_change_rate(clean, perturbed, entry.threat.target)


def counted_by(entry: UniversalEntry, ledger: str, name: str) -> Counted:
    """Return how `counted` comes out of the ledger of that name."""
    if entry.threat.target is None:
        return Counted(ledger, ((differs("clean", name),),))
    return Counted(ledger, ((holds(name, entry.threat.target),),), total=(holds_not("clean", entry.threat.target),))


def cross_architecture_table(job: AuditJob, entry: UniversalEntry, results: UniversalResults) -> RateTable:
    """Return the rates of one entry: rows computed on, columns evaluated on, and the noise control below."""
    ledgers = {target: results.table(job, target) for target in entry.targets}
    rows = {source: entry.column(source) for source in entry.sources} | {NOISE: noise_column(entry.threat)}
    cells = tuple(tuple(counted(entry, ledgers[target], name) for target in entry.targets) for name in rows.values())
    marked = tuple((source, target) for source in entry.sources for target in entry.members(source))
    to = "" if entry.threat.target is None else f" to {_target_name(job, entry)}"
    changes = "changes" if entry.threat.target is None else f"becomes {_target_name(job, entry)} (it was another)"
    return RateTable(
        name=f"cross_architecture_{entry.name}",
        title=f"Fooling rates{to} of {_title(results, entry)} at {entry.threat.norm} {entry.threat.epsilon_text}",
        row_label="computed on",
        column_label="evaluated on",
        rows=tuple(rows),
        columns=entry.targets,
        cells=cells,
        marked=marked,
        control_rows=(NOISE,),
        note=f"Share of held-out images whose prediction {changes}. Boxed cells are white-box, the rest is transfer.",
    )


def universal_finding(
    job: AuditJob, entry: UniversalEntry, source: str, target: str, results: UniversalResults
) -> Finding:
    """Return the white-box finding: the perturbation computed on `source`, evaluated on `target`, a member of it."""
    name, ledger = entry.column(source), results.table(job, target)
    value = results.chosen(name)
    clean, fooled = column(ledger, "clean"), column(ledger, name)
    deltas = unpack(value["deltas"])
    delta = load_delta(job.store.get(deltas))
    rates = _white_box_rates(entry, ledger, name)
    together = "" if source == target else f" together with {len(entry.members(source)) - 1} more"
    return Finding(
        id=f"universal/{entry.name}/{target}" if source == target else f"universal/{entry.name}/{source}/{target}",
        kind="universal",
        subject=target,
        title=f"{value['title']} ({entry.threat.norm}) on {target}" + ("" if source == target else f", from {source}"),
        claim=(
            f"One perturbation of {entry.threat.norm} {entry.threat.epsilon_text}, computed with full knowledge of "
            f"{target}{together}, {_did(job, entry, rates)}; "
            f"random sign noise of the same size changed {rates['noise_control'].successes}."
        ),
        knowledge="white-box",
        conditions=_conditions(job, entry, source, value, ledger),
        rates=rates,
        controls=("noise_control",),
        counted=_white_box_counted(entry, ledger_name(target), name),
        quantities=_sizes(delta) | _sweep(entry, source, ledger, results),
        counts={"dominant labels": _dominant(fooled, open_splits(job).whole.class_names)},
        series=_series(entry, source, ledger, value),
        galleries=_galleries(job, delta, clean, fooled),
        ledgers={ledger_name(target): unpack(results.ledgers[target]["ledger"])},
        artefacts={"perturbation (best and last)": deltas},
        reproduce=job.command,
        doubts=_white_box_doubts(entry, source, target, ledger, value, results),
    )


def _did(job: AuditJob, entry: UniversalEntry, rates: Mapping[str, Rate]) -> str:
    if entry.threat.target is None:
        rate = rates["fooling_rate"]
        return f"changed its prediction on {rate.successes} of {rate.total} held-out images"
    rate = rates["targeted_change"]
    return f"made it say {_target_name(job, entry)} on {rate.successes} of {rate.total} images that were another class"


def _target_name(job: AuditJob, entry: UniversalEntry) -> str:
    assert entry.threat.target is not None
    return open_splits(job).whole.class_names[entry.threat.target]


def _white_box_rates(entry: UniversalEntry, ledger: pd.DataFrame, name: str) -> dict[str, Rate]:
    labels, clean, fooled = (column(ledger, which) for which in ("label", "clean", name))
    rates = {
        "fooling_rate": fooling_rate(clean, fooled),
        "error_rate": error_rate(fooled, labels),
        "attack_success": attack_success_rate(clean, fooled, labels),
        "noise_control": fooling_rate(clean, column(ledger, noise_column(entry.threat))),
    }
    if entry.threat.target is not None:
        rates["targeted_change"] = targeted_change_rate(clean, fooled, entry.threat.target)
        rates["targeted_success"] = targeted_success_rate(fooled, entry.threat.target)
    return rates


def _white_box_counted(entry: UniversalEntry, ledger: str, name: str) -> dict[str, Counted]:
    wrong = (differs(name, "label"),)
    rules = {
        "fooling_rate": Counted(ledger, ((differs("clean", name),),)),
        "error_rate": Counted(ledger, (wrong,)),
        "attack_success": Counted(ledger, (wrong,), total=(same("clean", "label"),)),
        "noise_control": Counted(ledger, ((differs("clean", noise_column(entry.threat)),),)),
    }
    if entry.threat.target is not None:
        rules["targeted_change"] = counted_by(entry, ledger, name)
        rules["targeted_success"] = Counted(ledger, ((holds(name, entry.threat.target),),))
    return rules


def ledger_name(target: str) -> str:
    """The name of the ledger with every prediction of one network."""
    return f"predictions of {target}"


def _sizes(delta: torch.Tensor) -> dict[str, Quantity]:
    return {
        "linf": Quantity(float(delta.abs().max()), "of the pixel range [0, 1]", "largest change of any pixel"),
        "l2": Quantity(float(delta.norm()), "on the pixel scale [0, 1]", "Euclidean length of the perturbation"),
    }


def _sweep(entry: UniversalEntry, source: str, ledger: pd.DataFrame, results: UniversalResults) -> dict[str, Quantity]:
    """Return mean and spread over the seeds, where there is more than one."""
    runs = len(results.crafted[entry.column(source)])
    if runs < 2:
        return {}
    spread = Spread.of([counted(entry, ledger, entry.seed_column(source, run)) for run in range(runs)])
    assert spread.deviation is not None
    over = f"over {runs} seeds; judged above is the one that was best on the select split"
    return {
        "mean over seeds": Quantity(spread.mean, "%", f"mean of the rate on held-out images {over}"),
        "standard deviation over seeds": Quantity(spread.deviation, "points", "sample standard deviation of that rate"),
    }


def _series(
    entry: UniversalEntry, source: str, ledger: pd.DataFrame, value: StepValue
) -> dict[str, tuple[tuple[float, float], ...]]:
    series = {"fooling rate on the select split by pass": tuple((row[0], row[2]) for row in value["history"])}
    points = [
        (255 * epsilon, counted(entry, ledger, entry.epsilon_column(source, epsilon)).share)
        for epsilon in entry.section.epsilons
    ]
    if points:
        unit = "epsilon in 255ths, one perturbation scaled"
        series[f"rate on held-out images by {unit}"] = tuple(points)
    return series


def _white_box_doubts(
    entry: UniversalEntry,
    source: str,
    target: str,
    ledger: pd.DataFrame,
    value: StepValue,
    results: UniversalResults,
) -> tuple[Doubt, ...]:
    clean, fooled = column(ledger, "clean"), column(ledger, entry.column(source))
    found = results.doubts[target]
    if entry.threat.target is None:
        noise = [column(ledger, noise_column(entry.threat))]
        found = _with(found, weaker_than_noise(clean, fooled, noise, name=value["title"]))
    smaller = [(eps, column(ledger, entry.epsilon_column(source, eps)) != clean) for eps in entry.section.epsilons]
    if len(smaller) > 1 and entry.threat.target is None:
        found = _with(found, not_monotone(smaller))
    return found


def _dominant(fooled: Predictions, class_names: tuple[str, ...]) -> dict[str, int]:
    """Return the labels that most perturbed images get, with their counts, at most eight."""
    counts = dominant_labels(fooled, classes=len(class_names))
    order = np.argsort(-counts, kind="stable")[:8]
    return {class_names[label]: int(counts[label]) for label in order if counts[label]}


def transfer_finding(job: AuditJob, entry: UniversalEntry, target: str, results: UniversalResults) -> Finding | None:
    """Return the transfer finding on one target; None where no perturbation comes from other networks alone."""
    ledger = results.table(job, target)
    others = [source for source in entry.sources if not entry.white_box(source, target)]
    if not others:
        return None
    rates = {f"from {source}": counted(entry, ledger, entry.column(source)) for source in others}
    worst = max(others, key=lambda source: rates[f"from {source}"].share)
    rules = {f"from {source}": counted_by(entry, ledger_name(target), entry.column(source)) for source in others}
    noise = counted_by(entry, ledger_name(target), noise_column(entry.threat))
    return Finding(
        id=f"transfer/{entry.name}/{target}",
        kind="transfer",
        subject=target,
        title=f"{_title(results, entry)} ({entry.threat.norm}) transferred to {target}",
        claim=(
            f"Of the perturbations computed on other networks ({len(others)}), the one from {worst} changed the "
            f"prediction of {target} most often: on {rates[f'from {worst}'].successes} of "
            f"{rates[f'from {worst}'].total} held-out images. The attacker needs no access to the network."
        ),
        knowledge="transfer",
        conditions={
            "attack": _title(results, entry),
            "threat": entry.threat.text.replace("white-box", "transfer"),
            "worst source": f"{worst} (the largest of {len(others)}; its interval is not corrected for the choice)",
        },
        rates={"worst_transfer": rates[f"from {worst}"], "noise_control": _noise(entry, ledger), **rates},
        controls=("noise_control",),
        counted={"worst_transfer": rules[f"from {worst}"], "noise_control": noise, **rules},
        ledgers={ledger_name(target): unpack(results.ledgers[target]["ledger"])},
        reproduce=job.command,
        doubts=_with(results.doubts[target], _stronger_by_transfer(entry, ledger, worst, target)),
    )


def _noise(entry: UniversalEntry, ledger: pd.DataFrame) -> Rate:
    return counted(entry, ledger, noise_column(entry.threat))


def _title(results: UniversalResults, entry: UniversalEntry) -> str:
    return str(results.chosen(entry.column(entry.sources[0]))["title"])


def _conditions(
    job: AuditJob, entry: UniversalEntry, source: str, value: StepValue, ledger: pd.DataFrame
) -> dict[str, str]:
    splits, members = open_splits(job).splits, entry.members(source)
    together = {} if len(members) == 1 else {"networks": f"the mean loss over {', '.join(members)}"}
    tier = {} if entry.section.tier is None else {"tier": entry.section.tier}
    return {
        "attack": f"{value['title']} ({value['citation']})",
        **tier,
        "settings": value["settings"],
        "threat": entry.threat.text,
        **together,
        "crafted on": _crafted_on(entry, len(splits.craft)),
        "passes": f"{value['history'][-1][0]} ({value['gradients']:,} image gradients)",
        "checkpoint": f"after pass {value['chosen'][0]}, the last within a standard error of the best on "
        f"{len(splits.select)} images of the select split",
        "judged on": f"{len(splits.report)} images of the report split, {_precision(entry, source, ledger)}",
        "seed": str(value["seed"]),
    }


def _precision(entry: UniversalEntry, source: str, ledger: pd.DataFrame) -> str:
    name = entry.column(source)
    if float_column(ledger, name) == name:
        return "as 8-bit images; the perturbation is one of whole levels, so that it is the same in floating point"
    rate = fooling_rate(column(ledger, "clean"), column(ledger, float_column(ledger, name)))
    return f"as 8-bit images; in floating point, before it is rounded, it fools {rate.successes} of {rate.total}"


def _crafted_on(entry: UniversalEntry, images: int) -> str:
    if entry.section.attack in WITHOUT_PHOTOGRAPHS:
        return "images drawn at random; no photograph was used but to choose the checkpoint"
    labels = "with their labels" if entry.section.options.get("labels") == "given" else "without their labels"
    return f"{images} images of the craft split, {labels}"


def _stronger_by_transfer(entry: UniversalEntry, ledger: pd.DataFrame, worst: str, target: str) -> Doubt | None:
    if target not in entry.sources or entry.threat.target is not None:
        return None
    clean, own, other = (column(ledger, name) for name in ("clean", entry.column(target), entry.column(worst)))
    return transfer_stronger(clean, own, other, name=f"the perturbation from {worst}")


def _with(doubts: tuple[Doubt, ...], further: Doubt | None) -> tuple[Doubt, ...]:
    return doubts if further is None else (*doubts, further)


def _galleries(job: AuditJob, delta: torch.Tensor, clean: Predictions, fooled: Predictions) -> tuple[Gallery, ...]:
    factor = 0.5 / max(float(delta.abs().max()), 1e-12)
    amplified = store_difference(
        job.store,
        delta,
        factor=factor,
        caption=f"the perturbation, x{factor:.1f} around mid-grey",
        alt=f"The universal perturbation, amplified {factor:.1f} times around mid-grey: a pattern.",
    )
    report = open_splits(job).splits.report
    shown: NDArray[np.int64] = np.argsort(np.array(report.hashes))[:SHOWN]
    names, pixels = report.class_names, report.load(shown)
    rows = []
    for which, image in zip(shown, pixels, strict=True):
        before, after = names[clean[which]], names[fooled[which]]
        perturbed = ((image + delta).clamp(0, 1) * 255).round() / 255
        rows.append(
            (
                store_image(job.store, image, caption=f"clean: {before}", alt=f"A clean image, predicted {before}."),
                store_image(
                    job.store,
                    perturbed,
                    caption=f"perturbed: {after}",
                    alt=f"The same image with the perturbation added, predicted {after}.",
                ),
            )
        )
    return (
        Gallery("The perturbation", ((amplified,),), "the checkpoint that is judged", DIFFERENCE_NOTE),
        Gallery("Clean and perturbed", tuple(rows), f"the first {SHOWN} report images in the order of their hashes"),
    )
