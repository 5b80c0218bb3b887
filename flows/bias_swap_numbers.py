"""Every number of a background probe's finding: rates and how they are counted, quantities, words, groups."""

from dataclasses import dataclass

import pandas as pd

from explainers.bias.crossed import CrossedDesign
from explainers.bias.evidence import BiasEvidence, EnergyInMask
from explainers.bias.measures import LEAST_GROUP, BareAccuracies, Sensitivity
from explainers.bias.measures import object_swaps as object_swap_rates
from explainers.bias.verdict import BackgroundProbe, Question
from explainers.resampling import Effect
from wolfhound.counting import Case, Condition, Counted, differs, holds, holds_not, same
from wolfhound.evidence import SHARE, Quantity, RateTable
from wolfhound.statistics import Rate

USES = "uses the confounder"
IMAGES, BACKGROUNDS, CROSSED, CELLS = "per image", "per background", "crossed, per object", "crossed, per cell"
MOST_KINDS = 8
"""A table of groups with more columns than this is not printed; every image's group is in the ledger."""


@dataclass(frozen=True, eq=False)
class SwapResult:
    """Everything that was measured on one classifier."""

    probe: BackgroundProbe
    crossed: CrossedDesign | None
    evidence: BiasEvidence
    bare: BareAccuracies
    sensitivity: Sensitivity


Group = tuple[int, str]


def worst_group(probe: BackgroundProbe) -> Group | None:
    """Return label and background of the least accurate group that is large enough; None if none is."""
    rates = _group_rates(probe.ledger)
    large = [group for group, rate in rates.items() if rate.total >= LEAST_GROUP]
    return min(large, key=lambda group: rates[group].share) if large else None


def _group_rates(ledger: pd.DataFrame) -> dict[Group, Rate]:
    """Return the accuracy on images as they are of every class on every kind of background that occurs."""
    groups = zip(ledger["label"].tolist(), ledger["background"].tolist(), strict=True)
    return {group: _group_rate(ledger, group) for group in sorted(set(groups))}


def rates_of(result: SwapResult, worst: Group | None) -> dict[str, Rate]:
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
        **object_swap_rates(probe.ledger, probe.question),
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


def counting_of(question: Question, result: SwapResult, worst: Group | None) -> dict[str, Counted]:
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
        "accuracy_noise_on_object": ((same("prediction_noise_object", "label"),),),
        "accuracy_noise_on_background": ((same("prediction_noise_background", "label"),),),
    }
    rules = {name: Counted(IMAGES, cases) for name, cases in successes.items()}
    against = (differs("partner_background", "background"),)
    rules["follows_object"] = Counted(IMAGES, ((same("prediction_object", "partner_label"),),), total=against)
    stays = tuple(
        (holds("prediction_object", label), holds("background", kind)) for label, kind in question.usual.items()
    )
    rules["stays_with_background"] = Counted(IMAGES, stays, total=against)
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


def facts_of(result: SwapResult) -> dict[str, str]:
    probe, check = result.probe, result.evidence.check
    words = {
        "verdict": probe.text,
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


def quantities_of(result: SwapResult) -> dict[str, Quantity]:
    probe = result.probe
    found = _effects(result)
    found |= _optional_quantities(result)
    of_class = [one.detectable for one in probe.excess]
    if None not in of_class:
        meaning = "the smallest excess in the hardest class that survives Holm's correction with 80 % power"
        worst = max(share for share in of_class if share is not None)
        found["minimum detectable excess, one class"] = Quantity(worst, SHARE, meaning)
    for name, energy in (("own", result.evidence.energy), ("swapped", result.evidence.energy_swapped)):
        found |= _energy_quantities(name, energy)
    overlap = result.evidence.overlap
    found["Grad-CAM, overlap with the object"] = Quantity(
        overlap.overlap, "share", f"mean intersection over union; {overlap.settings}; a correlate"
    )
    return found


def _effects(result: SwapResult) -> dict[str, Quantity]:
    probe, pooled = result.probe, result.probe.pooled
    found = {
        "excess flip rate": Quantity(
            pooled.difference, SHARE, "flips beyond the placebo's, paired over images", pooled.interval
        ),
        "McNemar p": Quantity(pooled.p_value, "p-value", "exact, flips under the other background against placebo"),
        "background gap": Quantity(
            probe.background_gap,
            SHARE,
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
    found |= _class_effects(probe)
    if probe.effect.detectable > 0:  # 0 where the margin never moved: no spread to say anything by
        meaning = "the smallest effect that this many groups of images find with 80 % power"
        found["minimum detectable effect on the margin"] = Quantity(probe.effect.detectable, "logits", meaning)
    if pooled.detectable is not None:
        found["minimum detectable excess"] = Quantity(
            pooled.detectable,
            SHARE,
            "the smallest excess over all classes together that this many images find with 80 % power",
        )
    return found


def _class_effects(probe: BackgroundProbe) -> dict[str, Quantity]:
    """Return the effect of each class; nothing where there are too many to print (the ledger has every image's)."""
    if len(probe.effect_by_class) > MOST_KINDS:
        return {}
    return {
        f"effect on the margin, {name}": Quantity(
            effect.mean,
            "logits",
            f"of this class alone; permutation p {probe.effect_p_holm[name]:.3g}, corrected by Holm over the classes; "
            "opposite signs say that one background suits any object, not that it stands for a class",
            effect.interval,
        )
        for name, effect in probe.effect_by_class.items()
    }


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


def group_tables(identifier: str, probe: BackgroundProbe) -> tuple[RateTable, ...]:
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
            name=identifier.replace("/", "_") + "_groups",
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
