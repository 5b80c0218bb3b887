"""From a background probe's ledger to its numbers and its verdict. Needs no network: the ledger is enough."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from explainers.resampling import Effect, detectable_excess, mean_effect
from wolfhound.differences import paired_newcombe_interval
from wolfhound.metrics import accuracy, fooling_rate
from wolfhound.statistics import Interval, Rate, holm, mcnemar_exact

Verdict = Literal["uses the confounder", "no evidence found"]
Predictions = NDArray[np.int64]
Kind = Literal["usual", "unusual"]
_KINDS: tuple[Kind, Kind] = ("usual", "unusual")
ALL = "all classes"


@dataclass(frozen=True)
class ProbeSettings:
    """What is fixed before the probe runs.

    Attributes:
        doses: shares of the other background blended into the image's own, in [0, 1].
        significance: of the excess flips, after Holm's correction over the classes.
        tolerated_control_flips: a control is null unless its flip rate is significantly above this (one-sided exact
            binomial test at `significance`): no classifier is perfectly still when pixels change.
        resamples: bootstrap samples of each interval of an effect in logits.
        among_classes: decide among the classes asked about alone instead of among all (for classifiers of many classes,
            whose prediction wanders between near synonyms under any change).
        noise: of `noise_object` and `noise_background`: the norm of the noise divided by that of an image of ones, at
            most what fits on the object and around it.
    """

    doses: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0)
    significance: float = 0.05
    tolerated_control_flips: float = 0.10
    resamples: int = 2000
    among_classes: bool = False
    noise: float = 0.1

    def __post_init__(self) -> None:
        if not self.doses or not all(0 <= dose <= 1 for dose in self.doses):
            raise ValueError(f"expected doses in [0, 1], got {self.doses}")
        if not self.noise > 0:
            raise ValueError(f"expected a strength of noise above 0, got {self.noise}")
        if not (0 < self.significance < 1 and 0 <= self.tolerated_control_flips < 1 and self.resamples > 0):
            raise ValueError(f"expected significance in (0, 1), tolerance in [0, 1) and resamples, got {self}")


@dataclass(frozen=True)
class Question:
    """What was asked: do predictions between these classes depend on the background that each is usually seen on?

    `classes` are the labels, `names` their names, `backgrounds` their usual backgrounds, in the same order.
    """

    classes: tuple[int, ...]
    names: tuple[str, ...]
    backgrounds: tuple[str, ...]

    @property
    def usual(self) -> dict[int, str]:
        """Label -> its usual kind of background."""
        return dict(zip(self.classes, self.backgrounds, strict=True))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The different kinds of background, in the order of the classes."""
        return tuple(dict.fromkeys(self.backgrounds))


@dataclass(frozen=True)
class ExcessFlips:
    """Flips under another class's background beyond those under another background of the same kind (placebo).

    `interval` is of the difference, paired (Newcombe), images taken as independent; `p_value` is McNemar's exact one,
    `p_holm` corrected over the classes (equal to `p_value` for all images together); `detectable` the smallest excess
    that would be found with 80 % power, None where no excess could be.
    """

    name: str
    other: Rate
    placebo: Rate
    difference: float
    interval: Interval
    p_value: float
    p_holm: float
    detectable: float | None


@dataclass(frozen=True)
class Condition:
    """One part of the verdict rule, whether it is met, and the numbers that say so."""

    name: str
    met: bool
    explanation: str


