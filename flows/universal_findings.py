"""From ledgers to findings on universal perturbations: white-box, transfer and the cross-architecture tables.

Every rate here is computed from a stored ledger, so this runs without a network and again at any time.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from attacks.doubts import transfer_stronger, weaker_than_noise
from attacks.registry import WITHOUT_PHOTOGRAPHS
from flows.audit_job import AuditJob
from flows.pictures import DIFFERENCE_NOTE, store_difference, store_image
from flows.steps import StepValue, unpack
from flows.subject_images import open_splits
from flows.universal_stage import NOISE, UniversalEntry, load_delta, noise_column, read_csv
from wolfhound.evidence import Doubt, Finding, Gallery, Quantity, RateTable
from wolfhound.metrics import Predictions, attack_success_rate, dominant_labels, error_rate, fooling_rate
from wolfhound.statistics import Rate

SHOWN = 4


@dataclass(frozen=True)
class UniversalResults:
    """What the stage measured: step values by ledger column (crafted) and by target (ledgers), doubts by classifier."""

    crafted: Mapping[str, StepValue]
    ledgers: Mapping[str, StepValue]
    doubts: Mapping[str, tuple[Doubt, ...]]

    def table(self, job: AuditJob, target: str) -> pd.DataFrame:
        """Return the per-image ledger of one target."""
        return read_csv(job.store.get(unpack(self.ledgers[target]["ledger"])))


def cross_architecture_table(job: AuditJob, entry: UniversalEntry, results: UniversalResults) -> RateTable:
    """Return the fooling rates of one entry: rows computed on, columns evaluated on, and the noise control below."""
    ledgers = {target: results.table(job, target) for target in entry.targets}
    columns = {source: entry.column(source) for source in entry.sources} | {NOISE: noise_column(entry.threat)}
    cells = tuple(tuple(_fooled(ledgers[target], column) for target in entry.targets) for column in columns.values())
    return RateTable(
        name=f"cross_architecture_{entry.name}",
        title=f"Fooling rates of {_title(results, entry)} at {entry.threat.norm} {entry.threat.epsilon_text}",
        row_label="computed on",
        column_label="evaluated on",
        rows=tuple(columns),
        columns=entry.targets,
        cells=cells,
        marked=tuple((source, source) for source in entry.sources),
        control_rows=(NOISE,),
        note="Share of held-out images whose prediction changes. The diagonal is white-box, the rest is transfer.",
    )


def universal_finding(job: AuditJob, entry: UniversalEntry, source: str, results: UniversalResults) -> Finding:
    """Return the white-box finding: the perturbation computed on `source`, evaluated on it."""
    value, ledger = results.crafted[entry.column(source)], results.table(job, source)
    clean, fooled = _column(ledger, "clean"), _column(ledger, entry.column(source))
    deltas = unpack(value["deltas"])
    delta = load_delta(job.store.get(deltas))
    rates = _white_box_rates(ledger, entry, source)
    return Finding(
        id=f"universal/{entry.name}/{source}",
        kind="universal",
        subject=source,
        title=f"{value['title']} ({entry.threat.norm}) on {source}",
        claim=(
            f"One perturbation of {entry.threat.norm} {entry.threat.epsilon_text}, computed with full knowledge of "
            f"{source}, changed its prediction on {rates['fooling_rate'].successes} of {len(ledger)} held-out images; "
            f"random sign noise of the same size changed {rates['noise_control'].successes}."
        ),
        knowledge="white-box",
        conditions=_conditions(job, entry, value),
        rates=rates,
        controls=("noise_control",),
        quantities={
            "linf": Quantity(float(delta.abs().max()), "of the pixel range [0, 1]", "largest change of any pixel"),
            "l2": Quantity(float(delta.norm()), "on the pixel scale [0, 1]", "Euclidean length of the perturbation"),
        },
        counts={"dominant labels": _dominant(fooled, open_splits(job).whole.class_names)},
        series={"fooling rate on the select split by pass": tuple((row[0], row[2]) for row in value["history"])},
        galleries=_galleries(job, delta, clean, fooled),
        ledgers={f"predictions of {source}": unpack(results.ledgers[source]["ledger"])},
        artefacts={"perturbation (best and last)": deltas},
        reproduce=job.command,
        doubts=_with(
            results.doubts[source],
            weaker_than_noise(clean, fooled, [_column(ledger, noise_column(entry.threat))], name=value["title"]),
        ),
    )


def _white_box_rates(ledger: pd.DataFrame, entry: UniversalEntry, source: str) -> dict[str, Rate]:
    labels, clean, fooled = (_column(ledger, name) for name in ("label", "clean", entry.column(source)))
    return {
        "fooling_rate": fooling_rate(clean, fooled),
        "error_rate": error_rate(fooled, labels),
        "attack_success": attack_success_rate(clean, fooled, labels),
        "noise_control": _fooled(ledger, noise_column(entry.threat)),
    }


def _dominant(fooled: Predictions, class_names: tuple[str, ...]) -> dict[str, int]:
    """Return the labels that most perturbed images get, with their counts, at most eight."""
    counts = dominant_labels(fooled, classes=len(class_names))
    order = np.argsort(-counts, kind="stable")[:8]
    return {class_names[label]: int(counts[label]) for label in order if counts[label]}


def transfer_finding(job: AuditJob, entry: UniversalEntry, target: str, results: UniversalResults) -> Finding | None:
    """Return the transfer finding on one target; None where no perturbation comes from another network."""
    ledger = results.table(job, target)
    others = [source for source in entry.sources if source != target]
    if not others:
        return None
    rates = {f"from {source}": _fooled(ledger, entry.column(source)) for source in others}
    worst = max(others, key=lambda source: rates[f"from {source}"].share)
    noise = _fooled(ledger, noise_column(entry.threat))
    return Finding(
        id=f"transfer/{entry.name}/{target}",
        kind="transfer",
        subject=target,
        title=f"{_title(results, entry)} ({entry.threat.norm}) transferred to {target}",
        claim=(
            f"Of {len(others)} perturbation(s) computed on other networks, the one from {worst} changed the "
            f"prediction of {target} most often: on {rates[f'from {worst}'].successes} of {len(ledger)} held-out "
            "images. The attacker needs no access to the network."
        ),
        knowledge="transfer",
        conditions={
            "attack": _title(results, entry),
            "threat": f"{entry.threat.norm} {entry.threat.epsilon_text}, untargeted, transfer",
            "worst source": f"{worst} (the largest of {len(others)}; its interval is not corrected for the choice)",
        },
        rates={"worst_transfer": rates[f"from {worst}"], "noise_control": noise, **rates},
        controls=("noise_control",),
        ledgers={f"predictions of {target}": unpack(results.ledgers[target]["ledger"])},
        reproduce=job.command,
        doubts=_with(results.doubts[target], _stronger_by_transfer(entry, ledger, worst, target)),
    )


def _title(results: UniversalResults, entry: UniversalEntry) -> str:
    return str(results.crafted[entry.column(entry.sources[0])]["title"])


def _conditions(job: AuditJob, entry: UniversalEntry, value: StepValue) -> dict[str, str]:
    splits = open_splits(job).splits
    return {
        "attack": f"{value['title']} ({value['citation']})",
        "settings": value["settings"],
        "threat": entry.threat.text,
        "crafted on": _crafted_on(entry, len(splits.craft)),
        "passes": f"{value['history'][-1][0]} ({value['gradients']:,} image gradients)",
        "checkpoint": f"the best of the passes on {len(splits.select)} images of the select split",
        "judged on": f"{len(splits.report)} images of the report split, as 8-bit images",
        "seed": str(value["seed"]),
    }


def _crafted_on(entry: UniversalEntry, images: int) -> str:
    if entry.section.attack in WITHOUT_PHOTOGRAPHS:
        return "images drawn at random; no photograph was used but to choose the checkpoint"
    return f"{images} images of the craft split, without their labels"


def _stronger_by_transfer(entry: UniversalEntry, ledger: pd.DataFrame, worst: str, target: str) -> Doubt | None:
    if target not in entry.sources:
        return None
    clean, own, other = (_column(ledger, name) for name in ("clean", entry.column(target), entry.column(worst)))
    return transfer_stronger(clean, own, other, name=f"the perturbation from {worst}")


def _with(doubts: tuple[Doubt, ...], further: Doubt | None) -> tuple[Doubt, ...]:
    return doubts if further is None else (*doubts, further)


def _column(ledger: pd.DataFrame, name: str) -> Predictions:
    return ledger[name].to_numpy(np.int64)


def _fooled(ledger: pd.DataFrame, column: str) -> Rate:
    return fooling_rate(_column(ledger, "clean"), _column(ledger, column))


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
