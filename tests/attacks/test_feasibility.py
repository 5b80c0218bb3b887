"""Every attack under every norm, goal and number of classes either runs or is refused beforehand with the reason."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from attacks.adapters.peers import PeerAttack
from attacks.base import ImageAttack
from attacks.feasibility import GUESTS, LIMITS, class_faults, contradiction, threat_faults
from attacks.per_image.driver import attack_images, random_targets
from attacks.per_image.hopskipjump import HopSkipJump
from attacks.per_image.starts import StartImages
from attacks.registry import IMAGE, UNIVERSAL, can_choose_goal, make_image, make_universal
from attacks.threat import LARGEST_L2, Threat
from tests.attacks.contract import IMAGE_ROWS, UNIVERSAL_ROWS
from tests.conftest import ImageSetFactory
from wolfhound.classifier import Classifier, Preprocessing, frozen
from wolfhound.errors import PlanError
from wolfhound.images import ImageSet

THREATS: dict[str, Threat | None] = {
    "linf": Threat("linf", 0.5),
    "l2": Threat("l2", 4.0),
    "patch": Threat("patch", 0.2),
    "free": None,
}
LONGER: dict[str, dict[str, object]] = {
    "carlini_wagner": {"searches": 3},
    "targeted_ascent": {},
    "square": {"most_queries": 600},
}
OPTIONS = {row.name: row.options for row in IMAGE_ROWS} | LONGER
NEED_A_THREAT = {"fgsm", "pgd", "mi_fgsm"}


def linear(classes: int) -> Classifier:
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, classes)).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        module[1].weight -= module[1].weight.mean(dim=1, keepdim=True)  # so that brightness favours no class
    names = tuple(f"class {i}" for i in range(classes))
    return Classifier("linear", module.eval(), names, Preprocessing(input_size=(8, 8)), "")


def labelled(images: ImageSet, classifier: Classifier) -> ImageSet:
    """Return the images with the network's own predictions as labels, so that every one has to be moved."""
    with frozen(classifier.module), torch.no_grad():
        labels = classifier.logits(images.load().double()).argmax(dim=1).numpy()
    return ImageSet(images.name, images.pixels, images.rows, labels, classifier.class_names, images.hashes)


def goals(name: str) -> tuple[bool, ...]:
    return (False, True) if can_choose_goal(IMAGE[name]) else (make_image(name, OPTIONS[name]).targeted,)


def attempt(attack: ImageAttack, classifier: Classifier, images: ImageSet, threat: Threat | None) -> Any:
    generator = torch.Generator().manual_seed(0)
    classes = len(classifier.class_names)
    targets = random_targets(images.labels, classes=classes, generator=generator) if attack.targeted else images.labels
    return attack_images(attack, classifier, images, targets, threat, generator=generator).ledger


@pytest.mark.parametrize("norm", THREATS)
@pytest.mark.parametrize(("name", "targeted"), [(name, goal) for name in sorted(IMAGE) for goal in goals(name)])
def test_every_attack_norm_and_goal_either_fools_or_is_refused_with_the_reason(
    name: str, targeted: bool, norm: str, make_images: ImageSetFactory
) -> None:
    classifier, threat = linear(4), THREATS[norm]
    images = labelled(make_images([0] * 4, classes=4), classifier)
    attack = make_image(name, OPTIONS[name], targeted=targeted)
    if isinstance(attack, HopSkipJump):
        pictures = labelled(make_images([0] * 40, classes=4, seed=1, name="pictures"), classifier)
        attack = replace(attack, starts=StartImages(pictures))
    faults = threat_faults(attack, threat)
    if norm == "free" and name in NEED_A_THREAT:
        with pytest.raises(PlanError, match=f"{name}: expected a threat"):
            attempt(attack, classifier, images, threat)
    elif faults:
        assert faults[0].startswith(f"{name}: expected a threat of norm ")
        with pytest.raises(PlanError, match=f"{name}: expected a threat of norm "):
            attempt(attack, classifier, images, threat)
    else:
        assert attempt(attack, classifier, images, threat)["success"].all()


def test_what_is_refused_is_what_the_table_says_and_nothing_else() -> None:
    refused = {
        (name, norm)
        for name in IMAGE
        for norm in ("linf", "l2", "patch")
        if threat_faults(make_image(name, OPTIONS[name]), THREATS[norm])
    }
    assert refused == {(name, "patch") for name in IMAGE} | {("carlini_wagner", "linf")}
    universal = {
        (name, norm)
        for name in UNIVERSAL
        for norm in ("linf", "l2", "patch")
        if threat_faults(make_universal(name, {}), THREATS[norm])
    }
    others = set(UNIVERSAL) - {"patch_uap"}
    assert universal == {(name, "patch") for name in others} | {("patch_uap", "linf"), ("patch_uap", "l2")}
    assert all(name in UNIVERSAL or name in IMAGE for name in LIMITS)