@dataclass(frozen=True, eq=False)
class BackgroundProbe:
    """Whether a classifier's prediction between the classes uses the background, and everything that was measured.

    Margins and effects are in logits: z_label - max z_j over the other classes asked about (two classes: z_a - z_b).
    The effect of an image is its margin on the background usual for its class minus that on another, so a positive mean
    says that the background pulls the prediction the usual way.

    Attributes:
        conditions: the rule, part by part.
        accuracy: on the image as it is ("own"), on another background of the own kind ("same"), of the other kind
            ("other"), on backgrounds usual for the class ("usual") and on those of the other class ("unusual").
        background_gap_interval: paired (Newcombe), of the `background_gap` (Xiao et al. 2020).
        excess: one an involved class; `pooled` over all images.
        effect: on the margin, all images; `effect_by_class` those of each class whose images meet two groups of plates
            or more, and `effect_p_holm` their p-values, corrected over these classes.
        placebo_effect: from the image to a background of its own kind, signed the usual way.
        follows_background: share of the flips under the other background that go to a class usual for it.
        artefact: predictions changed by a mask one pixel wider or narrower on the placebo's background.
        background_only: backgrounds without any object for which the classifier chooses a class usual for them.
        chance: what always answering one class would reach there; `background_only_p` two-sided against it.
        dose_response: columns dose, flips, images, mean_margin_toward_label.
        ledger: one row an image; `background_ledger` one row a background.
        left_out: given images of other classes or backgrounds, which the question does not concern, and repetitions.
    """

    classifier: str
    question: Question
    settings: ProbeSettings
    seed: int
    conditions: tuple[Condition, ...]
    accuracy: Mapping[str, Rate]
    background_gap_interval: Interval
    excess: tuple[ExcessFlips, ...]
    pooled: ExcessFlips
    effect: Effect
    effect_by_class: Mapping[str, Effect]
    effect_p_holm: Mapping[str, float]
    placebo_effect: Effect
    follows_background: Rate
    artefact: Rate
    background_only: Rate
    chance: float
    background_only_p: float
    dose_response: pd.DataFrame = field(repr=False)
    ledger: pd.DataFrame = field(repr=False)
    background_ledger: pd.DataFrame = field(repr=False)
    left_out: int = 0

    @property
    def verdict(self) -> Verdict:
        """ "uses the confounder" only if every condition is met; otherwise "no evidence found".

        The second is to be read with `pooled.detectable` and `effect.detectable`.
        """
        return "uses the confounder" if all(condition.met for condition in self.conditions) else "no evidence found"

    @property
    def background_gap(self) -> float:
        """accuracy(usual) - accuracy(unusual), in [-1, 1]."""
        return self.accuracy["usual"].share - self.accuracy["unusual"].share

    @property
    def controls_null(self) -> bool:
        """Whether both controls were null; if not, "no evidence found" means that the probe could not decide."""
        return all(condition.met for condition in self.conditions if condition.name.startswith("control"))

    @property
    def text(self) -> str:
        """The verdict in words: beside "no evidence found" what would have been found, or why nothing can be said."""
        if all(condition.met for condition in self.conditions):
            return self.verdict
        if not self.controls_null:
            return f"{self.verdict}: not decidable, because a control was not null"
        moved = self.effect.detectable > 0
        effect = (
            f"an effect on the margin of {self.effect.detectable:.3g} logits" if moved else "any effect on the margin"
        )
        return f"{self.verdict}; with 80 % power these images find {self._detectable_flips()} and {effect}"

    def _detectable_flips(self) -> str:
        """Return what would have been found by the rule: an excess in one class, at the level of Holm's first step."""
        found = [one.detectable for one in self.excess if one.detectable is not None]
        if lost := len(self.excess) - len(found):
            return f"no excess of flips in {lost} of {len(self.excess)} classes (too few images or a restless placebo)"
        return f"an excess of {100 * max(found):.1f} points of flips in any one class"


def judge(
    ledger: pd.DataFrame,
    background_ledger: pd.DataFrame,
    *,
    classifier: str,
    question: Question,
    settings: ProbeSettings,
    seed: int,
    left_out: int = 0,
) -> BackgroundProbe:
    """Return every number and the verdict from the stored ledgers (columns: see `explainers.bias.probe`)."""
    pooled, artefact = _excess(ledger, ALL, significance=settings.significance), _artefact(ledger)
    excess = _holm_over_classes(ledger, question, settings)
    rates, gap_interval = _accuracies(ledger, question)
    effects = _effects(ledger, question, seed=seed, settings=settings)
    by_class = {name: effects[name] for name in question.names if name in effects}
    only, chance, only_p = _background_only(background_ledger)
    return BackgroundProbe(
        classifier=classifier,
        question=question,
        settings=settings,
        seed=seed,
        conditions=_conditions(effects[ALL], excess, pooled, artefact, settings),
        accuracy=rates,
        background_gap_interval=gap_interval,
        excess=excess,
        pooled=pooled,
        effect=effects[ALL],
        effect_by_class=by_class,
        effect_p_holm=dict(zip(by_class, holm([one.p_value for one in by_class.values()]), strict=True)),
        placebo_effect=effects["placebo"],
        follows_background=_follows_background(ledger, question),
        artefact=artefact,
        background_only=only,
        chance=chance,
        background_only_p=only_p,
        dose_response=_dose_response(ledger, settings),
        ledger=ledger,
        background_ledger=background_ledger,
        left_out=left_out,
    )


