"""Named changes of whole images on one classifier, each against its placebo, with pictures chosen by rule."""

from collections.abc import Mapping

import numpy as np
import torch

from explainers.bias.evidence import sample_evidence
from explainers.bias.interventions import Change, named_intervention, placebo, user_intervention
from explainers.bias.sensitivity import SENSITIVE, Reaction, SensitivityProbe, sensitivity_probe
from explainers.bias.verdict import Question
from explainers.drawing.overlay import overlay
from explainers.registry import explainer
from flows.audit_job import AuditJob
from flows.batches import batch_size
from flows.bias_masks import first_by_hash
from flows.finding_steps import packed_finding
from flows.ledgers import csv_bytes
from flows.pictures import store_image, store_picture
from flows.steps import StepValue
from flows.subject_classifiers import open_classifier
from flows.subject_images import open_splits
from wolfhound.classifier import Classifier
from wolfhound.counting import Counted, differs, same
from wolfhound.evidence import SHARE, Finding, Gallery, Picture, Quantity
from wolfhound.images import ImageSet
from wolfhound.loading.user_code import user_function
from wolfhound.metrics import accuracy
from wolfhound.plan_bias import InterventionBias, InterventionSection
from wolfhound.progress import Progress
from wolfhound.statistics import Rate
from wolfhound.store import file_sha256

LEDGER = "per image"


def changes_of(section: InterventionBias) -> dict[str, Change]:
    """Return every intervention of a section by name.

    Raises:
        PlanError: an unknown one or unknown settings; ModelError: a function that is not there.
    """
    return {one.name: _change(one) for one in section.sections}


def _change(section: InterventionSection) -> Change:
    if section.file is None or section.function is None:
        return named_intervention(section.name, section.options)
    shown = f"{section.file.name}:{section.function}"
    return user_intervention(user_function(section.file, section.function), name=shown)


def _settings(section: InterventionSection) -> str:
    if section.file is not None:
        return f"{section.name}: {section.file.name}:{section.function}, SHA-256 {file_sha256(section.file)}"
    return f"{section.name}: {named_intervention(section.name, section.options)}"


def probe_interventions(
    job: AuditJob, section: InterventionBias, name: str, classifier_name: str, progress: Progress
) -> StepValue:
    """Return the finding on one classifier of the plan. Done once."""
    classifier = open_classifier(job, classifier_name)
    images = first_by_hash(open_splits(job).splits.report, section.images)
    settings = [_settings(one) for one in section.sections]
    step = job.step(
        f"bias/{name}",
        classifier=classifier.identity,
        images=images.fingerprint,
        interventions=settings,
        section=section.model_dump(mode="json", exclude={"classifiers", "interventions"}),
        seed=job.seed("bias"),
    )

    def work() -> StepValue:
        placed, changes = classifier.to(job.device), changes_of(section)
        found = sensitivity_probe(
            placed,
            images,
            changes,
            question=_labels_alone(placed, images) if section.decide_among == "labels" else None,
            seed=job.seed("bias"),
            batch_size=batch_size(job),
            tolerated=section.tolerated_control_flips,
            progress=progress,
        )
        galleries = _galleries(job, placed, images, changes, found, section)
        return packed_finding(_finding(job, section, name, classifier, found, settings, galleries))

    return step.once(work)


def _labels_alone(classifier: Classifier, images: ImageSet) -> Question | None:
    present = tuple(int(label) for label in np.unique(images.labels))
    names = tuple(classifier.class_names[label] for label in present)
    return Question(present, names, names) if len(present) > 1 else None