@pytest.mark.parametrize("row", UNIVERSAL_ROWS, ids=lambda row: row.name)
def test_a_universal_attack_refuses_a_target_exactly_where_the_table_says_so(
    row: Any, make_images: ImageSetFactory
) -> None:
    attack, classifier = make_universal(row.name, row.options), linear(4)
    images = labelled(make_images([0] * 24, classes=4), classifier)
    threat = Threat(row.threats[0].norm, row.threats[0].epsilon, target=1)
    with frozen(classifier.module):
        proposals = attack.proposals(
            [classifier],
            images,
            threat,
            generator=torch.Generator().manual_seed(0),
            chunk=24,
            advance=lambda _: None,
        )
        if threat_faults(attack, threat):
            with pytest.raises(PlanError, match=f"{row.name}: expected an untargeted threat"):
                next(iter(proposals))
        else:
            assert bool(torch.isfinite(next(iter(proposals)).delta).all())


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("name", sorted(IMAGE))
def test_an_attack_works_from_the_number_of_classes_that_the_table_says(
    name: str, classes: int, make_images: ImageSetFactory
) -> None:
    attack, classifier = make_image(name, OPTIONS[name]), linear(classes)
    images = labelled(make_images([0] * 4, classes=classes), classifier)
    threat = Threat("l2", min(8.0, LARGEST_L2))
    if class_faults(attack, classes):
        assert name == "apgd_t"
        assert classes < 4
        assert "DLR" in class_faults(attack, classes)[0]
    else:
        assert attempt(attack, classifier, images, threat)["success"].all()
    assert class_faults(attack, 1)


@pytest.mark.parametrize(
    ("guest", "norms"),
    [
        ("torchattacks:FGSM", {"linf"}),
        ("torchattacks:CW", {"l2"}),
        ("torchattacks:OnePixel", set()),
        ("torchattacks:APGD", {"linf", "l2"}),
        ("foolbox:LinfPGD", {"linf"}),
        ("foolbox:L2CarliniWagnerAttack", {"l2"}),
        ("foolbox:L1PGD", set()),
        ("art:ProjectedGradientDescent", {"linf", "l2"}),
        ("art:CarliniLInfMethod", {"linf"}),
    ],
)
def test_an_attack_of_another_library_is_held_to_the_norm_that_is_its_own(guest: str, norms: set[str]) -> None:
    attack = PeerAttack(*guest.split(":"))
    assert {norm for norm in ("linf", "l2", "patch") if not threat_faults(attack, THREATS[norm])} == norms
    assert not threat_faults(attack, None)


@pytest.mark.peers
def test_the_norms_of_torchattacks_are_those_of_its_documentation() -> None:
    torchattacks = pytest.importorskip("torchattacks")
    known = {"Linf": ("linf",), "L2": ("l2",), "L1 and L2": ("l2",), "L1": (), "L0": ()}
    for name, norms in GUESTS["torchattacks"].items():
        stated = re.search(r"Distance Measure\s*:\s*(.*)", getattr(torchattacks, name).__doc__)
        assert stated is not None
        assert known[stated.group(1).strip()] == norms, name


def test_options_may_not_name_another_norm_than_the_threat() -> None:
    assert contradiction({"norm": "l2"}, Threat("l2", 1.0)) == ()
    assert contradiction({}, Threat("linf", 0.1)) == ()
    (fault,) = contradiction({"norm": "l2"}, Threat("linf", 0.1))
    assert "linf" in fault
    assert "'l2'" in fault


def test_the_driver_refuses_a_patch_before_it_asks_the_network(make_images: ImageSetFactory) -> None:
    class Closed(nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:  # noqa: ARG002
            raise AssertionError("asked")

    closed = Classifier("closed", Closed(), ("a", "b"), Preprocessing(input_size=(8, 8)), "")
    images = make_images([0, 1], classes=2)
    with pytest.raises(PlanError, match="a patch is for patch_uap alone"):
        attack_images(
            make_image("pgd", {}),
            closed,
            images,
            np.zeros(2, dtype=np.int64),
            THREATS["patch"],
            generator=torch.Generator(),
        )
