"""Does a classifier hang on a named property of the image? Interventions on whole images against their placebos.

Ledger, one row an image: image, label, prediction_clean, margin_clean, and for every intervention X: prediction_X,
margin_X, norm_X and the same for X_placebo. Margins: z_label - max of the other logits that are decided among.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch

from explainers.bias.composites import norms
from explainers.bias.interventions import Change, placebo
from explainers.bias.probe import Answers, Asker
from explainers.bias.verdict import Condition, ExcessFlips, Question, excess_flips, null_control
from explainers.resampling import Effect, mean_effect
from wolfhound.classifier import Classifier, frozen
from wolfhound.images import ImageSet
from wolfhound.progress import Progress, silent
from wolfhound.statistics import holm

SENSITIVE, NOT_FOUND = "depends on it", "no evidence found"
LEAST_SIZE, TOLERATED_SMALLER = 0.99, 0.05
"""A placebo's norm as a share of the intervention's, and the share of images on which it may be smaller."""


@dataclass(frozen=True)
class Reaction:
    """What one intervention did beyond its placebo.

    Attributes:
        verdict: "depends on it" only if every condition is met. A placebo that is smaller than the intervention (noise
            that fits in [0, 1] can be) controls nothing, so its size is one of them.
        excess: flips under the intervention beyond those under the placebo, p by McNemar, Holm over interventions.
        effect: mean of |margin_X - margin_clean| - |margin_X_placebo - margin_clean|, in logits: how much further the
            intervention moves the decision than the placebo, whichever way. (A tint that stands for one class raises
            that class's margins and lowers the others', so a signed mean would cancel.)
        signed: mean of margin_X - margin_X_placebo, in logits; below 0 it takes away from the labels.
        norm, placebo_norm: mean root mean square change of a pixel, of both.
        changed_to: class -> how many changed predictions went there, the commonest first.
    """

    name: str
    verdict: str
    conditions: tuple[Condition, ...]
    excess: ExcessFlips
    effect: Effect
    signed: Effect
    norm: float
    placebo_norm: float
    changed_to: Mapping[int, int]

    @property
    def controls_null(self) -> bool:
        """Whether the placebo was as large as the intervention and did little; if not, nothing could be decided."""
        return all(condition.met for condition in self.conditions if condition.name.startswith("control"))


@dataclass(frozen=True, eq=False)
class SensitivityProbe:
    """Every intervention's reaction, and the ledger that they come from."""

    reactions: tuple[Reaction, ...]
    ledger: pd.DataFrame = field(repr=False)


def sensitivity_probe(
    classifier: Classifier,
    images: ImageSet,
    interventions: Mapping[str, Change],
    *,
    question: Question | None = None,
    seed: int,
    batch_size: int = 64,
    significance: float = 0.05,
    tolerated: float = 0.10,
    resamples: int = 2000,
    progress: Progress = silent,
) -> SensitivityProbe:
    """Return how predictions on `images` react to each intervention.

    Args:
        classifier: left exactly as found.
        question: decides among these classes alone; None decides among all. Its backgrounds play no part.
        significance, tolerated: of the verdict, as in `ProbeSettings`.

    Raises:
        ModelError: a user's intervention that fails; ValueError: fewer than 2 images or no intervention.
    """
    if len(images) < 2 or not interventions:
        raise ValueError(f"expected 2 images or more and an intervention, got {len(images)} and {len(interventions)}")
    asked = question or _all_classes(classifier)
    steps = len(images) * (1 + 2 * len(interventions))
    with (
        progress(f"interventions on {classifier.name}", steps) as advance,
        torch.no_grad(),
        frozen(classifier.module),
    ):
        ask = Asker(classifier, asked, among_classes=True, advance=advance)
        parts = [
            _batch(ask, images, positions, interventions, seed=seed) for positions, _ in images.batches(batch_size)
        ]
    ledger = pd.concat(parts, ignore_index=True)
    return judge_reactions(
        ledger,
        tuple(interventions),
        seed=seed,
        significance=significance,
        tolerated=tolerated,
        resamples=resamples,
    )


def _all_classes(classifier: Classifier) -> Question:
    names = classifier.class_names
    return Question(tuple(range(len(names))), names, names)


