"""The finding of a background probe: what was changed, every rate with how it is counted, and what it looks like."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from explainers.bias.crossed import CrossedDesign, crossed_design
from explainers.bias.evidence import BiasEvidence, EnergyInMask, Exhibit, grad_cam_evidence
from explainers.bias.measures import LEAST_GROUP, BareAccuracies, Sensitivity, bare_accuracies, measured_sensitivity
from explainers.bias.measures import object_swaps as object_swap_rates
from explainers.bias.probe import background_probe
from explainers.bias.verdict import BackgroundProbe, ProbeSettings, Question
from explainers.resampling import Effect
from flows.audit_job import AuditJob
from flows.batches import batch_size
from flows.ledgers import csv_bytes
from flows.pictures import store_picture
from wolfhound.classifier import Classifier
from wolfhound.counting import Case, Condition, Counted, differs, holds, holds_not, same
from wolfhound.evidence import Artefact, Finding, Gallery, Picture, Quantity, RateTable
from wolfhound.images import ImageSet
from wolfhound.progress import Progress
from wolfhound.statistics import Rate

USES = "uses the confounder"
IMAGES, BACKGROUNDS, CROSSED, CELLS = "per image", "per background", "crossed, per object", "crossed, per cell"
MOST_KINDS = 8
"""A table of groups with more columns than this is not printed; every image's group is in the ledger."""


@dataclass(frozen=True, eq=False)
class SwapRequest:
    """What is asked of one classifier: the sets, the question, how much is measured and shown."""

    identifier: str
    probed: ImageSet
    plates: ImageSet
    question: Question
    settings: ProbeSettings
    crossed: int
    shown_per_class: int
    measured_per_class: int = 50


