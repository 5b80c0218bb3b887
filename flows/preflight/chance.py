"""A network that is no better than guessing."""

from collections.abc import Iterator

import numpy as np
from scipy.stats import binomtest

from flows.preflight.notice import Notice
from flows.preflight.sample import Inspected, Sample


def near_chance(inspected: Inspected) -> Iterator[Notice]:
    """Yield an error for each network whose accuracy is that of a guess.

    That is: an exact binomial test (one-sided) against always naming the commonest label does not reject at 0.05, and
    the 99 % upper bound of the accuracy is less than half of the way from chance to perfect. So a small sample that
    could come from a good network raises nothing.
    """
    for sample in inspected.samples:
        if len(set(sample.wider.labels.tolist())) < 2:
            continue  # against one class alone, every answer is a guess
        right, total = int((sample.predicted == sample.wanted).sum()), len(sample.wider)
        chance = _chance(sample)
        test = binomtest(right, total, chance, alternative="greater")
        most = binomtest(right, total).proportion_ci(0.98, method="exact").high
        if test.pvalue > 0.05 and most < (1 + chance) / 2:
            yield Notice(
                "near-chance",
                "error",
                sample.name,
                f"it is right on {right} of {total} images; always naming the commonest label is right on "
                f"{100 * chance:.3g} %",
                "look at the weights (were they loaded, and all of them?), the labels and the preprocessing: there is "
                "nothing to attack in a network that guesses",
            )


def _chance(sample: Sample) -> float:
    counts = np.bincount(sample.wider.labels)
    return max(float(counts.max()) / len(sample.wider), 1 / len(sample.classifier.class_names))
