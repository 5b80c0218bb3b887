"""The wolf/husky probe of the demonstration: a confounded and a balanced classifier, backgrounds swapped on both.

Both verdicts are controls of the audit itself: a planted shortcut must be caught, a balanced classifier must pass. If
either fails, both findings are in doubt.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd
from pydantic import TypeAdapter

from explainers.bias.evidence import BiasEvidence, EnergyInMask, Exhibit, grad_cam_evidence
from explainers.bias.probe import background_probe
from explainers.bias.verdict import BackgroundProbe
from explainers.resampling import Effect
from flows.audit_job import AuditJob
from flows.batches import batch_size
from flows.ledgers import csv_bytes
from flows.pictures import store_picture
from flows.steps import StepValue, pack
from flows.subject_classifiers import describe
from wolfhound import demonstration
from wolfhound.classifier import Classifier
from wolfhound.counting import Case, Condition, Counted, differs, holds, holds_not, same
from wolfhound.evidence import Doubt, Finding, Gallery, Picture, Quantity, Subject
from wolfhound.images import ImageSet, check_disjoint
from wolfhound.plan import DemonstrationBias
from wolfhound.progress import Progress, silent
from wolfhound.statistics import Rate
from wolfhound.verification import artefacts_of

USES = "uses the confounder"
PLATES = 40
_PROBE_SEED, _PLATE_SEED = 1_000_003, 2_000_003
_USUAL = {0: "snow", 1: "grass"}
IMAGES, BACKGROUNDS = "per image", "per background"
_FINDING = TypeAdapter(Finding)
_SUBJECT = TypeAdapter(Subject)


@dataclass(frozen=True)
class BiasEntry:
    """One classifier of one bias section: trained with the given confounding, expected to be caught or to pass."""

    name: str
    section: DemonstrationBias
    confounding: float

    @property
    def planted(self) -> bool:
        """Whether the shortcut was planted, so that the probe must find it."""
        return self.confounding > 0.5


def bias_entries(job: AuditJob) -> tuple[BiasEntry, ...]:
    """Return both classifiers of every bias section, the confounded one first."""
    entries = []
    for index, section in enumerate(job.plan.bias, start=1):
        suffix = f"-{index}" if len(job.plan.bias) > 1 else ""
        entries.append(BiasEntry(f"confounded{suffix}", section, section.confounding))
        entries.append(BiasEntry(f"balanced{suffix}", section, 0.5))
    return tuple(entries)


def probe(job: AuditJob, entry: BiasEntry, progress: Progress = silent) -> StepValue:
    """Return the probe's finding on one classifier, which is trained on its first use. Done once."""
    section, images = entry.section, job.cache / "images"
    training = demonstration.wolf_husky_images(
        images,
        count=section.training_images,
        seed=section.seed,
        confounding=entry.confounding,
        progress=progress,
    )
    probed = demonstration.wolf_husky_images(
        images, count=section.probe_images, seed=section.seed + _PROBE_SEED, confounding=0.5, progress=progress
    )
    plates = demonstration.background_plates(
        images, per_background=PLATES, seed=section.seed + _PLATE_SEED, progress=progress
    )
    check_disjoint(training=training, probe=probed)
    classifier = demonstration.demonstration_classifier(
        section.architecture,
        job.cache / "classifiers",
        training,
        seed=job.seed("train", "bias", section.architecture),
        progress=progress,
    )
    classifier = replace(classifier, name=entry.name)
    step = job.step(
        f"bias/{entry.name}",
        weights=classifier.weights_digest,
        probed=probed.fingerprint,
        plates=plates.fingerprint,
        seed=job.seed("bias"),
        shown=section.shown,
    )
    return step.once(lambda: _measure(job, entry, classifier, probed, plates, progress))


