"""The driver: it bounds what an attack proposes, chooses the checkpoint on the select split and keeps best and last."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from attacks.base import Proposal, Tiers, UniversalAttack
from attacks.judge import fooling_rates, transfer_predictions, under
from attacks.threat import Threat
from attacks.universal.checkpoints import Checkpoint, Standing, as_good_as_the_best
from attacks.universal.driver import craft_universal
from wolfhound.classifier import Classifier
from wolfhound.errors import DataError, EvidenceError
from wolfhound.images import Splits
from wolfhound.statistics import Rate


@dataclass(frozen=True)
class Scripted:
    """Proposes prepared perturbations."""

    deltas: tuple[Tensor, ...]
    name: ClassVar[str] = "scripted"
    title: ClassVar[str] = "Scripted"
    source: ClassVar[str] = "this test"
    tiers: ClassVar[Tiers] = {}
    gradients_exact: ClassVar[bool] = True

    def steps(self, images: int) -> int:
        return images

    def gradients(self, images: int) -> int:
        return 10 * images

    def proposals(self, *_: Any, **__: Any) -> Iterator[Proposal]:
        for position, delta in enumerate(self.deltas, start=1):
            yield Proposal(delta, passes=position, gradients=10 * position)


def run(attack: UniversalAttack, classifier: Classifier, splits: Splits, threat: Threat) -> Any:
    return craft_universal(
        attack, classifier, splits.craft, splits.select, threat, generator=torch.Generator().manual_seed(0)
    )


def directions() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(3, 16, 16, generator=generator).sign() for _ in range(4)]


def test_the_best_checkpoint_is_the_one_that_fools_most_select_images(trained: Classifier, textures: Splits) -> None:
    threat, scripted = Threat("linf", 60 / 255), directions()
    deltas = tuple(scale * sign for scale, sign in zip((0.02, 0.22, 0.02, 0.05), scripted, strict=True))
    result = run(Scripted(deltas), trained, textures, threat)
    ledger = transfer_predictions(
        trained, textures.select, under(threat, {str(i): delta for i, delta in enumerate(deltas)})
    )
    rates = list(fooling_rates(ledger).values())
    assert [row.rate.successes for row in result.history] == [rate.successes for rate in rates]
    best = max(range(4), key=lambda i: rates[i].successes)
    assert best == 1
    assert rates[best].share - rates[3].share > sqrt(rates[best].share * (1 - rates[best].share) / len(textures.select))
    assert torch.equal(result.best, (deltas[best] * 255).round() / 255)
    assert torch.equal(result.last, (deltas[3] * 255).round() / 255)
    assert [(row.passes, row.gradients) for row in result.history] == [(1, 10), (2, 20), (3, 30), (4, 40)]
    assert result.gradients == 40
    assert result.history[0].rate.denominator == "select images"


def test_of_equal_checkpoints_the_latest_is_kept(trained: Classifier, textures: Splits) -> None:
    one_level = torch.zeros(3, 16, 16)
    one_level[0, 0, 0] = 1 / 255
    result = run(Scripted((torch.zeros(3, 16, 16), one_level)), trained, textures, Threat("linf", 8 / 255))
    assert [row.rate.successes for row in result.history] == [0, 0]
    assert torch.equal(result.best, one_level)
    assert torch.equal(result.last, one_level)


def points(*successes: int, images: int = 48) -> list[Checkpoint]:
    return [Checkpoint(i, i, (Rate(count, images, "select images"),)) for i, count in enumerate(successes, start=1)]


@pytest.mark.parametrize(
    ("successes", "passes"),
    [
        ((40, 43, 41, 30), 3),  # a standard error of 43 in 48 is 2.1 images
        ((43, 40), 1),
        ((48, 47), 1),  # of a share of 1 it is 0
        ((48, 48, 20), 2),
        ((24, 28, 24), 2),  # of 28 it is 3.4
        ((24, 27, 24), 3),
    ],
)
def test_a_later_checkpoint_is_taken_where_the_select_images_cannot_tell_it_from_the_best(
    successes: tuple[int, ...], passes: int
) -> None:
    assert as_good_as_the_best(points(*successes)).passes == passes


def test_the_choice_pass_by_pass_is_the_choice_in_the_end() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        history = points(*torch.randint(0, 49, (12,), generator=generator).tolist())
        standing = Standing()
        for point in history:
            standing = standing.after_pass(torch.tensor(point.passes), point)
        assert standing.best == as_good_as_the_best(history).passes


def test_over_several_networks_the_mean_share_decides() -> None:
    history = [
        Checkpoint(1, 1, (Rate(40, 100, "a"), Rate(90, 100, "a"))),
        Checkpoint(2, 2, (Rate(62, 100, "a"), Rate(60, 100, "a"))),
        Checkpoint(3, 3, (Rate(20, 100, "a"), Rate(99, 100, "a"))),
    ]
    assert as_good_as_the_best(history).passes == 2  # 65, 61 and 59.5 %: a standard error is 4.8 points


def test_a_proposal_that_is_too_large_is_projected(trained: Classifier, textures: Splits) -> None:
    threat = Threat("linf", 8 / 255)
    result = run(Scripted((torch.full((3, 16, 16), 7.0),)), trained, textures, threat)
    torch.testing.assert_close(result.best, torch.full((3, 16, 16), 8 / 255))


def test_a_proposal_that_is_not_finite_is_refused(trained: Classifier, textures: Splits) -> None:
    with pytest.raises(EvidenceError, match="finite"):
        run(Scripted((torch.full((3, 16, 16), float("nan")),)), trained, textures, Threat("linf", 8 / 255))


def test_an_attack_that_proposes_nothing_is_refused(trained: Classifier, textures: Splits) -> None:
    with pytest.raises(EvidenceError, match="scripted to propose at least one"):
        run(Scripted(()), trained, textures, Threat("linf", 8 / 255))


def test_a_target_is_judged_by_the_images_that_reach_it(trained: Classifier, textures: Splits) -> None:
    threat = Threat("linf", 60 / 255, target=1)
    deltas = tuple(0.22 * sign for sign in directions())
    result = run(Scripted(deltas), trained, textures, threat)
    ledger = transfer_predictions(trained, textures.select, under(threat, {"v": deltas[0]}))
    others = ledger[ledger["clean"] != 1]
    assert result.history[0].rate.total == len(others)
    assert result.history[0].rate.successes == int((others["v"] == 1).sum())


def test_empty_sets_are_refused(trained: Classifier, textures: Splits) -> None:
    with pytest.raises(DataError, match="at least one crafting"):
        craft_universal(
            Scripted(()),
            trained,
            textures.craft.subset([]),
            textures.select,
            Threat("linf", 0.1),
            generator=torch.Generator(),
        )