def _batch(
    ask: Asker,
    images: ImageSet,
    positions: "np.ndarray[tuple[int], np.dtype[np.int64]]",
    interventions: Mapping[str, Change],
    *,
    seed: int,
) -> pd.DataFrame:
    pixels, labels = images.load(positions), images.labels[positions]
    hashes = tuple(images.hashes[i] for i in positions)
    columns: dict[str, object] = {"image": hashes, "label": labels}

    def note(name: str, answers: Answers) -> None:
        columns[f"prediction_{name}"] = answers.predictions
        columns[f"margin_{name}"] = answers.margins(labels, ask.question)

    note("clean", ask(pixels))
    for name, change in interventions.items():
        changed = change(pixels, hashes)
        control = placebo(pixels, changed, hashes, seed=seed)
        for column, made in ((name, changed), (f"{name}_placebo", control)):
            note(column, ask(made))
            columns[f"norm_{column}"] = norms(made - pixels).double().numpy()
    return pd.DataFrame(columns)


def judge_reactions(
    ledger: pd.DataFrame, names: tuple[str, ...], *, seed: int, significance: float, tolerated: float, resamples: int
) -> SensitivityProbe:
    """Return every number and verdict from the ledger alone."""
    excess = [
        excess_flips(
            ledger["prediction_clean"].to_numpy(np.int64),
            ledger[f"prediction_{name}"].to_numpy(np.int64),
            ledger[f"prediction_{name}_placebo"].to_numpy(np.int64),
            name=name,
            significance=significance / len(names),
        )
        for name in names
    ]
    corrected = holm([one.p_value for one in excess])
    return SensitivityProbe(
        tuple(
            _reaction(ledger, ExcessFlips(**{**vars(one), "p_holm": p_holm}), seed, significance, tolerated, resamples)
            for one, p_holm in zip(excess, corrected, strict=True)
        ),
        ledger,
    )


def _reaction(
    ledger: pd.DataFrame, excess: ExcessFlips, seed: int, significance: float, tolerated: float, resamples: int
) -> Reaction:
    name = excess.name
    clean, changed_to, control = (
        ledger[f"margin_{which}"].to_numpy(np.float64) for which in ("clean", name, f"{name}_placebo")
    )
    further, every = np.abs(changed_to - clean) - np.abs(control - clean), np.arange(len(clean))
    effect = mean_effect(further, every, seed=seed, resamples=resamples)
    bounds = effect.interval
    conditions = (
        Condition(
            "the effect's interval lies above 0",
            bounds.low > 0,
            f"{effect.mean:+.3g} logits [{bounds.low:.3g}, {bounds.high:.3g}]",
        ),
        Condition(
            "excess flips survive Holm's correction",
            excess.difference > 0 and excess.p_holm < significance,
            f"{100 * excess.difference:+.1f} points, p = {excess.p_holm:.2g}",
        ),
        null_control("control: placebo", excess.placebo, significance=significance, tolerated=tolerated),
        _of_equal_size(ledger, name),
    )
    changed = ledger.loc[ledger[f"prediction_{name}"] != ledger["prediction_clean"], f"prediction_{name}"]
    return Reaction(
        name=name,
        verdict=SENSITIVE if all(condition.met for condition in conditions) else NOT_FOUND,
        conditions=conditions,
        excess=excess,
        effect=effect,
        signed=mean_effect(changed_to - control, every, seed=seed, resamples=resamples),
        norm=float(ledger[f"norm_{name}"].mean()),
        placebo_norm=float(ledger[f"norm_{name}_placebo"].mean()),
        changed_to=dict(Counter(changed.tolist()).most_common()),
    )


def _of_equal_size(ledger: pd.DataFrame, name: str) -> Condition:
    norms_of, placebos = (ledger[f"norm_{which}"].to_numpy(np.float64) for which in (name, f"{name}_placebo"))
    smaller = int((placebos < LEAST_SIZE * norms_of).sum())
    explanation = f"smaller than {100 * LEAST_SIZE:g} % of it on {smaller} of {len(ledger)} images"
    return Condition(
        "control: placebo as large as the intervention", smaller <= TOLERATED_SMALLER * len(ledger), explanation
    )