def _finding(
    job: AuditJob,
    section: InterventionBias,
    name: str,
    classifier: Classifier,
    found: SensitivityProbe,
    settings: list[str],
    galleries: tuple[Gallery, ...],
) -> Finding:
    reactions, subject = found.reactions, classifier.name
    depends = [one.name for one in reactions if one.verdict == SENSITIVE]
    words = f"depends on {', '.join(depends)}" if depends else "no evidence found of dependence on any"
    if undecided := [one.name for one in reactions if not one.controls_null]:
        words += f"; not decidable on {', '.join(undecided)}, where the placebo is no control"
    changed = ", ".join(
        f"{one.name} {one.excess.other.successes} ({one.excess.placebo.successes})" for one in reactions
    )
    return Finding(
        id=f"bias/{name}",
        kind="bias",
        subject=subject,
        title=f"Named interventions on {subject}",
        claim=(
            f"Of {len(found.ledger)} predictions each intervention (in brackets: its placebo of the same norm) changed "
            f"so many: {changed}. Verdict: {words}."
        ),
        knowledge="none",
        conditions=_conditions(job, section, found, settings),
        rates=_rates(found),
        controls=tuple(f"flip_rate_{one.name}_placebo" for one in reactions),
        counted=_counted(found),
        quantities={key: value for one in reactions for key, value in _quantities(one).items()},
        facts={key: value for one in reactions for key, value in _facts(one, classifier).items()},
        galleries=galleries,
        ledgers={LEDGER: job.store.put(csv_bytes(found.ledger), ".csv")},
        reproduce=job.command,
    )


def _conditions(
    job: AuditJob, section: InterventionBias, found: SensitivityProbe, settings: list[str]
) -> dict[str, str]:
    return {
        "interventions": "; ".join(settings),
        "placebo": "smooth grey noise of 8 x 8 cells, on each image of the L2 norm that the intervention has "
        "there after clipping (at most what fits)",
        "images": f"{len(found.ledger)} of the report split{' (the first by hash)' if section.images else ''}",
        "decided among": "all classes" if section.decide_among == "all" else "the classes of the images",
        "controls are null": f"up to {100 * section.tolerated_control_flips:g} % flips, one-sided exact test",
        "what it can show": "that the property matters, not that it stands for a class in the training data",
        "seed": str(job.seed("bias")),
    }


def _rates(found: SensitivityProbe) -> dict[str, Rate]:
    ledger, rates = found.ledger, dict[str, Rate]()
    labels, clean = (ledger[name].to_numpy(np.int64) for name in ("label", "prediction_clean"))
    rates["accuracy"] = accuracy(clean, labels)
    for one in found.reactions:
        for column in (one.name, f"{one.name}_placebo"):
            changed = ledger[f"prediction_{column}"].to_numpy(np.int64)
            rates[f"flip_rate_{column}"] = Rate(int((changed != clean).sum()), len(labels), "held-out images")
            rates[f"accuracy_{column}"] = accuracy(changed, labels)
    return rates


def _counted(found: SensitivityProbe) -> dict[str, Counted]:
    rules = {"accuracy": Counted(LEDGER, ((same("prediction_clean", "label"),),))}
    for one in found.reactions:
        for column in (one.name, f"{one.name}_placebo"):
            changed = f"prediction_{column}"
            rules[f"flip_rate_{column}"] = Counted(LEDGER, ((differs(changed, "prediction_clean"),),))
            rules[f"accuracy_{column}"] = Counted(LEDGER, ((same(changed, "label"),),))
    return rules


def _quantities(one: Reaction) -> dict[str, Quantity]:
    found = {
        f"{one.name}, excess flip rate": Quantity(
            one.excess.difference,
            SHARE,
            "flips beyond the placebo's, paired over images",
            one.excess.interval,
        ),
        f"{one.name}, p": Quantity(
            one.excess.p_holm, "p-value", "McNemar's exact, corrected by Holm over the interventions"
        ),
        f"{one.name}, effect on the margin": Quantity(
            one.effect.mean, "logits", "how much further it moves the margin than the placebo", one.effect.interval
        ),
        f"{one.name}, signed effect": Quantity(
            one.signed.mean, "logits", "what it adds to the label's margin beyond the placebo", one.signed.interval
        ),
        f"{one.name}, norm": Quantity(
            one.norm, "", f"root mean square change of a pixel on [0, 1]; the placebo's is {one.placebo_norm:.4g}"
        ),
    }
    if one.effect.detectable > 0:  # 0 where nothing ever moved: no spread to say anything by
        meaning = "how much further than the placebo it must move the margin to be found with 80 % power"
        found[f"{one.name}, minimum detectable effect"] = Quantity(one.effect.detectable, "logits", meaning)
    if one.excess.detectable is not None:
        meaning = "the smallest excess that this many images find with 80 % power"
        found[f"{one.name}, minimum detectable excess"] = Quantity(one.excess.detectable, SHARE, meaning)
    return found