def _integers(ledger: pd.DataFrame, column: str) -> Predictions:
    return ledger[column].to_numpy(dtype=np.int64)


def _numbers(ledger: pd.DataFrame, column: str) -> NDArray[np.float64]:
    return ledger[column].to_numpy(dtype=np.float64)


def _flips(ledger: pd.DataFrame, condition: str) -> NDArray[np.bool_]:
    changed: NDArray[np.bool_] = _integers(ledger, f"prediction_{condition}") != _integers(ledger, "prediction_own")
    return changed


def _excess(ledger: pd.DataFrame, name: str, *, significance: float) -> ExcessFlips:
    return excess_flips(
        _integers(ledger, "prediction_own"),
        _integers(ledger, "prediction_other"),
        _integers(ledger, "prediction_same"),
        name=name,
        significance=significance,
    )


def excess_flips(
    own: Predictions, intervened: Predictions, placebo: Predictions, *, name: str, significance: float
) -> ExcessFlips:
    """Return the flips under the intervention beyond those under the placebo, from predictions `[N]`.

    Args:
        significance: level at which `detectable` is stated, after any correction.
    """
    first, second, denominator = intervened != own, placebo != own, f"probed images ({name})"
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    p_value = mcnemar_exact(only_first, only_second)
    return ExcessFlips(
        name=name,
        other=fooling_rate(own, intervened, denominator=denominator),
        placebo=fooling_rate(own, placebo, denominator=denominator),
        difference=float(first.mean() - second.mean()),
        interval=paired_newcombe_interval(first, second),
        p_value=p_value,
        p_holm=p_value,
        detectable=detectable_excess(len(own), opposite=only_second / len(own), significance=significance),
    )


def _holm_over_classes(ledger: pd.DataFrame, question: Question, settings: ProbeSettings) -> tuple[ExcessFlips, ...]:
    # Holm's first step divides the level by the number of classes, so that is what a class must be found at.
    stricter = settings.significance / len(question.classes)
    found = [
        _excess(ledger[ledger["label"] == label], name, significance=stricter)
        for label, name in zip(question.classes, question.names, strict=True)
    ]
    corrected = holm([one.p_value for one in found])
    return tuple(ExcessFlips(**{**vars(one), "p_holm": p_holm}) for one, p_holm in zip(found, corrected, strict=True))


def _on_kind_of_label(ledger: pd.DataFrame, question: Question) -> NDArray[np.bool_]:
    """Whether each image's own background is the kind that is usual for its label."""
    return np.array(
        [question.usual[label] == kind for label, kind in zip(ledger["label"], ledger["background"], strict=True)],
        dtype=np.bool_,
    )


def _by_class_background(ledger: pd.DataFrame, question: Question, which: Kind) -> Predictions:
    """Predictions on composites whose background is usual, or not, for the label, wherever the image came from."""
    same_kind = _on_kind_of_label(ledger, question) == (which == "usual")
    return np.where(same_kind, _integers(ledger, "prediction_same"), _integers(ledger, "prediction_other"))


def _accuracies(ledger: pd.DataFrame, question: Question) -> tuple[dict[str, Rate], Interval]:
    """Return the accuracies by background, and the paired interval of usual minus unusual."""
    labels = _integers(ledger, "label")
    usual, unusual = (_by_class_background(ledger, question, which) for which in _KINDS)
    predicted = {name: _integers(ledger, f"prediction_{name}") for name in ("own", "same", "other")}
    predicted |= {"usual": usual, "unusual": unusual}
    rates = {name: accuracy(found, labels, denominator="probed images") for name, found in predicted.items()}
    return rates, paired_newcombe_interval(usual == labels, unusual == labels)


