"""Facts about one crafting run in several processes: the same step as alone, up to the rounding of a sum's order."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from torch import Tensor

from attacks.base import UniversalAttack
from attacks.threat import Threat
from attacks.universal.df import DfUniversal
from attacks.universal.dominant import DominantUniversal
from attacks.universal.driver import craft_universal
from attacks.universal.ensemble import all_frozen, labelled, mean_gradient
from attacks.universal.sgd import SgdUniversal, to_target
from attacks.universal.sharing import Alone, Ranked, in_processes, shared, sharing
from tests.attacks.conftest import as_classifier, network
from wolfhound.classifier import Classifier
from wolfhound.errors import PlanError
from wolfhound.images import Splits

TOLERANCE = 1e-12
"""In pixels, for networks in float64; a gradient is a sum of some hundred numbers near 1."""


@dataclass(frozen=True)
class Recorded:
    """One rank of a group whose members are asked in turns; the sum is left to the test."""

    rank: int
    parts: list[Tensor] = field(default_factory=list)

    def part(self, positions: Tensor) -> Tensor:
        return Ranked(self.rank, 3).part(positions)

    def total(self, part: Tensor) -> Tensor:
        self.parts.append(part)
        return part


@pytest.mark.parametrize("count", [1, 2, 7, 32])
def test_the_parts_of_a_minibatch_are_all_of_it_and_no_image_twice(count: int) -> None:
    positions = torch.randperm(count)
    parts = torch.cat([Ranked(rank, 3).part(positions) for rank in range(3)])
    assert sorted(parts.tolist()) == list(range(count))


def test_the_sum_of_the_parts_is_the_gradient_of_the_whole(trained: Classifier, textures: Splits) -> None:
    threat, positions = Threat("linf", 0.1, target=1), torch.arange(10)
    delta = torch.zeros(3, 16, 16, dtype=torch.float64)
    with all_frozen((trained,)):
        members = labelled((trained,), textures.craft, threat, chunk=4)

        def gradient() -> Tensor:
            return mean_gradient(to_target, members, textures.craft, positions, delta, chunk=4)

        whole, ranks = gradient(), [Recorded(rank) for rank in range(3)]
        for rank in ranks:
            with shared(rank):
                gradient()
    summed = sum((rank.parts[0] for rank in ranks), torch.zeros_like(whole)) / len(positions)
    torch.testing.assert_close(summed, whole, rtol=0, atol=TOLERANCE)
    assert sharing() == Alone(), "nothing is shared after the block"


def test_fewer_than_two_processes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="at least 2 processes"):
        in_processes(1, print, backend="gloo", meeting=tmp_path / "meeting")


def crafted(rank: int, attack: UniversalAttack, state: dict[str, Tensor], sets: Splits, norm: str, to: Path) -> None:
    """Craft a perturbation and leave it in a file; what every process of a shared run does."""
    module = network()
    module.load_state_dict(state)
    found = craft_universal(
        attack, as_classifier(module.double().eval()), sets.craft, sets.select,
        Threat("linf", 16 / 255) if norm == "linf" else Threat("l2", 3.0),
        generator=torch.Generator().manual_seed(3), batch_size=16,
    )  # fmt: skip
    torch.save({"best": found.best, "last": found.last, "gradients": found.gradients}, to / f"{rank}.pt")


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(
    "attack",
    [SgdUniversal(passes=2), DfUniversal(passes=2), DominantUniversal(passes=2)],
    ids=["sgd", "df", "dominant"],
)
def test_two_processes_find_the_perturbation_of_one(
    attack: UniversalAttack, norm: str, trained_state: dict[str, Tensor], textures: Splits, tmp_path: Path
) -> None:
    """The delivered perturbations are whole 8-bit levels, so that equal means the same bits."""
    arguments = (attack, trained_state, textures, norm, tmp_path)
    crafted(9, *arguments)
    in_processes(2, crafted, *arguments, backend="gloo", meeting=tmp_path / "meeting")
    alone, first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (9, 0, 1))
    assert alone["last"].abs().max() > 0
    for name in ("best", "last"):
        assert torch.equal(first[name], second[name]), "every process has the same"
        differing = (first[name] != alone[name]).double().mean()
        assert differing <= 0.001, f"{differing:.2%} of the pixels differ from the run alone"
    assert alone["gradients"] == first["gradients"]
