"""Budgets: what each tier costs is known beforehand, and seconds follow from a measured pace."""

import itertools

import pytest
import torch

from attacks.base import UniversalAttack
from attacks.registry import UNIVERSAL, make_universal
from attacks.universal.budget import TIERS, Estimate, Pace, calibrate, estimate, gradients, tier_options
from attacks.universal.deepfool import DeepFoolUniversal
from attacks.universal.sgd import SgdUniversal
from tests.attacks.crashing import assert_same, mixed_state, snapshot
from wolfhound.classifier import Classifier
from wolfhound.errors import DataError, PlanError
from wolfhound.images import Splits


@pytest.mark.parametrize("attack", UNIVERSAL.values(), ids=lambda attack: attack.name)
def test_every_attack_has_three_tiers_each_dearer_than_the_one_before(attack: type[UniversalAttack]) -> None:
    assert sorted(attack.tiers) == sorted(TIERS)
    costs = [gradients(make_universal(attack.name, tier_options(attack, tier, {})), 500) for tier in TIERS]
    assert costs[0] < costs[1] < costs[2]


def test_given_options_come_before_those_of_the_tier() -> None:
    assert tier_options(SgdUniversal, "quick", {"step": 0.1}) == {"passes": 3, "step": 0.1}
    assert tier_options(SgdUniversal, "quick", {"passes": 7}) == {"passes": 7}


def test_an_unknown_tier_is_refused_with_the_known_ones() -> None:
    with pytest.raises(PlanError, match="tier out of quick, nightly, certification, got 'slow'"):
        tier_options(SgdUniversal, "slow", {})  # type: ignore[arg-type]


def test_every_network_takes_gradients_of_its_own() -> None:
    assert gradients(SgdUniversal(passes=10), 300) == 3000
    assert gradients(SgdUniversal(passes=10), 300, networks=3) == 9000


def test_an_estimate_counts_gradients_clean_predictions_and_the_select_images_of_each_pass() -> None:
    pace = Pace(gradient=0.1, forward=0.01)
    found = estimate(SgdUniversal(passes=10), pace, craft=100, select=50)
    assert (found.gradients, found.exact) == (1000, True)
    assert found.seconds == pytest.approx(1000 * 0.1 + (100 + 50 + 10 * 50) * 0.01)
    both = estimate(SgdUniversal(passes=10), pace + pace, craft=100, select=50, networks=2)
    assert both.gradients == 2000
    assert both.seconds == pytest.approx(2 * found.seconds)


def test_a_bound_is_printed_as_one() -> None:
    found = estimate(DeepFoolUniversal(), Pace(0.001, 0.0), craft=10, select=1)
    assert found.text == "at most 4,500 gradients, at most about 4 s on this machine"
    assert Estimate(1, True, 1.0).text == "1 gradients, about 1 s on this machine"


def test_the_pace_is_the_median_of_repeated_batches_without_the_first(trained: Classifier, textures: Splits) -> None:
    durations = itertools.cycle([0.5, 0.1, 0.3])
    moments = itertools.accumulate(itertools.chain.from_iterable((0.0, next(durations)) for _ in itertools.count()))
    forwards: list[bool] = []
    trained.module.register_forward_pre_hook(lambda _, inputs: forwards.append(inputs[0].requires_grad))
    pace = calibrate([trained], textures.craft, batch_size=10, seconds=0.85, clock=lambda: next(moments))
    assert pace.gradient == pytest.approx(0.3 / 10)
    assert pace.forward == pytest.approx(0.3 / 10)
    assert forwards == [True] * 4 + [False] * 4


def test_two_networks_take_their_turns_and_add_up(trained: Classifier, second: Classifier, textures: Splits) -> None:
    ticks = itertools.count()
    mixed_state(trained)
    before = snapshot(trained)
    pace = calibrate([trained, second], textures.craft, batch_size=2, seconds=1.0, clock=lambda: float(next(ticks)))
    assert pace == Pace(gradient=1.0, forward=1.0)
    assert_same(before, snapshot(trained))


def test_without_images_there_is_nothing_to_calibrate_on(trained: Classifier, textures: Splits) -> None:
    with pytest.raises(DataError, match="at least one image"):
        calibrate([trained], textures.craft.subset([]))


def test_calibrating_draws_nothing_from_the_global_generator(trained: Classifier, textures: Splits) -> None:
    before = torch.get_rng_state()
    calibrate([trained], textures.craft, batch_size=4, seconds=0.0)
    assert torch.equal(before, torch.get_rng_state())
