"""Beside torchattacks and foolbox, with the same settings, ours succeed as often, or with perturbations as small."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from attacks.per_image.driver import attack_images, random_targets
from attacks.threat import Norm, Threat
from benchmarks.per_image_peers import Pair, bounded_pairs, installed, run_peer, small_pairs
from tests.conftest import ImageSetFactory
from tests.real_subjects import real_index, real_subjects
from wolfhound.classifier import Classifier, Preprocessing, frozen
from wolfhound.images import ImageSet, Splits, split
from wolfhound.loading import load_factory
from wolfhound.sources import Fit, read_folder

pytestmark = pytest.mark.peers

POINTS = 2.0
BOUNDED = bounded_pairs(5 / 255, 0.25)
SMALL = small_pairs(searches=4, steps=60)
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

both_goals = pytest.mark.parametrize("targeted", [False, True], ids=["leave", "reach"])


@pytest.fixture(scope="module", autouse=True)
def peers() -> None:
    if len(installed()) < 2:
        pytest.skip(f"needs torchattacks and foolbox (pip install them with --no-deps); there is {installed()}")


@pytest.fixture
def single(trained: Classifier) -> Classifier:
    """The trained network in single precision, which is what the peers work in."""
    trained.module.float()
    return trained


@pytest.fixture(scope="module")
def resnet20() -> Classifier:
    stated = next(model for model in real_index()["models"] if model["name"] == "cifar10_resnet20")["preprocessing"]
    return load_factory(
        real_subjects() / "archs.py",
        "CifarResNet",
        arguments={"n": 3},
        weights=real_subjects() / "models" / "cifar10_resnet20.pth",
        preprocessing=Preprocessing(tuple(stated["mean"]), tuple(stated["std"]), (32, 32)),
        class_names=CIFAR10,
    )


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Splits:
    images = read_folder(
        real_subjects() / "images" / "cifar10_jpeg",
        cache=tmp_path_factory.mktemp("cifar10"),
        size=(32, 32),
        fit=Fit("squash"),
        labels="leading_index",
        class_names=CIFAR10,
    )
    return split(images, craft=20, select=20, report=100, generator=torch.Generator().manual_seed(0))


def measured(
    pair: Pair, classifier: Classifier, images: ImageSet, *, targeted: bool
) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, np.ndarray[Any, Any]]]:
    """Return success (ours in 8 bit, the peers as they return it) and size, by the name of whose it is."""
    pair = pair.towards() if targeted else pair
    generator = torch.Generator().manual_seed(0)
    targets = random_targets(images.labels, classes=len(images.class_names), generator=generator)
    wanted = targets if targeted else images.labels
    ledger = attack_images(pair.ours, classifier, images, wanted, pair.threat, generator=generator).ledger
    norm: Norm = pair.threat.norm if pair.threat else getattr(pair.ours, "norm", "l2")
    success, size = {"ours": ledger["success"].to_numpy()}, {"ours": ledger[norm].to_numpy()}
    pixels, goal = images.load(), torch.from_numpy(wanted)
    for name, peer in pair.peers.items():
        found = run_peer(peer, classifier, pixels, goal, targeted=targeted)
        with frozen(classifier.module), torch.no_grad():
            predicted = classifier.logits(found).argmax(dim=1).numpy()
        success[name] = (predicted == wanted) == targeted
        size[name] = Threat(norm, 0.0).size(found - pixels).numpy()
    return success, size


def assert_as_successful(pair: Pair, success: dict[str, np.ndarray[Any, Any]]) -> None:
    percent = {name: 100 * float(column.mean()) for name, column in success.items()}
    print(pair.name, percent)
    assert percent["ours"] >= max(percent.values()) - POINTS


@both_goals
@pytest.mark.parametrize("pair", BOUNDED, ids=lambda pair: pair.name)
def test_within_a_threat_ours_succeeds_as_often(
    pair: Pair, targeted: bool, single: Classifier, textures: Splits
) -> None:
    if targeted and pair.name.startswith("FGSM"):
        pair = replace(pair, peers={"torchattacks": pair.peers["torchattacks"]})  # foolbox's only leaves classes
    success, _ = measured(pair, single, textures.report, targeted=targeted)
    assert success["ours"].mean() > 0.2
    assert_as_successful(pair, success)


def can(pair: Pair, targeted: bool) -> bool:
    return not targeted or pair.name.startswith("Carlini")


@pytest.mark.parametrize(
    ("pair", "targeted"),
    [(pair, targeted) for pair in SMALL for targeted in (False, True) if can(pair, targeted)],
    ids=lambda value: value.name if isinstance(value, Pair) else ("reach" if value else "leave"),
)
def test_without_a_threat_ours_succeeds_as_often_with_perturbations_as_small(
    pair: Pair, targeted: bool, single: Classifier, textures: Splits
) -> None:
    images = textures.report.subset(range(60))
    success, size = measured(pair, single, images, targeted=targeted)
    assert_as_successful(pair, success)
    everyone = np.logical_and.reduce(list(success.values()))
    medians = {name: float(np.median(column[everyone])) for name, column in size.items()}
    print(medians)
    # Ours are sizes of 8-bit images: in linf whole levels.
    room = 1 / 255 if getattr(pair.ours, "norm", "l2") == "linf" else 0.03 * medians["ours"]
    assert medians["ours"] <= min(medians.values()) + room


@pytest.mark.real
@pytest.mark.parametrize("pair", bounded_pairs(1 / 255, 0.15), ids=lambda pair: pair.name)
def test_on_a_real_network_within_a_threat_ours_succeeds_as_often(
    pair: Pair, resnet20: Classifier, photographs: Splits
) -> None:
    success, _ = measured(pair, resnet20, photographs.report, targeted=False)
    assert_as_successful(pair, success)


@pytest.mark.real
@pytest.mark.parametrize("pair", small_pairs(searches=3, steps=40), ids=lambda pair: pair.name)
def test_on_a_real_network_without_a_threat_ours_always_succeeds_and_the_peers_lose_theirs_in_rounding(
    pair: Pair, resnet20: Classifier, photographs: Splits
) -> None:
    images = photographs.report.subset(range(24))
    success, size = measured(pair, resnet20, images, targeted=False)
    assert success["ours"].all()
    assert_as_successful(pair, success)
    print({name: float(np.median(column)) for name, column in size.items()})


def test_the_trained_network_is_one_that_they_can_all_be_compared_on(
    single: Classifier, make_images: ImageSetFactory
) -> None:
    """The peers' network of pixels gives the classifier's own logits, so that all attack the same thing."""
    pixels = make_images([0, 1], classes=4, size=(16, 16)).load()
    seen: list[torch.Tensor] = []

    def peer(network: Any, at: torch.Tensor, _: torch.Tensor, __: bool) -> torch.Tensor:
        seen.append(network(at))
        assert not network.training
        return at

    run_peer(peer, single, pixels, torch.zeros(2).long(), targeted=False)
    with frozen(single.module):
        assert torch.equal(seen[0], single.logits(pixels))
