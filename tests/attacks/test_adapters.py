"""Attacks of other libraries: what is said without them, and what they do through our protocol where they are there."""

import importlib.util
import random
from typing import Any

import numpy as np
import pytest
import torch

from attacks.adapters import peers
from attacks.adapters.peers import LIBRARIES, PeerAttack, peer_attack
from attacks.per_image.driver import ImageAttackResult, attack_images
from attacks.registry import make, make_image
from attacks.threat import Threat
from tests.attacks.crashing import assert_same, mixed_state, snapshot
from wolfhound.classifier import Classifier, frozen
from wolfhound.errors import PlanError
from wolfhound.images import ImageSet, Splits

LINF, L2 = Threat("linf", 12 / 255), Threat("l2", 1.0)
WORKING = (
    ("torchattacks:PGD", {"steps": 8}, LINF),
    ("torchattacks:PGDL2", {"steps": 8, "alpha": 0.3}, L2),
    ("torchattacks:APGD", {"steps": 8}, L2),
    ("foolbox:LinfPGD", {"steps": 8, "rel_stepsize": 0.3}, LINF),
    ("foolbox:L2PGD", {"steps": 8, "rel_stepsize": 0.3}, L2),
    ("art:ProjectedGradientDescent", {"max_iter": 8, "eps_step": 0.01}, LINF),
    ("art:ProjectedGradientDescent", {"max_iter": 8, "eps_step": 0.3}, L2),
)
every_library = pytest.mark.parametrize(("name", "options", "threat"), WORKING)


@pytest.fixture
def few(textures: Splits) -> ImageSet:
    return textures.report.subset(range(24))


def installed(name: str) -> None:
    if importlib.util.find_spec(LIBRARIES[name.partition(":")[0]].module) is None:
        pytest.skip(f"needs {name.partition(':')[0]} (pip install 'wolfhound[adapters]')")


def run(
    attack: Any, classifier: Classifier, images: ImageSet, threat: Threat | None, **options: Any
) -> ImageAttackResult:
    targets = (images.labels + 1) % 4 if attack.targeted else images.labels
    generator = torch.Generator().manual_seed(0)
    return attack_images(attack, classifier, images, targets, threat, generator=generator, **options)


@pytest.mark.parametrize("name", ["torchattacks:PGD", "foolbox:LinfPGD", "art:ProjectedGradientDescent"])
def test_without_the_library_the_error_says_what_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "find_spec", lambda _: None)
    with pytest.raises(PlanError, match=r"pip install .*wolfhound\[adapters\]"):
        make_image(name, {})


def test_an_unknown_library_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        PlanError, match="expected a library out of art, foolbox, torchattacks before the colon, got 'c'"
    ):
        make("c:PGD", {})


@pytest.mark.peers
@pytest.mark.parametrize("name", ["torchattacks:Nothing", "foolbox:Nothing", "art:Nothing"])
def test_an_attack_that_the_library_does_not_have_is_refused_with_those_it_has(name: str) -> None:
    installed(name)
    with pytest.raises(PlanError, match=r"out of .*(PGD|ProjectedGradientDescent).*, got 'Nothing'"):
        make_image(name, {})


@pytest.mark.peers
@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("torchattacks:PGD", {"epochs": 3}, "options out of alpha, steps, random_start, got epochs"),
        ("torchattacks:PGD", {"eps": 0.1}, "eps to come from the threat"),
        ("art:ProjectedGradientDescent", {"norm": 2}, "norm to come from the threat"),
        ("foolbox:LinfPGD", {"epochs": 3}, "got epochs"),
    ],
)
def test_options_that_do_not_fit_are_refused(name: str, options: dict[str, object], message: str) -> None:
    installed(name)
    with pytest.raises(PlanError, match=message):
        peer_attack(name, options)


