"""Sweeps: the spread over seeds, the choice on the select split alone, and rates against epsilon."""

from dataclasses import replace

import pytest
import torch

from attacks.judge import fooling_rates, transfer_predictions
from attacks.threat import Threat
from attacks.universal.checkpoints import Checkpoint
from attacks.universal.driver import craft_universal
from attacks.universal.sgd import SgdUniversal
from attacks.universal.sweep import EpsilonCurve, SeedSweep, Spread, curve_by_runs, curve_of_one, seed_sweep
from wolfhound.classifier import Classifier
from wolfhound.errors import PlanError
from wolfhound.images import Splits
from wolfhound.metrics import targeted_change_rate
from wolfhound.statistics import Rate

ATTACK = SgdUniversal(passes=2, images_per_update=24)
THREAT = Threat("linf", 16 / 255)


@pytest.fixture
def swept(trained: Classifier, textures: Splits) -> SeedSweep:
    return seed_sweep(ATTACK, trained, textures.craft, textures.select, THREAT, seeds=(5, 3, 8))


def test_each_run_is_that_of_its_seed_alone(swept: SeedSweep, trained: Classifier, textures: Splits) -> None:
    alone = craft_universal(
        ATTACK, trained, textures.craft, textures.select, THREAT, generator=torch.Generator().manual_seed(3)
    )
    assert list(swept.deltas) == [5, 3, 8]
    assert torch.equal(swept.deltas[3], alone.best)
    assert not torch.equal(swept.deltas[3], swept.deltas[5])


def test_rates_are_the_judges_on_held_out_images(swept: SeedSweep, trained: Classifier, textures: Splits) -> None:
    rates = swept.rates(trained, textures.report)
    for seed, delta in swept.deltas.items():
        ledger = transfer_predictions(trained, textures.report, {"v": (delta, THREAT)})
        assert rates[seed] == fooling_rates(ledger)["v"]


def test_the_best_seed_is_chosen_on_the_select_images_the_first_of_equals(swept: SeedSweep) -> None:
    def with_history(position: int, *successes: int) -> object:
        points = tuple(Checkpoint(1, 1, (Rate(count, 48, "select images"),)) for count in successes)
        return replace(swept.results[position], history=points)

    results = (with_history(0, 41, 39), with_history(1, 20, 40), with_history(2, 10, 40))
    assert SeedSweep(swept.seeds, results).best == 3  # type: ignore[arg-type]


def test_the_spread_is_the_sample_deviation_and_a_single_run_has_none() -> None:
    rates = [Rate(count, 200, "held-out images") for count in (100, 120, 140)]
    assert Spread.of(rates) == Spread(mean=60.0, deviation=10.0, runs=3)
    assert Spread.of(rates[:1]).text == "50.0 % (a single run)"


@pytest.mark.parametrize("seeds", [(), (1, 1)])
def test_no_seed_or_one_twice_is_refused(seeds: tuple[int, ...], trained: Classifier, textures: Splits) -> None:
    with pytest.raises(PlanError, match="different seeds"):
        seed_sweep(ATTACK, trained, textures.craft, textures.select, THREAT, seeds=seeds)


EPSILONS = (0.0, 4 / 255, 8 / 255, 16 / 255)


def test_a_curve_of_one_scales_or_projects_it(swept: SeedSweep, trained: Classifier, textures: Splits) -> None:
    delta = swept.deltas[3] * torch.linspace(0.5, 1, 16)
    for fitted, fit in (
        ("scaled", lambda epsilon: delta * epsilon / THREAT.epsilon),
        ("projected", lambda epsilon: delta.clamp(-epsilon, epsilon)),
    ):
        curve = curve_of_one(trained, textures.report, delta, THREAT, epsilons=EPSILONS, fitted=fitted)  # type: ignore[arg-type]
        assert curve.rule == f"one perturbation crafted at linf 16/255, {fitted} to each epsilon"
        for epsilon, rate in zip(EPSILONS, curve.rates, strict=True):
            ledger = transfer_predictions(trained, textures.report, {"v": (fit(epsilon), Threat("linf", epsilon))})
            assert rate == fooling_rates(ledger)["v"]
        assert curve.rates[0].successes == 0
        assert curve.rates[-1].successes > curve.rates[1].successes > 0


def test_a_curve_by_runs_crafts_for_each_epsilon(swept: SeedSweep, trained: Classifier, textures: Splits) -> None:
    curve = curve_by_runs(
        ATTACK, trained, textures.craft, textures.select, textures.report, THREAT, epsilons=EPSILONS, seed=3
    )
    assert curve.rule == "sgd_uap crafted anew for each epsilon"
    assert curve.rates[-1] == swept.rates(trained, textures.report)[3]
    at = Threat("linf", 8 / 255)
    found = craft_universal(
        ATTACK, trained, textures.craft, textures.select, at, generator=torch.Generator().manual_seed(3)
    )
    ledger = transfer_predictions(trained, textures.report, {"v": (found.best, at)})
    assert curve.rates[2] == fooling_rates(ledger)["v"]


def test_with_a_target_the_curve_counts_images_that_change_to_it(trained: Classifier, textures: Splits) -> None:
    threat = replace(THREAT, target=2)
    found = craft_universal(
        ATTACK, trained, textures.craft, textures.select, threat, generator=torch.Generator().manual_seed(0)
    )
    curve = curve_of_one(trained, textures.report, found.best, threat, epsilons=(threat.epsilon,))
    ledger = transfer_predictions(trained, textures.report, {"v": (found.best, threat)})
    clean, changed = (ledger[name].to_numpy() for name in ("clean", "v"))
    assert curve.rates == (targeted_change_rate(clean, changed, 2),)


def test_the_envelope_is_the_highest_rate_so_far_and_says_so() -> None:
    rates = tuple(Rate(count, 10, "held-out images") for count in (1, 4, 3, 5))
    found = EpsilonCurve("a rule", (0.1, 0.2, 0.3, 0.4), rates).envelope()
    assert [rate.successes for rate in found.rates] == [1, 4, 4, 5]
    assert found.rule == "a rule; at each epsilon the highest rate at or below it, chosen on the same images"


def test_larger_or_unsorted_epsilons_are_refused(trained: Classifier, textures: Splits) -> None:
    delta = torch.zeros(3, 16, 16)
    with pytest.raises(PlanError, match="for which it was crafted"):
        curve_of_one(trained, textures.report, delta, THREAT, epsilons=(0.01, 0.1))
    for epsilons in ((), (0.02, 0.01)):
        with pytest.raises(PlanError, match="rising"):
            curve_of_one(trained, textures.report, delta, THREAT, epsilons=epsilons)


def test_checkpoints_are_kept_by_run(trained: Classifier, textures: Splits) -> None:
    asked: list[str] = []
    seed_sweep(
        ATTACK,
        trained,
        textures.craft,
        textures.select,
        THREAT,
        seeds=(1, 2),
        checkpoints=lambda run: asked.append(run),
    )
    assert asked == ["seed 1", "seed 2"]