def _facts(one: Reaction, classifier: Classifier) -> dict[str, str]:
    parts = [f"{c.name}: {'yes' if c.met else 'no'} ({c.explanation})" for c in one.conditions]
    most = [f"{classifier.class_names[label]} {count}" for label, count in list(one.changed_to.items())[:3]]
    words = f"; changed predictions went most often to {', '.join(most)}" if most else ""
    return {f"verdict on {one.name}": f"{one.verdict}{_beside(one)}. {'; '.join(parts)}{words}"}


def _beside(one: Reaction) -> str:
    """Return what belongs beside a verdict that found nothing: that nothing could be, or how much would have been."""
    if not one.controls_null:
        return " (not decidable: the placebo is no control)"
    if one.verdict == SENSITIVE:
        return ""
    if one.excess.detectable is None:
        return " (so few images find no excess of flips at all)"
    return f" (an excess of {100 * one.excess.detectable:.1f} points of flips is found with 80 % power)"


def _galleries(
    job: AuditJob,
    classifier: Classifier,
    images: ImageSet,
    changes: Mapping[str, Change],
    found: SensitivityProbe,
    section: InterventionBias,
) -> tuple[Gallery, ...]:
    """Return for each intervention pictures as they are, changed and under the placebo, each with its Grad-CAM."""
    if not section.shown:
        return ()
    per_class = max(1, section.shown // found.ledger["label"].nunique())
    rows = sample_evidence(found.ledger, per_class=per_class, most=section.shown, seed=job.seed("bias"))
    pixels, hashes = images.load(rows), tuple(images.hashes[i] for i in rows)
    note = "Grad-CAM of the predicted class is a correlate, not a cause: it illustrates, the intervention decides."
    chosen = f"{len(rows)} images, as many of each class as there was room for, drawn uniformly at random "
    chosen += f"(seed {job.seed('bias')}); what the "
    chosen += "classifier predicts plays no part in it"
    galleries = []
    for name, change in changes.items():
        changed = change(pixels, hashes)
        control = placebo(pixels, changed, hashes, seed=job.seed("bias"))
        shown = {"as it is": pixels, name: changed, "placebo": control}
        galleries.append(
            Gallery(
                f"{name}: as it is, changed, placebo", _pictures(job, classifier, images, rows, shown), chosen, note
            )
        )
    return tuple(galleries)


def _pictures(
    job: AuditJob, classifier: Classifier, images: ImageSet, rows: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    shown: Mapping[str, torch.Tensor],
) -> tuple[tuple[Picture, ...], ...]:  # fmt: skip
    names, made = classifier.class_names, list[list[Picture]]()
    explained = {
        what: explainer("gradcam").explain(classifier, pixels.to(classifier.device, classifier.dtype))
        for what, pixels in shown.items()
    }
    for place, row in enumerate(rows.tolist()):
        label, line = names[images.labels[row]], list[Picture]()
        for what, pixels in shown.items():
            predicted = names[int(explained[what].targets.classes[place])]
            line.append(
                store_image(
                    job.store,
                    pixels[place],
                    caption=f"{what}: {predicted}",
                    alt=f"The image of a {label}, {what}, predicted {predicted}.",
                )
            )
            laid_over = overlay(pixels[place], explained[what].normalised[place])
            line.append(
                store_picture(
                    job.store, laid_over, caption=f"Grad-CAM, {predicted}", alt=f"Grad-CAM of {predicted} laid over it."
                )
            )
        made.append(line)
    return tuple(map(tuple, made))