@pytest.mark.peers
@every_library
def test_it_is_judged_like_any_attack_and_fools_the_network(
    name: str, options: dict[str, object], threat: Threat, trained: Classifier, few: ImageSet
) -> None:
    installed(name)
    result = run(make_image(name, options), trained, few, threat, keep=range(24))
    levels = result.adversarial.double() - (few.load().double() * 255).round()
    assert float(threat.size(levels / 255).max()) <= threat.epsilon + 1e-9
    with frozen(trained.module), torch.no_grad():
        predicted = trained.logits(result.adversarial.double() / 255).argmax(dim=1).numpy()
    assert (result.ledger["adversarial"] == predicted).all()
    assert result.ledger["success"].mean() > 0.8
    assert result.attack == name


@pytest.mark.peers
@every_library
def test_it_leaves_the_network_and_every_global_generator_as_they_were(
    name: str, options: dict[str, object], threat: Threat, trained: Classifier, few: ImageSet
) -> None:
    installed(name)
    mixed_state(trained)
    before, python, numpy = snapshot(trained), random.getstate(), np.random.get_state()
    first = run(make_image(name, options), trained, few, threat)
    assert_same(before, snapshot(trained))
    assert random.getstate() == python
    assert np.array_equal(np.random.get_state()[1], numpy[1])  # type: ignore[arg-type]
    torch.rand(3)
    np.random.rand(3)
    assert run(make_image(name, options), trained, few, threat).ledger.equals(first.ledger)


@pytest.mark.peers
@every_library
def test_its_queries_sum_to_the_rows_that_the_network_saw(
    name: str, options: dict[str, object], threat: Threat, trained: Classifier, few: ImageSet
) -> None:
    installed(name)
    seen: list[int] = []
    handle = trained.module.register_forward_hook(lambda _, inputs, __: seen.append(len(inputs[0])))
    with frozen(trained.module):
        found = make_image(name, options).propose(
            trained, few.load().double(), torch.from_numpy(few.labels), threat, seeds=torch.arange(24)
        )
    handle.remove()
    assert int(found.queries.sum()) == sum(seen)


@pytest.mark.peers
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("torchattacks:PGD", {"steps": 12}),
        ("foolbox:LinfPGD", {"steps": 12}),
        ("art:ProjectedGradientDescent", {"max_iter": 12, "eps_step": 0.02}),
    ],
)
def test_a_goal_is_handed_on(name: str, options: dict[str, object], trained: Classifier, few: ImageSet) -> None:
    installed(name)
    owner, _, attack = name.partition(":")
    result = run(PeerAttack(owner, attack, options, targeted=True), trained, few, Threat("linf", 24 / 255))
    assert (result.ledger["adversarial"] == result.ledger["target"]).mean() > 0.8


@pytest.mark.peers
def test_what_the_attack_cannot_do_is_refused(trained: Classifier, few: ImageSet) -> None:
    for name in ("torchattacks:PGD", "foolbox:L2PGD", "art:FastGradientMethod"):
        installed(name)
    with pytest.raises(PlanError, match="expected a threat for its eps"):
        run(make_image("torchattacks:PGD", {}), trained, few, None)
    with pytest.raises(PlanError, match="expected a threat for its eps"):
        run(make_image("art:FastGradientMethod", {}), trained, few, None)
    with pytest.raises(PlanError, match="foolbox:L2PGD: expected a threat of norm l2, got linf"):
        run(make_image("foolbox:L2PGD", {}), trained, few, LINF)
    with pytest.raises(PlanError, match="expected an attack in linf as the threat says, got one in l2"):
        run(make_image("foolbox:DDNAttack", {}), trained, few, LINF)
    with pytest.raises(PlanError, match="Targeted mode is not supported"):
        run(PeerAttack("torchattacks", "APGD", {}, targeted=True), trained, few, LINF)
    with pytest.raises(PlanError, match="can reach a class"):
        run(PeerAttack("art", "DeepFool", {}, targeted=True), trained, few, L2)


@pytest.mark.peers
def test_an_attack_without_a_bound_runs_without_a_threat(trained: Classifier, few: ImageSet) -> None:
    installed("foolbox:L2DeepFoolAttack")
    # DeepFool ends on the boundary itself, which rounding to 8 bit crosses back for about half of the images.
    assert run(make_image("foolbox:L2DeepFoolAttack", {}), trained, few, None).ledger["success"].mean() > 0.3
