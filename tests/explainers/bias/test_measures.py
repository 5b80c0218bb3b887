"""Object swaps, bare objects and backgrounds, noise in one place: on networks whose truth is known."""

import numpy as np
import pandas as pd
import pytest
import torch

from explainers.bias.composites import Parts, composites, gaussian_noise
from explainers.bias.measures import bare_accuracies, foreground_sensitivity, measured_sensitivity, object_swaps
from explainers.bias.probe import background_probe
from explainers.bias.verdict import ProbeSettings
from tests.explainers import synthetic


def ledger_of(margin, folder, **options):
    return background_probe(
        synthetic.reader(margin),
        synthetic.foreground_set(folder),
        synthetic.plate_set(folder),
        classes=synthetic.PAIR,
        usual_background=synthetic.USUAL,
        seed=3,
        **options,
    ).ledger


def test_a_reader_of_the_object_follows_the_object_that_is_put_in(tmp_path):
    rates = object_swaps(ledger_of(synthetic.object_redness, tmp_path))
    assert (rates["follows_object"].share, rates["stays_with_background"].share) == (1, 0)


def test_a_reader_of_the_background_stays_with_it(tmp_path):
    rates = object_swaps(ledger_of(synthetic.border_brightness, tmp_path))
    assert (rates["follows_object"].share, rates["stays_with_background"].share) == (0, 1)


def test_partners_are_of_another_class(tmp_path):
    ledger = ledger_of(synthetic.object_redness, tmp_path)
    assert (ledger["partner_label"] != ledger["label"]).all()
    labels = dict(zip(ledger["image"], ledger["label"], strict=True))
    assert [labels[partner] for partner in ledger["partner"]] == ledger["partner_label"].tolist()


def test_what_each_reader_keeps_of_its_accuracy(tmp_path):
    reads_object = bare_accuracies(ledger_of(synthetic.object_redness, tmp_path / "a"))
    assert reads_object.object_alone.share == 1
    assert reads_object.p_value > 0.05
    reads_background = bare_accuracies(ledger_of(synthetic.border_brightness, tmp_path / "b"))
    assert reads_background.without_object.share == 1
    assert reads_background.chance == 0.5
    assert reads_background.p_value == pytest.approx(0.5**24)


@pytest.mark.parametrize(
    ("object_noise", "background_noise", "value"), [(0.5, 0.5, 0), (0.0, 1.0, 1), (1.0, 0.0, -1), (0.9, 1.0, 1)]
)
def test_relative_foreground_sensitivity_is_its_formula(object_noise, background_noise, value):
    assert foreground_sensitivity(object_noise, background_noise) == pytest.approx(value)


def test_a_reader_of_the_object_is_hurt_by_noise_on_it(tmp_path):
    ledger = ledger_of(synthetic.object_redness, tmp_path, settings=ProbeSettings(noise=1.0))
    found = measured_sensitivity(ledger, seed=0)
    assert found.background_noise.share == 1
    assert found.object_noise.share < 1
    assert found.value == pytest.approx(1)


def test_an_interval_is_refused_where_the_accuracies_leave_nothing_to_compare():
    ledger = pd.DataFrame({"label": [0] * 9, "prediction_noise_object": 0, "prediction_noise_background": 0})
    found = measured_sensitivity(ledger, seed=0)
    assert (found.value, found.interval) == (None, None)


def test_noise_has_one_norm_in_both_places_and_does_not_depend_on_the_batch():
    hashes = ("a", "b", "c")
    masks = torch.zeros(3, 1, 16, 16)
    masks[:, :, :5, :6] = 1
    grey = torch.full((3, 3, 16, 16), 0.5)
    parts = Parts(grey, masks, grey, grey, grey, masks, hashes)
    made = composites(ProbeSettings(noise=0.01), seed=0)
    for name, where in (("noise_object", masks), ("noise_background", 1 - masks)):
        noise = made[name](parts) - grey
        assert torch.equal(noise * (1 - where), torch.zeros_like(noise))
        np.testing.assert_allclose(noise.flatten(1).norm(dim=1), 0.01 * (3 * 16 * 16) ** 0.5, rtol=1e-4)
    assert torch.equal(gaussian_noise(hashes, 5, seed=0)[2:], gaussian_noise(("c",), 5, seed=0))
