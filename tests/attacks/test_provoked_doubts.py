"""Doubts about attacks, each provoked by a real attack on a real network, and absent where both are sound."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from attacks.controls import noise_controls
from attacks.doubts import above_chance, black_box_stronger, not_monotone, still_rising
from attacks.judge import transfer_predictions, under
from attacks.per_image.driver import attack_images
from attacks.per_image.targeted_ascent import TargetedAscent
from attacks.threat import Threat
from tests.attacks.test_network_doubts import wrapped
from wolfhound.classifier import Classifier
from wolfhound.images import ImageSet, Splits


def attacked(network: Classifier, images: ImageSet, *, epsilon: float, **settings: Any) -> pd.DataFrame:
    """Return the ledger of a targeted attack towards the next class."""
    attack, generator = TargetedAscent(**settings), torch.Generator().manual_seed(0)
    threat = Threat("linf", epsilon)
    return attack_images(attack, network, images, (images.labels + 1) % 4, threat, generator=generator).ledger


def hits(ledger: pd.DataFrame) -> NDArray[np.bool_]:
    return ledger["success"].to_numpy(np.bool_)


def changed(ledger: pd.DataFrame, *columns: str) -> NDArray[np.bool_]:
    """Return where any of the columns differs from the clean prediction."""
    result: NDArray[np.bool_] = (ledger[list(columns)].to_numpy() != ledger[["clean"]].to_numpy()).any(axis=1)
    return result


def rounding(trained: Classifier) -> Classifier:
    """A network behind a quantising defence: its gradient is zero nearly everywhere."""
    return wrapped(trained, before=lambda x: (x * 8).round() / 8)


def after_both(network: Classifier, images: ImageSet) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return on which images a white-box attack of linf 16/255, and the best of 30 random noises, change the answer."""
    threat = Threat("linf", 16 / 255)
    white = attacked(network, images, epsilon=threat.epsilon, most_steps=1, step=1.0)
    noise = noise_controls(threat, images.size, seeds=range(30))
    black = transfer_predictions(network, images, under(threat, noise))
    return changed(white, "adversarial"), changed(black, *noise)


def test_random_search_beats_the_gradient_on_a_masked_network_only(trained: Classifier, textures: Splits) -> None:
    white, black = after_both(rounding(trained), textures.report)
    found = black_box_stronger(white, black, name="random search")
    assert found is not None
    assert found.code == "black-box-stronger"
    white, black = after_both(trained, textures.report)
    assert black_box_stronger(white, black, name="random search") is None


def test_a_masked_network_stays_above_chance_at_linf_one_half_and_a_sound_one_does_not(
    trained: Classifier, textures: Splits
) -> None:
    labels = textures.report.labels
    for network, expected in [(rounding(trained), "above-chance"), (trained, None)]:
        ledger = attacked(network, textures.report, epsilon=0.5, most_steps=20)
        found = above_chance(labels, ledger["adversarial"].to_numpy(np.int64))
        assert (found.code if found else None) == expected


def test_an_attack_that_was_broken_off_still_rises_and_one_carried_to_its_end_does_not(
    trained: Classifier, textures: Splits
) -> None:
    for steps, expected in [(4, "still-rising"), (40, None)]:
        once, twice = (
            hits(attacked(trained, textures.report, epsilon=4 / 255, most_steps=count)) for count in (steps, 2 * steps)
        )
        found = still_rising(once, twice, iterations=steps)
        assert (found.code if found else None) == expected


def folding(trained: Classifier) -> Classifier:
    """The network as it is near mid-grey, behind a triangle wave that folds pixels further away back."""
    return wrapped(trained, before=lambda x: 0.5 + (12 * (x - 0.5)).sin().asin() / 12)


def test_one_large_step_into_a_folded_network_is_not_monotone_in_epsilon_and_a_plain_one_is(
    trained: Classifier, textures: Splits
) -> None:
    for network, expected in [(folding(trained), "not-monotone"), (trained, None)]:
        by_size = [
            (size, hits(attacked(network, textures.report, epsilon=size, most_steps=1, step=1.0)))
            for size in (4 / 255, 16 / 255, 1.0)
        ]
        found = not_monotone(by_size)
        assert (found.code if found else None) == expected