def _effects(ledger: pd.DataFrame, question: Question, *, seed: int, settings: ProbeSettings) -> dict[str, Effect]:
    own, same, other = (_numbers(ledger, f"margin_{name}") for name in ("own", "same", "other"))
    # An image that is not on its usual kind was moved to it, so one of the two composites is always the usual one.
    usual_way = np.where(_on_kind_of_label(ledger, question), 1.0, -1.0)
    swap, placebo = usual_way * (same - other), usual_way * (same - own)
    pairs, labels = _integers(ledger, "pair"), _integers(ledger, "label")
    effects = {ALL: swap, "placebo": placebo}
    found = {
        name: mean_effect(values, pairs, seed=seed, resamples=settings.resamples) for name, values in effects.items()
    }
    for label, name in zip(question.classes, question.names, strict=True):
        chosen = labels == label
        if len(np.unique(pairs[chosen])) < 2:  # no spread over backgrounds to estimate
            continue
        found[name] = mean_effect(swap[chosen], pairs[chosen], seed=seed, resamples=settings.resamples)
    return found


def _artefact(ledger: pd.DataFrame) -> Rate:
    given = _integers(ledger, "prediction_same")
    changed = (_integers(ledger, "prediction_wider") != given) | (_integers(ledger, "prediction_narrower") != given)
    return Rate(int(changed.sum()), len(ledger), "probed images (mask one pixel wider or narrower)")


def _follows_background(ledger: pd.DataFrame, question: Question) -> Rate:
    usual = [question.usual.get(label, "") for label in _integers(ledger, "prediction_other").tolist()]
    follows = np.array(usual) == ledger["background_other"].to_numpy()
    flips = _flips(ledger, "other")
    return Rate(int((flips & follows).sum()), int(flips.sum()), "flips under the other background")


def _background_only(background_ledger: pd.DataFrame) -> tuple[Rate, float, float]:
    """Return the rate, what always answering the commonest kind would reach, and the p-value against that."""
    right = (background_ledger["background"] == background_ledger["takes"]).to_numpy()
    rate = Rate(int(right.sum()), len(right), "backgrounds without an object")
    chance = float(background_ledger["background"].value_counts(normalize=True).max())
    return rate, chance, float(stats.binomtest(rate.successes, rate.total, chance).pvalue)


def _dose_response(ledger: pd.DataFrame, settings: ProbeSettings) -> pd.DataFrame:
    rows = []
    for dose in settings.doses:
        margin = _numbers(ledger, f"margin_dose_{dose:g}")
        flips = int(_flips(ledger, f"dose_{dose:g}").sum())
        rows.append({"dose": dose, "flips": flips, "images": len(ledger), "mean_margin_toward_label": margin.mean()})
    return pd.DataFrame(rows)


def _conditions(
    effect: Effect, excess: tuple[ExcessFlips, ...], pooled: ExcessFlips, artefact: Rate, settings: ProbeSettings
) -> tuple[Condition, ...]:
    survivors = [one for one in excess if one.difference > 0 and one.p_holm < settings.significance]
    numbers = "; ".join(f"{one.name} {100 * one.difference:+.1f} points, p = {one.p_holm:.2g}" for one in excess)
    bounds = effect.interval
    return (
        Condition(
            "the effect's interval excludes 0",
            effect.excludes_zero,
            f"{effect.mean:+.3g} logits [{bounds.low:.3g}, {bounds.high:.3g}]",
        ),
        Condition("excess flips survive Holm's correction", bool(survivors), numbers),
        _null("control: placebo", pooled.placebo, settings),
        _null("control: artefact", artefact, settings),
    )


def null_control(name: str, rate: Rate, *, significance: float, tolerated: float) -> Condition:
    """Return whether a control is null: it does not flip significantly more than the tolerated share."""
    p_value = float(stats.binomtest(rate.successes, rate.total, tolerated, alternative="greater").pvalue)
    explanation = f"{rate.text}; more than {100 * tolerated:g} %: p = {p_value:.2g}"
    return Condition(name, p_value >= significance, explanation)


def _null(name: str, rate: Rate, settings: ProbeSettings) -> Condition:
    return null_control(name, rate, significance=settings.significance, tolerated=settings.tolerated_control_flips)
