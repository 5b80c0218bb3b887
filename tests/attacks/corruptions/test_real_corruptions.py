"""Facts about real CIFAR-10 networks under corruptions that the literature leads one to expect."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attacks.corruptions.judging import accuracy_table, corruption_ledger, mean_accuracy
from attacks.corruptions.registry import chosen_corruptions
from tests.real_subjects import real_subjects
from tests.wolfhound.test_real_subjects import classifier, image_set

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("real-corruptions")
    (folder / "archs.py").write_text((real_subjects() / "archs.py").read_text())
    return folder


@pytest.fixture(scope="module")
def ledgers(workshop: Path) -> dict[str, pd.DataFrame]:
    images = image_set("cifar10_jpeg", workshop)
    sample = images.subset(np.argsort(np.array(images.hashes))[:100])
    networks = {name: classifier(name, workshop) for name in ("cifar10_resnet20", "cifar10_robust_resnet4b")}
    return {
        name: corruption_ledger(network, sample, chosen_corruptions("all"), (1, 5), seed=0)
        for name, network in networks.items()
    }


def at_severity(ledger: pd.DataFrame, severity: int) -> float:
    """Return the mean accuracy over all corruptions at one severity."""
    return float(np.mean([rate.share for (_, s), rate in accuracy_table(ledger).items() if s == severity]))


def test_severity_5_costs_more_than_severity_1(ledgers: dict[str, pd.DataFrame]) -> None:
    for name, ledger in ledgers.items():
        print(name, at_severity(ledger, 1), at_severity(ledger, 5), mean_accuracy(ledger, seed=0))
        assert at_severity(ledger, 1) > at_severity(ledger, 5) + 0.1


def test_the_plain_network_loses_more_under_noise_than_the_adversarially_trained_one(
    ledgers: dict[str, pd.DataFrame],
) -> None:
    lost = {}
    for name, ledger in ledgers.items():
        clean = float((ledger["clean"] == ledger["label"]).mean())
        lost[name] = clean - accuracy_table(ledger)["gaussian_noise", 5].share
    assert lost["cifar10_resnet20"] > lost["cifar10_robust_resnet4b"] + 0.1
