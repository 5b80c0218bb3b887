"""Scores of methods beside those of maps that know nothing: never a score alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from explainers.base import Targets
from explainers.checks.baselines import BASELINES
from explainers.checks.faithfulness import Baseline, deletion, insertion, road
from explainers.checks.localisation import localisation
from explainers.checks.ranking import constant
from explainers.resampling import Effect, mean_effect
from wolfhound.classifier import Classifier
from wolfhound.progress import Progress, silent

Values = NDArray[np.float64]

HIGH_IS_GOOD: Mapping[str, bool] = {
    "deletion": False,
    "deletion, contrast": False,
    "insertion": True,
    "insertion, contrast": True,
    "ROAD": True,
    "ROAD, contrast": True,
    "pointing game": True,
    "energy in the mask": True,
    "overlap with the mask": True,
}
"""Every score, and whether a good map's is high. ROAD is the least-relevant-first curve minus the other one."""


@dataclass(frozen=True)
class Against:
    """A method's score against one baseline's: the mean difference over the same images, with its interval."""

    baseline: str
    difference: Effect
    better: bool

    @property
    def interval_text(self) -> str:
        """The difference as it is printed: "+0.120 [+0.050, +0.190]"."""
        bounds = self.difference.interval
        return f"{self.difference.mean:+.3f} [{bounds.low:+.3f}, {bounds.high:+.3f}]"

    @property
    def text(self) -> str:
        """With the baseline: "+0.120 [+0.050, +0.190] against random"."""
        return f"{self.interval_text} against {self.baseline}"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Per-image scores of methods and baselines on the same images.

    Attributes:
        scores: score -> name of a method or baseline -> one value an image `[B]`.
        methods: the names that are methods, in order; the other ones are the baselines.
        settings: score family -> settings in words.
        constant: method -> images whose map has one value only.
        seed: of baselines, noise, ties and resampling.
    """

    scores: Mapping[str, Mapping[str, Values]] = field(repr=False)
    methods: tuple[str, ...]
    settings: Mapping[str, str]
    constant: Mapping[str, int]
    seed: int

    def mean(self, score: str, name: str) -> Effect:
        """Return a score's mean over the images, with a bootstrap interval over images."""
        return _effect(self.scores[score][name], seed=self.seed)

    def against(self, score: str, method: str) -> tuple[Against, ...]:
        """Return the method's paired differences to every baseline.

        `better` is True only where the whole interval lies on the good side of 0.
        """
        found = []
        for baseline in BASELINES:
            difference = _effect(self.scores[score][method] - self.scores[score][baseline], seed=self.seed)
            bounds = difference.interval
            better = bounds.low > 0 if HIGH_IS_GOOD[score] else bounds.high < 0
            found.append(Against(baseline, difference, better))
        return tuple(found)

    def beats_all(self, score: str, method: str) -> bool:
        """Whether the method is better than every baseline."""
        return all(one.better for one in self.against(score, method))

    def per_image(self, images: Sequence[str]) -> pd.DataFrame:
        """Return one row an image, score and name, from which every mean follows; `images` names them in order."""
        parts = [
            pd.DataFrame({"image": list(images), "score": score, "name": name, "value": values})
            for score, by_name in self.scores.items()
            for name, values in by_name.items()
        ]
        return pd.concat(parts, ignore_index=True)

    @property
    def table(self) -> pd.DataFrame:
        """One row a score and name: mean, interval, images, and whether a method beats every baseline."""
        rows = []
        for score, by_name in self.scores.items():
            for name in by_name:
                found, method = self.mean(score, name), name in self.methods
                rows.append(
                    {
                        "score": score,
                        "better_when": "high" if HIGH_IS_GOOD[score] else "low",
                        "name": name,
                        "kind": "method" if method else "baseline",
                        "mean": found.mean,
                        "low": found.interval.low,
                        "high": found.interval.high,
                        "images": found.images,
                        "beats_all_baselines": self.beats_all(score, name) if method else None,
                    }
                )
        return pd.DataFrame(rows)


