"""What every universal attack must hold to, whatever its method."""

from collections.abc import Iterator
from dataclasses import fields

import pytest
import torch

from attacks.base import Proposal, UniversalAttack
from attacks.controls import noise_controls
from attacks.judge import fooling_rates, predict, transfer_predictions, under
from attacks.registry import UNIVERSAL, make_universal
from attacks.threat import Threat
from attacks.universal.checkpoints import CheckpointStore
from attacks.universal.driver import UniversalResult, craft_universal
from tests.attacks.contract import UNIVERSAL_ROWS, Row
from tests.attacks.crashing import CrashError, CrashingAfter, assert_same, mixed_state, snapshot
from tests.attacks.running import all_proposals
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import DataError
from wolfhound.images import Splits

every_attack = pytest.mark.parametrize("row", UNIVERSAL_ROWS, ids=lambda row: row.name)
every_threat = pytest.mark.parametrize(
    ("row", "threat"),
    [(row, threat) for row in UNIVERSAL_ROWS for threat in row.threats],
    ids=lambda value: value.name if isinstance(value, Row) else value.norm,
)


def made(row: Row) -> UniversalAttack:
    return make_universal(row.name, row.options)


def craft(
    row: Row,
    classifier: Classifier,
    splits: Splits,
    threat: Threat,
    *,
    seed: int = 0,
    checkpoint: CheckpointStore | None = None,
) -> UniversalResult:
    return craft_universal(
        made(row),
        classifier,
        splits.craft,
        splits.select,
        threat,
        generator=torch.Generator().manual_seed(seed),
        checkpoint=checkpoint,
        save_seconds=0.0,
    )


def test_every_registered_attack_has_its_row() -> None:
    assert sorted(row.name for row in UNIVERSAL_ROWS) == sorted(UNIVERSAL)


@every_threat
def test_the_result_stays_within_epsilon_on_the_eight_bit_grid(
    row: Row, threat: Threat, trained: Classifier, textures: Splits
) -> None:
    result = craft(row, trained, textures, threat)
    for delta in (result.best, result.last):
        assert delta.shape == (3, 16, 16)
        assert torch.equal((delta * 255).round() / 255, delta)
        levels = (delta * 255).round().double()
        sizes = {
            "linf": levels.abs().max() / 255,
            "l2": levels.square().sum().sqrt() / 255,
            "patch": levels.any(dim=0).double().mean(),
        }
        assert 0 < float(sizes[threat.norm]) <= threat.epsilon + 1e-12


@every_threat
def test_it_beats_random_noise_of_the_same_size(
    row: Row, threat: Threat, trained: Classifier, textures: Splits
) -> None:
    found = {"found": craft(row, trained, textures, threat).best}
    controls = noise_controls(threat, (16, 16), seeds=range(5))
    rates = fooling_rates(transfer_predictions(trained, textures.report, under(threat, {**found, **controls})))
    strongest = max(rates[name].percent for name in controls)
    assert rates["found"].percent > strongest + row.ahead


@every_threat
def test_an_epsilon_of_zero_changes_nothing(row: Row, threat: Threat, trained: Classifier, textures: Splits) -> None:
    nothing = Threat(threat.norm, 0.0)
    result = craft(row, trained, textures, nothing)
    assert not result.best.any()
    assert not result.last.any()
    ledger = transfer_predictions(trained, textures.report, under(nothing, {"v": result.best}))
    assert (ledger["v"] == ledger["clean"]).all()
    assert (ledger["clean"] == predict(trained, textures.report)).all()


@every_threat
def test_the_same_seed_gives_the_same_perturbation(
    row: Row, threat: Threat, trained: Classifier, textures: Splits
) -> None:
    first, again, other = (craft(row, trained, textures, threat, seed=seed) for seed in (7, 7, 8))
    assert torch.equal(first.best, again.best)
    assert torch.equal(first.last, again.last)
    assert first.history == again.history
    assert not torch.equal(first.last, other.last)


@every_threat
def test_the_batch_size_changes_nothing_but_round_off(
    row: Row, threat: Threat, trained: Classifier, textures: Splits
) -> None:
    for large, small in zip(
        raw(row, trained, textures, threat, 96), raw(row, trained, textures, threat, 7), strict=True
    ):
        torch.testing.assert_close(small, large, rtol=0, atol=1e-9)


def raw(row: Row, classifier: Classifier, splits: Splits, threat: Threat, chunk: int) -> list[torch.Tensor]:
    """Return what the attack proposes before anything is rounded."""
    found = all_proposals(made(row), [classifier], splits.craft, threat, seed=3, chunk=chunk)
    return [threat.project(proposal.delta) for proposal in found]


