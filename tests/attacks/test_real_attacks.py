"""On a real classifier and real photographs, each attack does what it is for."""

from collections.abc import Iterator
from statistics import mean

import pytest
import torch

from attacks.controls import noise_controls
from attacks.doubts import classifier_doubts, ledger_doubts
from attacks.judge import fooling_rates, transfer_predictions, under
from attacks.per_image.driver import attack_images, random_targets
from attacks.per_image.hopskipjump import HopSkipJump
from attacks.per_image.starts import StartImages
from attacks.registry import make_image, make_universal
from attacks.threat import Threat
from attacks.universal.driver import craft_universal
from tests.real_subjects import real_index, real_subjects
from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.images import Splits, split
from wolfhound.loading import load_factory
from wolfhound.sources import Fit, read_folder

pytestmark = pytest.mark.real

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """A network this small gains little from a second thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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
    return split(images, craft=200, select=60, report=300, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("name", "ahead"), [("deepfool_uap", 10), ("sgd_uap", 25)])
def test_a_universal_perturbation_fools_far_more_held_out_images_than_noise(
    name: str, ahead: float, resnet20: Classifier, photographs: Splits
) -> None:
    threat = Threat("linf", 10 / 255)
    found = craft_universal(
        make_universal(name, {"passes": 2}),
        resnet20,
        photographs.craft,
        photographs.select,
        threat,
        generator=torch.Generator().manual_seed(0),
    )
    controls = noise_controls(threat, (32, 32), seeds=range(3))
    ledger = transfer_predictions(resnet20, photographs.report, under(threat, {"own": found.best, **controls}))
    rates = fooling_rates(ledger)
    print({key: rate.text for key, rate in rates.items()})
    assert rates["own"].percent > mean(rates[key].percent for key in controls) + ahead
    assert ledger_doubts(ledger, own="own", noise=tuple(controls)) == ()


def test_targeted_ascent_reaches_random_classes_within_two_levels(resnet20: Classifier, photographs: Splits) -> None:
    images = photographs.report.subset(range(0, 300, 10))
    targets = random_targets(images.labels, classes=10, generator=torch.Generator().manual_seed(0))
    attack = make_image("targeted_ascent", {"objective": "margin"})
    generator = torch.Generator().manual_seed(0)
    ledger = attack_images(attack, resnet20, images, targets, Threat("linf", 2 / 255), generator=generator).ledger
    assert ledger["success"].mean() > 0.9
    assert (ledger["clean"] == targets).mean() < 0.2


@pytest.mark.parametrize(
    ("name", "options", "threat", "share"),
    [
        ("fgsm", {}, Threat("linf", 2 / 255), 0.7),
        ("pgd", {"most_steps": 10}, Threat("linf", 2 / 255), 0.95),
        ("pgd", {"most_steps": 10}, Threat("l2", 0.25), 0.9),
        ("mi_fgsm", {}, Threat("linf", 2 / 255), 0.9),
        ("carlini_wagner", {"searches": 3, "most_steps": 40}, Threat("l2", 0.25), 0.9),
        ("deepfool", {}, Threat("linf", 2 / 255), 0.9),
        ("deepfool", {}, Threat("l2", 0.25), 0.9),
        ("apgd_ce", {"iterations": 20}, Threat("linf", 2 / 255), 0.95),
        ("apgd_t", {"iterations": 20, "targets": 2}, Threat("linf", 2 / 255), 0.95),
        ("fab_t", {"iterations": 20, "targets": 2}, Threat("linf", 2 / 255), 0.9),
        ("square", {"most_queries": 300}, Threat("linf", 8 / 255), 0.7),
    ],
)
def test_an_attack_away_from_the_label_fools_a_plain_network_as_eight_bit_images(
    name: str, options: dict[str, object], threat: Threat, share: float, resnet20: Classifier, photographs: Splits
) -> None:
    images = photographs.report.subset(range(0, 300, 15))
    generator = torch.Generator().manual_seed(0)
    attack = make_image(name, options, targeted=False)
    ledger = attack_images(attack, resnet20, images, images.labels, threat, generator=generator).ledger
    right = ledger[ledger["clean"] == ledger["label"]]
    print(name, threat.text, right["success"].mean(), right["success_float"].mean())
    assert right["success"].mean() >= share
    # They aim at whole levels, so that rounding takes nothing from them.
    assert (right["success_float"] | ~right["success"]).mean() >= 0.9


def test_hopskipjump_reaches_classes_from_crafting_photographs_of_them(
    resnet20: Classifier, photographs: Splits
) -> None:
    images = photographs.report.subset(range(0, 300, 50))
    targets = random_targets(images.labels, classes=10, generator=torch.Generator().manual_seed(1))
    attack = HopSkipJump(
        iterations=5, first_evaluations=60, gamma=100.0, targeted=True, starts=StartImages(photographs.craft)
    )
    generator = torch.Generator().manual_seed(0)
    ledger = attack_images(attack, resnet20, images, targets, None, generator=generator).ledger
    print(ledger[["success", "l2", "steps", "queries"]])
    assert ledger["success"].all()
    furthest = max(
        float((images.load([row]) - photographs.craft.load(slice(None))).flatten(1).norm(dim=1).min())
        for row in range(len(images))
    )
    assert float(ledger["l2"].median()) < furthest  # nearer than any photograph is


def test_a_sound_real_network_raises_no_doubt(resnet20: Classifier, photographs: Splits) -> None:
    assert classifier_doubts(resnet20, photographs.select.load()) == ()