def _measure(
    job: AuditJob,
    entry: BiasEntry,
    classifier: Classifier,
    probed: ImageSet,
    plates: ImageSet,
    progress: Progress,
) -> StepValue:
    seed, placed = job.seed("bias"), classifier.to(job.device)
    result = background_probe(
        placed,
        probed,
        plates,
        class_pair=(0, 1),
        usual_background=_USUAL,
        seed=seed,
        batch_size=batch_size(job),
        progress=progress,
    )
    evidence = grad_cam_evidence(
        placed, probed, plates, result, shown_per_class=max(1, entry.section.shown // 2), seed=seed, progress=progress
    )
    finding = _finding(job, entry, classifier, result, evidence)
    return {
        "finding": _FINDING.dump_python(finding, mode="json"),
        "subject": _SUBJECT.dump_python(describe(classifier), mode="json"),
        "caught": result.verdict == USES,
        "artefacts": [pack(artefact) for artefact in artefacts_of(finding)],
    }


def bias_findings(values: Mapping[str, tuple[BiasEntry, StepValue]]) -> list[tuple[Subject, Finding]]:
    """Return subject and finding of every probe; all are in doubt if the audit's own controls failed."""
    failed = [
        f"{name} was {'caught' if value['caught'] else 'not caught'}"
        for name, (entry, value) in values.items()
        if value["caught"] != entry.planted
    ]
    doubts = (Doubt("bias-control-failed", f"the audit's own control failed: {', '.join(failed)}"),) if failed else ()
    return [
        (
            _SUBJECT.validate_python(value["subject"]),
            replace(_FINDING.validate_python(value["finding"]), doubts=doubts),
        )
        for _, value in values.values()
    ]


def _finding(
    job: AuditJob, entry: BiasEntry, classifier: Classifier, result: BackgroundProbe, evidence: BiasEvidence
) -> Finding:
    other, placebo = result.pooled.other, result.pooled.placebo
    return Finding(
        id=f"bias/{entry.name}",
        kind="bias",
        subject=entry.name,
        title=f"Background swaps on {entry.name}",
        claim=(
            f"With the object fixed, a background of the other class changed {other.successes} of {other.total} "
            f"predictions; another background of the same kind changed {placebo.successes}. Verdict: {result.verdict}."
        ),
        knowledge="none",
        conditions=_conditions(entry, classifier, result, evidence),
        rates=_rates(result),
        controls=("flip_rate_placebo", "flip_rate_artefact_control"),
        counted=_counted(),
        quantities=_quantities(result, evidence),
        facts={
            "verdict": result.verdict,
            **{
                condition.name: f"{'yes' if condition.met else 'no'}: {condition.explanation}"
                for condition in result.conditions
            },
        },
        series={"flip rate by share of the other background": _dose_series(result.dose_response)},
        galleries=(_gallery(job, evidence),),
        ledgers={
            IMAGES: job.store.put(csv_bytes(result.ledger), ".csv"),
            BACKGROUNDS: job.store.put(csv_bytes(result.background_ledger), ".csv"),
        },
        reproduce=job.command,
    )


def _conditions(
    entry: BiasEntry, classifier: Classifier, result: BackgroundProbe, evidence: BiasEvidence
) -> dict[str, str]:
    share = f"{100 * entry.confounding:g} %"
    control = "planted shortcut, must be caught" if entry.planted else "balanced training, must pass"
    return {
        "classifier": classifier.architecture,
        "training": f"{entry.section.training_images} images, wolf on snow and husky on grass in {share} of them",
        "role": f"control of the audit: {control}",
        "intervention": "the object is cut out by its mask and put on an object-free background",
        "probed": f"{len(result.ledger)} held-out images, balanced over backgrounds, {PLATES} plates of each kind",
        "Grad-CAM": f"{evidence.method}, layer {evidence.layer}, contrast between the two classes",
        "seed": str(result.seed),
    }


def _rates(result: BackgroundProbe) -> dict[str, Rate]:
    return {
        "accuracy": result.accuracy["own"],
        "accuracy_same_background": result.accuracy["same"],
        "accuracy_other_background": result.accuracy["other"],
        "accuracy_usual_background": result.accuracy["usual"],
        "accuracy_unusual_background": result.accuracy["unusual"],
        "flip_rate_other_background": result.pooled.other,
        "flip_rate_placebo": result.pooled.placebo,
        "flip_rate_artefact_control": result.artefact,
        "background_only_usual_class": result.background_only,
    }


def _counted() -> dict[str, Counted]:
    """Return how each rate comes out of the two ledgers (columns: see `explainers.bias`)."""
    successes: dict[str, tuple[Case, ...]] = {
        "accuracy": ((same("prediction_own", "label"),),),
        "accuracy_same_background": ((same("prediction_same", "label"),),),
        "accuracy_other_background": ((same("prediction_other", "label"),),),
        "accuracy_usual_background": _right_on(usual="prediction_same", unusual="prediction_other"),
        "accuracy_unusual_background": _right_on(usual="prediction_other", unusual="prediction_same"),
        "flip_rate_other_background": ((differs("prediction_other", "prediction_own"),),),
        "flip_rate_placebo": ((differs("prediction_same", "prediction_own"),),),
        "flip_rate_artefact_control": (
            (differs("prediction_wider", "prediction_same"),),
            (differs("prediction_narrower", "prediction_same"),),
        ),
    }
    first = _USUAL[0]
    takes_first = (
        (holds("background", first), Condition("margin", ">", constant="0")),
        (holds_not("background", first), Condition("margin", "<=", constant="0")),
    )
    rules = {name: Counted(IMAGES, cases) for name, cases in successes.items()}
    return {**rules, "background_only_usual_class": Counted(BACKGROUNDS, takes_first)}


def _right_on(*, usual: str, unusual: str) -> tuple[Case, ...]:
    """Return the cases of a right answer: in one column where an image lies on its label's usual kind, else another."""
    cases: list[Case] = []
    for label, kind in _USUAL.items():
        cases.append((holds("label", label), holds("background", kind), same(usual, "label")))
        cases.append((holds("label", label), holds_not("background", kind), same(unusual, "label")))
    return tuple(cases)


def _quantities(result: BackgroundProbe, evidence: BiasEvidence) -> dict[str, Quantity]:
    pooled = result.pooled
    found = {
        "excess flip rate": Quantity(
            pooled.difference, "share of images", "flips beyond the placebo's, paired bootstrap", pooled.interval
        ),
        "McNemar p": Quantity(pooled.p_value, "p-value", "exact, flips under the other background against placebo"),
        "background gap": Quantity(
            result.background_gap,
            "share of images",
            "accuracy on usual minus accuracy on unusual backgrounds",
            result.background_gap_interval,
        ),
        "effect on the margin": _effect_quantity(result.effect),
    }
    if pooled.detectable is not None:
        found["minimum detectable excess"] = Quantity(
            pooled.detectable, "share of images", "the smallest excess that this many images find with 80 % power"
        )
    for name, energy in (("own", evidence.energy), ("swapped", evidence.energy_swapped)):
        found |= _energy_quantities(name, energy)
    return found


def _effect_quantity(effect: Effect) -> Quantity:
    meaning = "mean shift of wolf minus husky between their backgrounds, object fixed"
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


def _dose_series(doses: pd.DataFrame) -> tuple[tuple[float, float], ...]:
    shares = doses["flips"] / doses["images"]
    return tuple((float(dose), float(share)) for dose, share in zip(doses["dose"], shares, strict=True))


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