@every_attack
def test_going_on_from_any_proposal_is_the_same_as_never_having_stopped(
    row: Row, trained: Classifier, textures: Splits
) -> None:
    attack, generator = made(row), torch.Generator().manual_seed(5)

    def going_on(resume: Proposal | None) -> Iterator[Proposal]:
        return attack.proposals(
            [trained],
            textures.craft,
            row.threats[0],
            generator=generator,
            chunk=50,
            advance=lambda _: None,
            resume=resume,
        )

    with frozen(trained.module):
        stopped = [(proposal, generator.get_state(), proposal.delta.clone()) for proposal in going_on(None)]
        assert {proposal.seen > 0 for proposal, _, _ in stopped} == {True, False}
        for position in sorted({0, 1, len(stopped) // 2, len(stopped) - 2, len(stopped) - 1}):
            generator.set_state(stopped[position][1])
            resumed = list(going_on(stopped[position][0]))
            assert len(resumed) == len(stopped) - 1 - position
            for later, (expected, _, delta) in zip(resumed, stopped[position + 1 :], strict=True):
                assert_same(as_dict(expected), as_dict(later))
                assert torch.equal(later.delta, delta), "a proposal changed after it was yielded"


def as_dict(proposal: Proposal) -> dict[str, object]:
    return {part.name: getattr(proposal, part.name) for part in fields(proposal)} | {"state": dict(proposal.state)}


@every_attack
@pytest.mark.parametrize("forwards", [0, 1, 3, 6])
def test_a_crash_in_the_network_leaves_everything_as_it_was(
    row: Row, forwards: int, trained: Classifier, textures: Splits
) -> None:
    crashing = Classifier(
        name="crashing",
        module=CrashingAfter(trained.module, forwards),
        class_names=trained.class_names,
        preprocessing=trained.preprocessing,
        weights_digest="",
    )
    mixed_state(trained)
    before, files = snapshot(crashing), textures.craft.pixels.path.read_bytes()
    with pytest.raises(CrashError):
        craft(row, crashing, textures, row.threats[0])
    assert_same(before, snapshot(crashing))
    assert textures.craft.pixels.path.read_bytes() == files


@every_attack
def test_a_run_leaves_the_network_as_it_was(row: Row, trained: Classifier, textures: Splits) -> None:
    mixed_state(trained)
    before = snapshot(trained)
    craft(row, trained, textures, row.threats[0])
    assert_same(before, snapshot(trained))


@every_attack
def test_it_works_where_gradients_are_switched_off(row: Row, trained: Classifier, textures: Splits) -> None:
    with torch.no_grad():
        silent = craft(row, trained, textures, row.threats[0])
    assert torch.equal(silent.best, craft(row, trained, textures, row.threats[0]).best)


@every_attack
def test_common_images_of_crafting_and_select_are_refused(row: Row, trained: Classifier, textures: Splits) -> None:
    with pytest.raises(DataError, match=r"craft and select share 96 image\(s\)"):
        craft_universal(
            made(row),
            trained,
            textures.craft,
            textures.craft,
            row.threats[0],
            generator=torch.Generator().manual_seed(0),
        )


@every_attack
def test_it_advances_by_exactly_the_steps_it_announced(row: Row, trained: Classifier, textures: Splits) -> None:
    advanced: list[int] = []
    with frozen(trained.module):
        for _ in made(row).proposals(
            [trained],
            textures.craft,
            row.threats[0],
            generator=torch.Generator().manual_seed(0),
            chunk=13,
            advance=advanced.append,
        ):
            pass
    assert sum(advanced) == made(row).steps(len(textures.craft))


@every_attack
def test_it_takes_as_many_gradients_as_it_said_beforehand(row: Row, trained: Classifier, textures: Splits) -> None:
    attack = made(row)
    taken = all_proposals(attack, [trained], textures.craft, row.threats[0])[-1].gradients
    said = attack.gradients(len(textures.craft))
    assert taken == said if attack.gradients_exact else 0 < taken <= said


@every_attack
def test_it_can_be_crafted_on_several_networks(
    row: Row, trained: Classifier, second: Classifier, textures: Splits
) -> None:
    generator = torch.Generator().manual_seed(0)
    both = craft_universal(
        made(row),
        (trained, second),
        textures.craft,
        textures.select,
        row.threats[0],
        generator=generator,
        batch_size=64,
    )
    alone = craft(row, trained, textures, row.threats[0])
    assert not torch.equal(both.last, alone.last)
    assert [len(point.rates) for point in both.history] == [2] * len(both.history)
    limit = made(row).gradients(len(textures.craft))
    assert limit / 2 < both.gradients <= 2 * limit if made(row).gradients_exact else both.gradients <= 2 * limit
    controls = noise_controls(row.threats[0], (16, 16), seeds=range(5))
    for member in (trained, second):
        rates = fooling_rates(
            transfer_predictions(member, textures.report, under(row.threats[0], {"both": both.best, **controls}))
        )
        assert rates["both"].percent > max(rates[name].percent for name in controls) + row.ahead / 2


@every_attack
def test_one_network_twice_is_the_same_as_once(row: Row, trained: Classifier, textures: Splits) -> None:
    once, twice = (
        all_proposals(made(row), members, textures.craft, row.threats[0])[-1]
        for members in ([trained], [trained, trained])
    )
    torch.testing.assert_close(twice.delta, once.delta, rtol=0, atol=1e-9)
    assert twice.gradients == 2 * once.gradients


class Dying:
    """Keeps a checkpoint in memory and ends the run right after it was saved for the nth time."""

    def __init__(self, saves: int) -> None:
        self.left, self.data = saves, b""

    def load(self) -> bytes | None:
        return self.data or None

    def save(self, data: bytes) -> None:
        self.data = data
        self.left -= 1
        if self.left == 0:
            raise CrashError


@every_threat
def test_a_run_ended_after_any_save_and_taken_up_again_gives_the_same_bits(
    row: Row, threat: Threat, trained: Classifier, textures: Splits
) -> None:
    whole = craft(row, trained, textures, threat, checkpoint=(every := Dying(-1)))
    saves = -1 - every.left
    assert saves > len(whole.history)
    for moment in sorted({1, 2, saves // 2, saves - 1, saves}):
        store = Dying(moment)
        with pytest.raises(CrashError):
            craft(row, trained, textures, threat, checkpoint=store)
        again = craft(row, trained, textures, threat, checkpoint=store)
        assert torch.equal(again.best, whole.best)
        assert torch.equal(again.last, whole.last)
        assert (again.history, again.gradients) == (whole.history, whole.gradients)
        assert store.data == every.data
    assert_same(vars(craft(row, trained, textures, threat)), vars(whole))