@dataclass(frozen=True, eq=False)
class SwapResult:
    """Everything that was measured on one classifier."""

    probe: BackgroundProbe
    crossed: CrossedDesign | None
    evidence: BiasEvidence
    bare: BareAccuracies
    sensitivity: Sensitivity


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
        shown_per_class=request.shown_per_class,
        measured_per_class=request.measured_per_class,
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
    worst = _worst_group(probe)
    return Finding(
        id=request.identifier,
        kind="bias",
        subject=subject,
        title=f"Background swaps on {subject}",
        claim=(
            f"With the object fixed, a background of another kind changed {other.successes} of {other.total} "
            f"predictions; another background of the same kind changed {placebo.successes}. Verdict: {probe.verdict}."
        ),
        knowledge="none",
        conditions={**conditions, **_conditions(request, result)},
        rates=_rates(result, worst),
        controls=("flip_rate_placebo", "flip_rate_artefact_control", *_crossed_controls(result)),
        counted=_counted(request.question, result, worst),
        quantities=_quantities(result),
        facts=_facts(result),
        tables=_group_table(request, probe),
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


Group = tuple[int, str]


def _worst_group(probe: BackgroundProbe) -> Group | None:
    """Return label and background of the least accurate group that is large enough; None if none is."""
    rates = _group_rates(probe.ledger)
    large = [group for group, rate in rates.items() if rate.total >= LEAST_GROUP]
    return min(large, key=lambda group: rates[group].share) if large else None


def _group_rates(ledger: pd.DataFrame) -> dict[Group, Rate]:
    """Return the accuracy on images as they are of every class on every kind of background that occurs."""
    groups = zip(ledger["label"].tolist(), ledger["background"].tolist(), strict=True)
    return {group: _group_rate(ledger, group) for group in sorted(set(groups))}


def _rates(result: SwapResult, worst: Group | None) -> dict[str, Rate]:
    probe, bare, noise = result.probe, result.bare, result.sensitivity
    found = {
        "accuracy": probe.accuracy["own"],
        "accuracy_same_background": probe.accuracy["same"],
        "accuracy_other_background": probe.accuracy["other"],
        "accuracy_usual_background": probe.accuracy["usual"],
        "accuracy_unusual_background": probe.accuracy["unusual"],
        "flip_rate_other_background": probe.pooled.other,
        "flip_rate_placebo": probe.pooled.placebo,
        "flip_rate_artefact_control": probe.artefact,
        "background_only_usual_class": probe.background_only,
        "accuracy_object_alone": bare.object_alone,
        "accuracy_without_object": bare.without_object,
        **object_swap_rates(probe.ledger),
        "accuracy_noise_on_object": noise.object_noise,
        "accuracy_noise_on_background": noise.background_noise,
    }
    if result.crossed is not None:
        found["some_background_changes"] = result.crossed.fooled
        found["some_background_of_own_kind_changes"] = result.crossed.fooled_by_own_kind
    if worst is not None:
        found["worst_group_accuracy"] = _group_rate(probe.ledger, worst)
    return found


def _group_rate(ledger: pd.DataFrame, group: Group) -> Rate:
    chosen = ledger[(ledger["label"] == group[0]) & (ledger["background"] == group[1])]
    right = int((chosen["prediction_own"] == chosen["label"]).sum())
    return Rate(right, len(chosen), "images of the group")


def _counted(question: Question, result: SwapResult, worst: Group | None) -> dict[str, Counted]:
    """Return how each rate comes out of the ledgers (columns: see `explainers.bias`)."""
    successes: dict[str, tuple[Case, ...]] = {
        "accuracy": ((same("prediction_own", "label"),),),
        "accuracy_same_background": ((same("prediction_same", "label"),),),
        "accuracy_other_background": ((same("prediction_other", "label"),),),
        "accuracy_usual_background": _right_on(question, usual="prediction_same", unusual="prediction_other"),
        "accuracy_unusual_background": _right_on(question, usual="prediction_other", unusual="prediction_same"),
        "flip_rate_other_background": ((differs("prediction_other", "prediction_own"),),),
        "flip_rate_placebo": ((differs("prediction_same", "prediction_own"),),),
        "flip_rate_artefact_control": (
            (differs("prediction_wider", "prediction_same"),),
            (differs("prediction_narrower", "prediction_same"),),
        ),
        "accuracy_object_alone": ((same("prediction_none", "label"),),),
        "accuracy_without_object": ((same("prediction_removed", "label"),),),
        "follows_object": ((same("prediction_object", "partner_label"),),),
        "stays_with_background": ((same("prediction_object", "label"),),),
        "accuracy_noise_on_object": ((same("prediction_noise_object", "label"),),),
        "accuracy_noise_on_background": ((same("prediction_noise_background", "label"),),),
    }
    rules = {name: Counted(IMAGES, cases) for name, cases in successes.items()}
    rules["background_only_usual_class"] = Counted(BACKGROUNDS, ((same("takes", "background"),),))
    if result.crossed is not None:
        for name, column in (("changes", "changed_other_kind"), ("of_own_kind_changes", "changed_own_kind")):
            rules[f"some_background_{name}"] = Counted(CROSSED, ((Condition(column, ">", constant="0"),),))
    if worst is not None:
        of_group = (holds("label", worst[0]), holds("background", worst[1]))
        rules["worst_group_accuracy"] = Counted(IMAGES, ((same("prediction_own", "label"),),), total=of_group)
    return rules


def _right_on(question: Question, *, usual: str, unusual: str) -> tuple[Case, ...]:
    """Return the cases of a right answer: in one column where an image lies on its label's usual kind, else another."""
    cases: list[Case] = []
    for label, kind in question.usual.items():
        cases.append((holds("label", label), holds("background", kind), same(usual, "label")))
        cases.append((holds("label", label), holds_not("background", kind), same(unusual, "label")))
    return tuple(cases)


def _facts(result: SwapResult) -> dict[str, str]:
    probe, check = result.probe, result.evidence.check
    words = {
        "verdict": probe.verdict
        if probe.verdict == USES or probe.controls_null
        else f"{probe.verdict}: not decidable, because a control was not null",
        **{one.name: f"{'yes' if one.met else 'no'}: {one.explanation}" for one in probe.conditions},
        "flips under the other background that go to a class usual on it": probe.follows_background.text,
        "Grad-CAM, randomisation": "not measured: fewer than two maps vary" if check is None else check.text,
        "Grad-CAM, highest place on the object": result.evidence.overlap.pointing.text,
        "Grad-CAM, empty maps": result.evidence.overlap.empty.text,
    }
    if probe.pooled.detectable is None:
        words["minimum detectable excess"] = "none: with so many images and placebo flips no excess would be found"
    if lost := [one.name for one in probe.excess if one.detectable is None]:
        words["minimum detectable excess, one class"] = f"none in {', '.join(lost)}: too few images of the class"
    return words


def _quantities(result: SwapResult) -> dict[str, Quantity]:
    probe = result.probe
    pooled = probe.pooled
    found = {
        "excess flip rate": Quantity(
            pooled.difference, "share of images", "flips beyond the placebo's, paired bootstrap", pooled.interval
        ),
        "McNemar p": Quantity(pooled.p_value, "p-value", "exact, flips under the other background against placebo"),
        "background gap": Quantity(
            probe.background_gap,
            "share of images",
            "accuracy on usual minus accuracy on unusual backgrounds",
            probe.background_gap_interval,
        ),
        "effect on the margin": _effect_quantity(probe.effect),
        "effect on the margin, permutation p": Quantity(
            probe.effect.p_value, "p-value", "sign flips of whole groups of images that share their backgrounds"
        ),
        "background alone, p": Quantity(
            probe.background_only_p, "p-value", f"exact, two-sided, against a chance of {probe.chance:.3g}"
        ),
        "without the object, p": Quantity(
            result.bare.p_value, "p-value", f"exact, accuracy above a chance of {result.bare.chance:.3g}"
        ),
    }
    if pooled.detectable is not None:
        found["minimum detectable excess"] = Quantity(
            pooled.detectable, "share of images", "the smallest excess that this many images find with 80 % power"
        )
    found |= _optional_quantities(result)
    of_class = [one.detectable for one in probe.excess]
    if None not in of_class:
        meaning = "the smallest excess in the hardest class that survives Holm's correction with 80 % power"
        worst = max(share for share in of_class if share is not None)
        found["minimum detectable excess, one class"] = Quantity(worst, "share of images", meaning)
    for name, energy in (("own", result.evidence.energy), ("swapped", result.evidence.energy_swapped)):
        found |= _energy_quantities(name, energy)
    overlap = result.evidence.overlap
    found["Grad-CAM, overlap with the object"] = Quantity(
        overlap.overlap, "share", f"mean intersection over union; {overlap.settings}; a correlate"
    )
    return found


def _optional_quantities(result: SwapResult) -> dict[str, Quantity]:
    found = {}
    crossed, noise = result.crossed, result.sensitivity
    if crossed is not None and crossed.background_share is not None and crossed.interaction_share is not None:
        found["variance due to the background"] = Quantity(
            crossed.background_share,
            "share",
            "of the margin's variance within classes in the crossed design",
            crossed.background_interval,
        )
        found["variance due to object and background together"] = Quantity(
            crossed.interaction_share, "share", "their interaction: a background that matters to some objects only"
        )
    if noise.value is not None:
        meaning = "1: noise on the object does all the harm; -1: noise around it does; of the same norm in both places"
        found["relative foreground sensitivity"] = Quantity(noise.value, "", meaning, noise.interval)
    return found


def _effect_quantity(effect: Effect) -> Quantity:
    meaning = "mean loss of the label's margin from its usual background to another, object fixed"
    return Quantity(effect.mean, "logits", meaning, effect.interval)


def _energy_quantities(name: str, energy: EnergyInMask) -> dict[str, Quantity]:
    if energy.enrichment is None or energy.p_value is None:
        return {}
    where = "as they are" if name == "own" else "on the other background"
    return {
        f"Grad-CAM energy on the object, {where}": Quantity(
            energy.enrichment, "times its area", f"1 is a flat map; permutation p {energy.p_value:.3g}; a correlate"
        )
    }


def _group_table(request: SwapRequest, probe: BackgroundProbe) -> tuple[RateTable, ...]:
    """Return accuracy by class and background; groups that are too small say so by having no rate."""
    question, ledger = probe.question, probe.ledger
    kinds = question.kinds
    if len(kinds) > MOST_KINDS:
        return ()
    rates = _group_rates(ledger)
    if len(rates) <= len(question.classes):
        return ()
    large = {group: rate for group, rate in rates.items() if rate.total >= LEAST_GROUP}
    return (
        RateTable(
            name=request.identifier.replace("/", "_") + "_groups",
            title="Accuracy by class and kind of background, images as they are",
            row_label="class",
            column_label="background",
            rows=question.names,
            columns=kinds,
            cells=tuple(tuple(large.get((label, kind)) for kind in kinds) for label in question.classes),
            marked=tuple((name, usual) for name, usual in zip(question.names, question.backgrounds, strict=True)),
            note=f"Boxed: the usual background. Groups of fewer than {LEAST_GROUP} images have no rate.",
        ),
    )


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
