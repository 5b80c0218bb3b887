"""Reasons not to trust a result, raised automatically. A finding with a doubt is inconclusive, never green.

Here are those that need nothing but predictions, so that they can be raised again from a ledger, without the network;
those about the network itself are in `attacks.network_doubts`. Each is explained in docs/doubts.md.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attacks.network_doubts import classifier_doubts as classifier_doubts
from attacks.network_doubts import doubt
from attacks.network_doubts import training_mode as training_mode
from wolfhound.evidence import Doubt
from wolfhound.metrics import Predictions, accuracy, fooling_rate
from wolfhound.statistics import Rate, mcnemar_exact

Outcomes = NDArray[np.bool_]

POINTS = 0.2
"""Percentage points by which an attack that knows less may be ahead of one that knows more before it is a doubt."""

LEVEL = 0.05
"""Level of the exact McNemar test that tells a lead from chance; divided by the number of pairs if there are many."""


def epsilon_zero_doubt(clean: Predictions, control: Predictions) -> Doubt | None:
    """Return a doubt where predictions under a perturbation of size 0 differ from the clean ones."""
    changed = int((clean != control).sum())
    if not changed:
        return None
    return doubt(
        "epsilon-zero",
        f"{changed} of {len(clean)} predictions differ between the clean images and the same images under a "
        "perturbation of size 0: the measurement itself is not reproducible.",
    )


def weaker_than_noise(
    clean: Predictions, attacked: Predictions, noise: Sequence[Predictions], *, name: str
) -> Doubt | None:
    """Return a doubt where a white-box perturbation fools fewer images than the strongest of its noise controls."""
    if not noise or not len(clean):
        return None
    attack = fooling_rate(clean, attacked).percent
    control = max(fooling_rate(clean, column).percent for column in noise)
    if attack >= control:
        return None
    return doubt(
        "weaker-than-noise",
        f"{name} fools {attack:.1f} % of the images, random noise of the same size {control:.1f} %: the attack did not "
        "work, so its failure says nothing about the network.",
    )


def _lead(behind: Outcomes, ahead: Outcomes) -> tuple[float, float]:
    """Return by how many points `ahead` succeeds more often on the same images, and the exact McNemar p-value of it."""
    if behind.shape != ahead.shape or behind.ndim != 1:
        raise ValueError(f"expected two outcome vectors of one length, got {behind.shape} and {ahead.shape}")
    more, fewer = int(np.sum(ahead & ~behind)), int(np.sum(behind & ~ahead))
    return 100 * (more - fewer) / len(behind), mcnemar_exact(more, fewer)


def transfer_stronger(
    clean: Predictions, direct: Predictions, transferred: Predictions, *, name: str, level: float = LEVEL
) -> Doubt | None:
    """Return a doubt where a perturbation from another network fools this one more than its own.

    More by over `POINTS` percentage points, and, as few images can make that much by chance, with an exact McNemar
    p-value below `level` on the same images.
    """
    if not len(clean):
        return None
    ahead, p_value = _lead(direct != clean, transferred != clean)
    if ahead <= POINTS or p_value >= level:
        return None
    return doubt(
        "transfer-stronger",
        f"{name}, crafted on another network, fools {ahead:.1f} points more images than the perturbation crafted "
        f"on this one (exact McNemar p = {p_value:.2g}): the direct attack was not carried to its end, or the "
        "gradients are masked.",
    )


def black_box_stronger(white: Outcomes, black: Outcomes, *, name: str, level: float = LEVEL) -> Doubt | None:
    """Return a doubt where an attack that only asks succeeds on more images than the best one that has the gradients.

    `white`, `black` `[N]`: success on the same images, of all white-box attacks together and of the black-box one. More
    by over `POINTS` percentage points, and beyond chance (exact McNemar p below `level`).
    """
    if not len(white):
        return None
    ahead, p_value = _lead(white, black)
    if ahead <= POINTS or p_value >= level:
        return None
    return doubt(
        "black-box-stronger",
        f"{name}, which has no gradients, succeeds on {ahead:.1f} points more images than the attacks that have them "
        f"(exact McNemar p = {p_value:.2g}): the gradients mislead, and the white-box numbers are too low.",
    )


def not_monotone(by_epsilon: Sequence[tuple[float, Outcomes]], *, level: float = LEVEL) -> Doubt | None:
    """Return a doubt where a larger perturbation succeeds less often than a smaller one on the same images.

    `by_epsilon`: epsilon and success `[N]` of the same attack. Every pair of sizes is compared: the smaller one ahead
    by over `POINTS` percentage points with an exact McNemar p below `level` over the number of pairs.
    """
    ordered = sorted(by_epsilon, key=lambda row: row[0])
    pairs = [(small, large) for i, small in enumerate(ordered) for large in ordered[i + 1 :] if len(small[1])]
    leads = [(small[0], large[0], *_lead(large[1], small[1])) for small, large in pairs]
    beyond_chance = [row for row in leads if row[2] > POINTS and row[3] < level / len(leads)]
    if not beyond_chance:
        return None
    small, large, ahead, p_value = max(beyond_chance, key=lambda row: row[2])
    return doubt(
        "not-monotone",
        f"at epsilon {small:.4g} the attack succeeds on {ahead:.1f} points more images than at {large:.4g} (exact "
        f"McNemar p = {p_value:.2g}), although whatever is allowed there is allowed here: it is stuck, so its numbers "
        "are too low.",
    )


def above_chance(labels: Predictions, attacked: Predictions) -> Doubt | None:
    """Return a doubt where an attack of linf 0.5 leaves more accuracy than always giving one answer has.

    Within linf 0.5 every image can be turned into the same grey one, so no network can be right on more images than the
    commonest label has. A doubt where the accuracy's whole Wilson 95 % interval lies above that.
    """
    if not len(labels):
        return None
    kept = accuracy(attacked, labels)
    chance = Rate(int(np.bincount(labels).max()), len(labels), kept.denominator)
    if kept.interval().low <= chance.share:
        return None
    return doubt(
        "above-chance",
        f"at linf 0.5, where every image can be made the same grey one, {kept.percent:.1f} % are still classified "
        f"correctly; one answer for all would be right on {chance.percent:.1f} %. The attack does not work here.",
    )


def still_rising(once: Outcomes, twice: Outcomes, *, iterations: int, level: float = LEVEL) -> Doubt | None:
    """Return a doubt where doubling the iterations still makes the attack succeed on more images.

    `once`, `twice` `[N]`: success after `iterations` and after twice as many. More by over `POINTS` percentage points
    and beyond chance (exact McNemar p below `level`).
    """
    if not len(once):
        return None
    ahead, p_value = _lead(once, twice)
    if ahead <= POINTS or p_value >= level:
        return None
    return doubt(
        "still-rising",
        f"{2 * iterations} iterations instead of {iterations} make the attack succeed on {ahead:.1f} points more "
        f"images (exact McNemar p = {p_value:.2g}): it has not converged, so its number is a lower bound only.",
    )


def not_started(ledger: pd.DataFrame, *, name: str) -> Doubt | None:
    """Return a doubt where an attack that starts from pictures found none to start from, for some image.

    `ledger`: of `attacks.per_image.driver`. Such an image took no step and did not succeed.
    """
    idle = int(((ledger["steps"] == 0) & ~ledger["success"].astype(bool)).sum())
    if not idle:
        return None
    return doubt(
        "not-started",
        f"{name} found no picture to start from for {idle} of {len(ledger)} images: none that it tried is classified "
        "as it wants. They count as not fooled, although nothing was tried on them.",
    )


def ledger_doubts(
    ledger: pd.DataFrame, *, own: str, others: Sequence[str] = (), noise: Sequence[str] = (), zero: str | None = None
) -> tuple[Doubt, ...]:
    """Return the doubts that one target's ledger (see `attacks.judge.transfer_predictions`) raises.

    `own`, `others`, `noise` and `zero` name its columns: the perturbation crafted on this network, those crafted on
    others, the noise controls, and a perturbation of size 0 where one was judged.
    """

    def column(name: str) -> Predictions:
        return ledger[name].to_numpy(dtype=np.int64)

    clean = column("clean")
    found = [weaker_than_noise(clean, column(own), [column(name) for name in noise], name=own)]
    found += [transfer_stronger(clean, column(own), column(name), name=name) for name in others]
    if zero is not None:
        found.append(epsilon_zero_doubt(clean, column(zero)))
    return tuple(each for each in found if each is not None)
