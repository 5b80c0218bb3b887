"""The finding of a background probe: what was changed, every rate with how it is counted, and what it looks like."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from explainers.bias.crossed import CrossedDesign, crossed_design
from explainers.bias.evidence import BiasEvidence, Exhibit, grad_cam_evidence
from explainers.bias.measures import bare_accuracies, measured_sensitivity
from explainers.bias.probe import background_probe
from explainers.bias.verdict import BackgroundProbe, ProbeSettings, Question
from flows.audit_job import AuditJob
from flows.batches import batch_size
from flows.bias_swap_numbers import (
    BACKGROUNDS,
    CELLS,
    CROSSED,
    IMAGES,
    SwapResult,
    counting_of,
    facts_of,
    group_tables,
    quantities_of,
    rates_of,
    worst_group,
)
from flows.ledgers import csv_bytes
from flows.pictures import store_picture
from wolfhound.classifier import Classifier
from wolfhound.evidence import Artefact, Finding, Gallery, Picture
from wolfhound.images import ImageSet
from wolfhound.progress import Progress


@dataclass(frozen=True, eq=False)
class SwapRequest:
    """What is asked of one classifier: the sets, the question, how much is measured and shown."""

    identifier: str
    probed: ImageSet
    plates: ImageSet
    question: Question
    settings: ProbeSettings
    crossed: int
    shown: int


def measure_swaps(job: AuditJob, classifier: Classifier, request: SwapRequest, progress: Progress) -> SwapResult:
    """Return the probe, its crossed design and the Grad-CAM evidence beside it."""
    seed, placed, question = job.seed("bias"), classifier.to(job.device), request.question
    probe = background_probe(
        placed,
        request.probed,
        request.plates,
        classes=question.classes,
        usual_background=question.usual,
        seed=seed,
        batch_size=batch_size(job),
        progress=progress,
        settings=request.settings,
    )
    evidence = grad_cam_evidence(
        placed,
        request.probed,
        request.plates,
        probe,
        shown=request.shown,
        seed=seed,
        progress=progress,
    )
    return SwapResult(
        probe=probe,
        crossed=_crossed(job, placed, request, probe, progress) if request.crossed else None,
        evidence=evidence,
        bare=bare_accuracies(probe.ledger),
        sensitivity=measured_sensitivity(probe.ledger, seed=seed),
    )


def _crossed(
    job: AuditJob, classifier: Classifier, request: SwapRequest, probe: BackgroundProbe, progress: Progress
) -> CrossedDesign:
    return crossed_design(
        classifier,
        request.probed,
        request.plates,
        probe.ledger,
        question=request.question,
        size=max(2, request.crossed),
        seed=job.seed("bias"),
        among_classes=request.settings.among_classes,
        batch_size=batch_size(job),
        progress=progress,
    )


def swap_finding(
    job: AuditJob, subject: str, request: SwapRequest, result: SwapResult, conditions: Mapping[str, str]
) -> Finding:
    """Return the finding on one classifier; `conditions` are printed first."""
    probe = result.probe
    other, placebo = probe.pooled.other, probe.pooled.placebo
    worst = worst_group(probe)
    return Finding(
        id=request.identifier,
        kind="bias",
        subject=subject,
        title=f"Background swaps on {subject}",
        claim=(
            f"With the object fixed, a background of another kind changed {other.successes} of {other.total} "
            f"predictions; another background of the same kind changed {placebo.successes}. Verdict: {probe.text}."
        ),
        knowledge="none",
        conditions={**conditions, **_conditions(request, result)},
        rates=rates_of(result, worst),
        controls=("flip_rate_placebo", "flip_rate_artefact_control", *_crossed_controls(result)),
        counted=counting_of(request.question, result, worst),
        quantities=quantities_of(result),
        facts=facts_of(result),
        tables=group_tables(request.identifier, probe),
        series={"flip rate by share of the other background": _dose_series(probe.dose_response)},
        galleries=(_gallery(job, result.evidence),),
        ledgers=_ledgers(job, result),
        reproduce=job.command,
    )


def _crossed_controls(result: SwapResult) -> tuple[str, ...]:
    return () if result.crossed is None else ("some_background_of_own_kind_changes",)


def _conditions(request: SwapRequest, result: SwapResult) -> dict[str, str]:
    probe, evidence, settings = result.probe, result.evidence, request.settings
    asked = ", ".join(f"{name} ({kind})" for name, kind in zip(probe.question.names, probe.question.backgrounds,
                                                               strict=True))  # fmt: skip
    found = {
        "classes, and the kind of background each is usually seen on": asked,
        "intervention": "the object is cut out by its mask and put on an object-free background",
        "decided among": "the classes asked about" if settings.among_classes else "all classes",
        "probed": f"{len(probe.ledger)} held-out images ({probe.left_out} of the set left out), "
        f"{len(probe.background_ledger)} backgrounds of {len(probe.question.kinds)} kinds",
        "controls are null": f"up to {100 * settings.tolerated_control_flips:g} % flips, one-sided exact test",
        "Grad-CAM": f"{evidence.method}, layer {evidence.layer}, contrast between the two likeliest of these classes",
        "seed": str(probe.seed),
    }
    if result.crossed is not None:
        cells = result.crossed
        own, others = cells.plates_of_own_kind, cells.plates_of_other_kinds
        found["crossed design"] = (
            f"{len(cells.objects)} objects, each on {_span(own)} backgrounds of its own kind, {_span(others)} of others"
        )
    return found


def _span(counts: tuple[int, int]) -> str:
    return str(counts[0]) if counts[0] == counts[1] else f"{counts[0]} to {counts[1]}"


def _dose_series(doses: pd.DataFrame) -> tuple[tuple[float, float], ...]:
    shares = doses["flips"] / doses["images"]
    return tuple((float(dose), float(share)) for dose, share in zip(doses["dose"], shares, strict=True))


def _ledgers(job: AuditJob, result: SwapResult) -> dict[str, Artefact]:
    tables = {IMAGES: result.probe.ledger, BACKGROUNDS: result.probe.background_ledger}
    if result.crossed is not None:
        tables |= {CROSSED: result.crossed.objects, CELLS: result.crossed.cells}
    return {name: job.store.put(csv_bytes(table), ".csv") for name, table in tables.items()}


def _gallery(job: AuditJob, evidence: BiasEvidence) -> Gallery:
    return Gallery(
        "Original, Grad-CAM, other background, Grad-CAM",
        tuple(_exhibit_row(job, exhibit) for exhibit in evidence.exhibits),
        evidence.selection,
        "Grad-CAM is a correlate, not a cause: it illustrates, the intervention decides.",
    )


def _exhibit_row(job: AuditJob, exhibit: Exhibit) -> tuple[Picture, ...]:
    before, after = exhibit.predicted, exhibit.predicted_swapped
    cells = (
        (
            exhibit.picture,
            f"{exhibit.label}, predicted {before}",
            f"An image of a {exhibit.label}, predicted {before}.",
        ),
        (exhibit.overlay, exhibit.explained, f"Grad-CAM of {exhibit.explained} laid over the image."),
        (exhibit.picture_swapped, f"swapped: {after}", f"The same object on another background, predicted {after}."),
        (exhibit.overlay_swapped, exhibit.explained_swapped, f"Grad-CAM of {exhibit.explained_swapped} laid over it."),
    )
    return tuple(store_picture(job.store, pixels, caption=caption, alt=alt) for pixels, caption, alt in cells)
