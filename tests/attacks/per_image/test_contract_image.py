"""What every per-image attack must hold to, whatever its method and goal."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from attacks.base import ImageAttack
from attacks.per_image.driver import ImageAttackResult, attack_images, random_targets
from attacks.registry import IMAGE, can_choose_goal, make_image
from attacks.threat import Threat
from tests.attacks.contract import IMAGE_ROWS, LINF, Row
from tests.attacks.crashing import CrashError, CrashingAfter, assert_same, mixed_state, snapshot
from tests.attacks.watching import BackwardError, Counting, NoBackward, OneHot
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import DataError
from wolfhound.images import ImageSet, Splits


@dataclass(frozen=True)
class Case:
    """An attack of the contract with one of its goals."""

    row: Row
    targeted: bool

    @property
    def attack(self) -> ImageAttack:
        return make_image(self.row.name, self.row.options, targeted=self.targeted)

    @property
    def threat(self) -> Threat:
        return self.row.threats[0]

    def __str__(self) -> str:
        return f"{self.row.name}-{'reach' if self.targeted else 'leave'}"


def goals(row: Row) -> tuple[bool, ...]:
    return (False, True) if can_choose_goal(IMAGE[row.name]) else (make_image(row.name, row.options).targeted,)


CASES = [Case(row, targeted) for row in IMAGE_ROWS for targeted in goals(row)]
BLACK_BOX = [case for case in CASES if case.attack.access.startswith("black-box")]
BY_LABEL = [case for case in CASES if case.attack.access == "black-box label"]

every_attack = pytest.mark.parametrize("case", CASES, ids=str)
every_threat = pytest.mark.parametrize(
    ("case", "threat"),
    [(case, threat) for case in CASES for threat in (*case.row.threats, *((None,) if case.row.free else ()))],
    ids=lambda value: str(value) if isinstance(value, Case) else getattr(value, "norm", "free"),
)


def wanted(case: Case, images: ImageSet) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Another class than the label to reach; the label itself to leave."""
    generator = torch.Generator().manual_seed(11)
    return random_targets(images.labels, classes=4, generator=generator) if case.targeted else images.labels


def attack(
    case: Case, classifier: Classifier, images: ImageSet, threat: Threat | None, **options: Any
) -> ImageAttackResult:
    generator = torch.Generator().manual_seed(0)
    return attack_images(case.attack, classifier, images, wanted(case, images), threat, generator=generator, **options)


def around(classifier: Classifier, module: nn.Module) -> Classifier:
    """Return the classifier with a module in place of its network."""
    return replace(classifier, module=module)


@pytest.fixture
def few(textures: Splits) -> ImageSet:
    return textures.report.subset(range(40))


def test_every_registered_attack_has_its_row() -> None:
    assert sorted(row.name for row in IMAGE_ROWS) == sorted(IMAGE)


@every_threat
def test_the_delivered_images_stay_within_epsilon(
    case: Case, threat: Threat | None, trained: Classifier, few: ImageSet
) -> None:
    result = attack(case, trained, few, threat, keep=range(len(few)))
    levels = result.adversarial.double() - (few.load().double() * 255).round()
    largest, length = levels.abs().flatten(1).amax(dim=1) / 255, levels.flatten(1).norm(dim=1) / 255
    np.testing.assert_allclose(result.ledger["linf"], largest, atol=1e-12)
    np.testing.assert_allclose(result.ledger["l2"], length, atol=1e-12)
    assert float(largest.max()) > 0
    if threat is not None:
        assert float((largest if threat.norm == "linf" else length).max()) <= threat.epsilon + 1e-9


@every_threat
def test_the_ledger_says_what_the_network_says_of_the_delivered_images(
    case: Case, threat: Threat | None, trained: Classifier, few: ImageSet
) -> None:
    result = attack(case, trained, few, threat, keep=range(len(few)))
    with frozen(trained.module), torch.no_grad():
        predicted = trained.logits(result.adversarial.double() / 255).argmax(dim=1).numpy()
        clean = trained.logits(few.load().double()).argmax(dim=1).numpy()
    assert (result.ledger["adversarial"] == predicted).all()
    assert (result.ledger["clean"] == clean).all()
    assert (result.ledger["label"] == few.labels).all()
    assert tuple(result.ledger["image"]) == few.hashes
    reached = predicted == wanted(case, few)
    assert (result.ledger["success"] == (reached if case.targeted else ~reached)).all()
    in_float = (result.ledger["adversarial_float"] == wanted(case, few)) == case.targeted
    assert (result.ledger["success_float"] == in_float).all()


@every_threat
def test_it_succeeds_far_more_often_than_random_noise(
    case: Case, threat: Threat | None, trained: Classifier, few: ImageSet
) -> None:
    assert attack(case, trained, few, threat).ledger["success"].mean() > 0.8
    bound = threat or LINF
    noise = torch.randint(0, 2, (40, 3, 16, 16), generator=torch.Generator().manual_seed(0)) * 2.0 - 1
    shown = (few.load() + bound.project(1e3 * noise)).clamp(0, 1).double()
    with frozen(trained.module), torch.no_grad():
        predicted = trained.logits(shown).argmax(dim=1).numpy()
    reached = predicted == wanted(case, few)
    assert (reached if case.targeted else ~reached).mean() < 0.3


