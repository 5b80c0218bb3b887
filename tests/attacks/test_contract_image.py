"""What every per-image attack must hold to, whatever its method."""

from typing import Any

import numpy as np
import pytest
import torch

from attacks.base import ImageAttack
from attacks.per_image import ImageAttackResult, attack_images, random_targets
from attacks.registry import IMAGE, make_image
from attacks.threat import Threat
from tests.attacks.contract import IMAGE_ROWS, LINF, Row
from tests.attacks.crashing import CrashError, CrashingAfter, assert_same, mixed_state, snapshot
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import DataError
from wolfhound.images import ImageSet, Splits

every_attack = pytest.mark.parametrize("row", IMAGE_ROWS, ids=lambda row: row.name)
every_threat = pytest.mark.parametrize(
    ("row", "threat"),
    [(row, threat) for row in IMAGE_ROWS for threat in (*row.threats, None)],
    ids=lambda value: value.name if isinstance(value, Row) else getattr(value, "norm", "free"),
)


def made(row: Row) -> ImageAttack:
    return make_image(row.name, row.options)


def wanted(row: Row, images: ImageSet) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Another class than the label to reach; the label itself to leave."""
    generator = torch.Generator().manual_seed(11)
    return random_targets(images.labels, classes=4, generator=generator) if made(row).targeted else images.labels


def attack(
    row: Row, classifier: Classifier, images: ImageSet, threat: Threat | None, **options: Any
) -> ImageAttackResult:
    generator = torch.Generator().manual_seed(0)
    return attack_images(made(row), classifier, images, wanted(row, images), threat, generator=generator, **options)


@pytest.fixture
def few(textures: Splits) -> ImageSet:
    return textures.report.subset(range(40))


def test_every_registered_attack_has_its_row() -> None:
    assert sorted(row.name for row in IMAGE_ROWS) == sorted(IMAGE)


@every_threat
def test_the_delivered_images_stay_within_epsilon(
    row: Row, threat: Threat | None, trained: Classifier, few: ImageSet
) -> None:
    result = attack(row, trained, few, threat, keep=range(len(few)))
    levels = result.adversarial.double() - (few.load().double() * 255).round()
    largest, length = levels.abs().flatten(1).amax(dim=1) / 255, levels.flatten(1).norm(dim=1) / 255
    np.testing.assert_allclose(result.ledger["linf"], largest, atol=1e-12)
    np.testing.assert_allclose(result.ledger["l2"], length, atol=1e-12)
    assert float(largest.max()) > 0
    if threat is not None:
        assert float((largest if threat.norm == "linf" else length).max()) <= threat.epsilon + 1e-9


@every_threat
def test_the_ledger_says_what_the_network_says_of_the_delivered_images(
    row: Row, threat: Threat | None, trained: Classifier, few: ImageSet
) -> None:
    result = attack(row, trained, few, threat, keep=range(len(few)))
    with frozen(trained.module), torch.no_grad():
        predicted = trained.logits(result.adversarial.double() / 255).argmax(dim=1).numpy()
        clean = trained.logits(few.load().double()).argmax(dim=1).numpy()
    assert (result.ledger["adversarial"] == predicted).all()
    assert (result.ledger["clean"] == clean).all()
    assert (result.ledger["label"] == few.labels).all()
    assert tuple(result.ledger["image"]) == few.hashes
    reached = predicted == wanted(row, few)
    assert (result.ledger["success"] == (reached if made(row).targeted else ~reached)).all()


@every_threat
def test_it_succeeds_far_more_often_than_random_noise(
    row: Row, threat: Threat | None, trained: Classifier, few: ImageSet
) -> None:
    assert attack(row, trained, few, threat).ledger["success"].mean() > 0.8
    bound = threat or LINF
    noise = torch.randint(0, 2, (40, 3, 16, 16), generator=torch.Generator().manual_seed(0)) * 2.0 - 1
    shown = (few.load() + bound.project(1e3 * noise)).clamp(0, 1).double()
    with frozen(trained.module), torch.no_grad():
        predicted = trained.logits(shown).argmax(dim=1).numpy()
    reached = predicted == wanted(row, few)
    assert (reached if made(row).targeted else ~reached).mean() < 0.3


@every_attack
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_an_epsilon_of_zero_changes_nothing(row: Row, norm: Any, trained: Classifier, few: ImageSet) -> None:
    result = attack(row, trained, few, Threat(norm, 0.0), keep=(0, 5))
    assert (result.ledger["adversarial"] == result.ledger["clean"]).all()
    assert (result.ledger["linf"] == 0).all()
    assert torch.equal(result.adversarial, (few.load([0, 5]) * 255).round().to(torch.uint8))


@every_threat
def test_seeds_repeat_and_the_batch_size_changes_nothing(
    row: Row, threat: Threat | None, trained: Classifier, few: ImageSet
) -> None:
    first = attack(row, trained, few, threat, keep=(0, 20, 39), batch_size=64)
    again = attack(row, trained, few, threat, keep=(0, 20, 39), batch_size=64)
    small = attack(row, trained, few, threat, keep=(0, 20, 39), batch_size=7)
    assert first.ledger.equals(again.ledger)
    assert first.ledger.equals(small.ledger)
    assert torch.equal(first.adversarial, small.adversarial)


@every_attack
@pytest.mark.parametrize("forwards", [0, 1, 2, 4])
def test_a_crash_in_the_network_leaves_everything_as_it_was(
    row: Row, forwards: int, trained: Classifier, few: ImageSet
) -> None:
    crashing = Classifier(
        name="crashing",
        module=CrashingAfter(trained.module, forwards),
        class_names=trained.class_names,
        preprocessing=trained.preprocessing,
        weights_digest="",
    )
    mixed_state(trained)
    before = snapshot(crashing)
    with pytest.raises(CrashError):
        attack(row, crashing, few, LINF)
    assert_same(before, snapshot(crashing))


@every_attack
def test_a_run_leaves_the_network_and_the_tensors_given_as_they_were(
    row: Row, trained: Classifier, few: ImageSet
) -> None:
    mixed_state(trained)
    before = snapshot(trained)
    attack(row, trained, few, LINF)
    assert_same(before, snapshot(trained))
    pixels, targets = few.load().double(), torch.from_numpy(wanted(row, few))
    kept = pixels.clone(), targets.clone()
    with frozen(trained.module):
        made(row).propose(trained, pixels, targets, LINF, seeds=torch.arange(len(few)))
    assert torch.equal(pixels, kept[0])
    assert torch.equal(targets, kept[1])
    assert not pixels.requires_grad


@every_attack
def test_targets_that_do_not_fit_are_refused(row: Row, trained: Classifier, few: ImageSet) -> None:
    generator = torch.Generator().manual_seed(0)
    for targets, message in (
        (np.zeros(3, dtype=np.int64), "expected 40 targets"),
        (np.full(40, 4), r"in \[0, 4\)"),
        (np.zeros(40), "int64"),
    ):
        with pytest.raises(DataError, match=message):
            attack_images(made(row), trained, few, targets, LINF, generator=generator)
    with pytest.raises(DataError, match="positions to keep"):
        attack(row, trained, few, LINF, keep=(40,))