def compare(
    classifier: Classifier,
    pixels: Tensor,
    maps: Mapping[str, Tensor],
    targets: Targets,
    *,
    masks: Tensor | None = None,
    with_road: bool = True,
    steps: int = 28,
    insertion_baseline: Baseline = "blurred",
    seed: int,
    batch_size: int = 32,
    progress: Progress = silent,
) -> Comparison:
    """Return every score of every method and baseline on the same images.

    Args:
        classifier: left exactly as found.
        pixels: `[B,3,H,W]` in [0, 1], at least 2 images.
        maps: method -> raw maps `[B,h,w]`.
        targets: what the maps explain.
        masks: objects `[B,1,H,W]`; without them nothing is said of where maps lie.
        with_road: ROAD solves a linear system for every image and share, which can take longer than the network.
        steps: of deletion and insertion.
        insertion_baseline: what insertion starts from. Large patches of colour survive a blur; where they are what the
            classifier reads, "mean" tells maps apart better.

    Raises:
        ValueError: no method, one that is called like a baseline, or fewer than 2 images; and as the scores do.
    """
    if not maps or set(maps) & set(BASELINES) or len(pixels) < 2:
        raise ValueError(
            f"expected at least 2 images and methods with names of their own, got {len(pixels)} and {list(maps)}"
        )
    size = (pixels.shape[-2], pixels.shape[-1])
    every = {**maps, **{name: make(len(pixels), size=size, seed=seed) for name, make in BASELINES.items()}}
    scores: dict[str, dict[str, Values]] = {}
    settings: dict[str, str] = {}
    options = _Options(steps, insertion_baseline, with_road, seed, batch_size)
    with progress(f"faithfulness of {len(maps)} method(s) on {classifier.name}", len(every)) as advance:
        for name, raw in every.items():
            found, settings = _scores(classifier, pixels, raw, targets, masks, options)
            for score, values in found.items():
                scores.setdefault(score, {})[name] = values
            advance(1)
    flat = {name: int(constant(raw).sum()) for name, raw in maps.items()}
    return Comparison(scores, tuple(maps), settings, flat, seed)


@dataclass(frozen=True)
class _Options:
    steps: int
    insertion_baseline: Baseline
    with_road: bool
    seed: int
    batch_size: int


def _scores(
    classifier: Classifier, pixels: Tensor, raw: Tensor, targets: Targets, masks: Tensor | None, options: _Options
) -> tuple[dict[str, Values], dict[str, str]]:
    """Return every score of one kind of map, and the settings, which are the same for all."""
    seed, size = options.seed, options.batch_size
    given, steps, start = (classifier, pixels, raw, targets), options.steps, options.insertion_baseline
    removed = deletion(*given, steps=steps, seed=seed, batch_size=size)
    added = insertion(*given, steps=steps, baseline=start, seed=seed, batch_size=size)
    scores = {
        "deletion": removed.probability_auc,
        "deletion, contrast": removed.contrast_auc,
        "insertion": added.probability_auc,
        "insertion, contrast": added.contrast_auc,
    }
    settings = {"deletion": removed.settings, "insertion": added.settings}
    if options.with_road:
        most, least = road(*given, seed=seed, batch_size=size)
        scores["ROAD"] = least.probability_auc - most.probability_auc
        scores["ROAD, contrast"] = least.contrast_auc - most.contrast_auc
        settings["ROAD"] = most.settings
    if masks is not None:
        lies = localisation(raw, masks, seed=seed)
        scores["pointing game"] = lies.hits.astype(np.float64)
        scores["energy in the mask"] = lies.energy
        scores["overlap with the mask"] = lies.overlap
        settings["localisation"] = lies.settings
    return scores, settings


def _effect(values: Values, *, seed: int) -> Effect:
    return mean_effect(values, np.arange(len(values), dtype=np.int64), seed=seed)