@every_attack
def test_an_epsilon_of_zero_changes_nothing(case: Case, trained: Classifier, few: ImageSet) -> None:
    result = attack(case, trained, few, replace(case.threat, epsilon=0.0), keep=(0, 5))
    assert (result.ledger["adversarial"] == result.ledger["clean"]).all()
    assert (result.ledger["linf"] == 0).all()
    assert torch.equal(result.adversarial, (few.load([0, 5]) * 255).round().to(torch.uint8))


@every_threat
def test_seeds_repeat_and_the_batch_size_changes_nothing(
    case: Case, threat: Threat | None, trained: Classifier, few: ImageSet
) -> None:
    first = attack(case, trained, few, threat, keep=(0, 20, 39), batch_size=64)
    again = attack(case, trained, few, threat, keep=(0, 20, 39), batch_size=64)
    small = attack(case, trained, few, threat, keep=(0, 20, 39), batch_size=7)
    assert first.ledger.equals(again.ledger)
    assert first.ledger.equals(small.ledger)
    assert torch.equal(first.adversarial, small.adversarial)


@every_attack
@pytest.mark.parametrize("forwards", [0, 1, 2, 4])
def test_a_crash_in_the_network_leaves_everything_as_it_was(
    case: Case, forwards: int, trained: Classifier, few: ImageSet
) -> None:
    crashing = around(trained, CrashingAfter(trained.module, forwards))
    mixed_state(trained)
    before = snapshot(crashing)
    with pytest.raises(CrashError):
        attack(case, crashing, few, case.threat, batch_size=16)
    assert_same(before, snapshot(crashing))


@every_attack
def test_a_run_leaves_the_network_and_the_tensors_given_as_they_were(
    case: Case, trained: Classifier, few: ImageSet
) -> None:
    mixed_state(trained)
    before = snapshot(trained)
    attack(case, trained, few, case.threat)
    assert_same(before, snapshot(trained))
    pixels, targets = few.load().double(), torch.from_numpy(wanted(case, few))
    kept = pixels.clone(), targets.clone()
    with frozen(trained.module):
        case.attack.propose(trained, pixels, targets, case.threat, seeds=torch.arange(len(few)))
    assert torch.equal(pixels, kept[0])
    assert torch.equal(targets, kept[1])
    assert not pixels.requires_grad


@every_attack
def test_targets_that_do_not_fit_are_refused(case: Case, trained: Classifier, few: ImageSet) -> None:
    generator = torch.Generator().manual_seed(0)
    for targets, message in (
        (np.zeros(3, dtype=np.int64), "expected 40 targets"),
        (np.full(40, 4), r"in \[0, 4\)"),
        (np.zeros(40), "int64"),
    ):
        with pytest.raises(DataError, match=message):
            attack_images(case.attack, trained, few, targets, case.threat, generator=generator)
    with pytest.raises(DataError, match="positions to keep"):
        attack(case, trained, few, case.threat, keep=(40,))


@every_threat
@pytest.mark.parametrize("images", [1, 40])
def test_the_queries_are_the_rows_that_the_network_saw(
    case: Case, threat: Threat | None, images: int, trained: Classifier, few: ImageSet
) -> None:
    counting = Counting(trained.module)
    pixels, targets = few.load(slice(0, images)).double(), torch.from_numpy(wanted(case, few))[:images]
    with frozen(counting):
        proposal = case.attack.propose(around(trained, counting), pixels, targets, threat, seeds=torch.arange(images))
    assert counting.rows > 0
    assert int(proposal.queries.sum()) == counting.rows
    assert bool((proposal.steps <= proposal.queries).all())


@pytest.mark.parametrize("case", BLACK_BOX, ids=str)
def test_a_black_box_attack_takes_no_gradient(case: Case, trained: Classifier, few: ImageSet) -> None:
    closed = around(trained, NoBackward(trained.module))
    assert attack(case, closed, few, case.threat).ledger.equals(attack(case, trained, few, case.threat).ledger)


@pytest.mark.parametrize("case", BY_LABEL, ids=str)
def test_an_attack_by_labels_sees_nothing_but_the_largest_logit(case: Case, trained: Classifier, few: ImageSet) -> None:
    mute = around(trained, OneHot(trained.module))
    assert attack(case, mute, few, case.threat).ledger.equals(attack(case, trained, few, case.threat).ledger)


@pytest.mark.parametrize("case", [case for case in CASES if case.attack.access == "white-box"], ids=str)
def test_a_white_box_attack_would_be_caught_taking_a_gradient(case: Case, trained: Classifier, few: ImageSet) -> None:
    with pytest.raises(BackwardError):
        attack(case, around(trained, NoBackward(trained.module)), few, case.threat)
