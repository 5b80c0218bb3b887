"""The nuisance probe: it finds what colour gives away, and finds nothing where there is nothing."""

import numpy as np
import pytest
import torch

from explainers.bias.nuisance import logistic_regression, nuisance_features, nuisance_probe
from tests.explainers import synthetic


def sets(folder, *, confounded):
    rng = np.random.default_rng(0)
    pixels, labels = [], []
    for index in range(60):
        label = index % 2
        kind = synthetic.USUAL[label if (index // 2 < confounded * 30) else 1 - label]
        pixels.append(synthetic.texture(kind, rng))
        labels.append(label)
    return synthetic.image_set(folder, "textures", pixels, labels, ["x"] * 60)


def test_a_confounded_background_is_found_available(tmp_path):
    probe = nuisance_probe(sets(tmp_path, confounded=1.0), seed=0)
    assert probe.accuracy.share == 1
    assert probe.p_value < 1e-9
    assert probe.chance == 0.5


def test_a_balanced_one_is_not(tmp_path):
    probe = nuisance_probe(sets(tmp_path, confounded=0.5), seed=0)
    assert probe.p_value > 0.05
    assert probe.detectable == pytest.approx(0.66, abs=0.02)


def test_every_image_is_predicted_once_by_a_model_that_did_not_see_it(tmp_path):
    ledger = nuisance_probe(sets(tmp_path, confounded=1.0), seed=0).ledger
    assert len(ledger) == len(set(ledger["image"])) == 60
    assert ledger.groupby(["label", "fold"]).size().tolist() == [6] * 10


def test_classes_of_too_few_images_are_left_out(tmp_path):
    images = sets(tmp_path, confounded=1.0)
    probe = nuisance_probe(images.subset([*range(0, 60, 2), *range(1, 12, 2)]), seed=0)
    assert probe is None
    assert nuisance_probe(images.subset([*range(0, 60, 2), *range(1, 22, 2)]), seed=0).left_out == 0


def test_features_are_what_they_say():
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = nuisance_features(pixels)
    assert found.shape == (2, 25)
    ring = torch.cat([pixels[..., :2, :].flatten(2), pixels[..., -2:, :].flatten(2), pixels[..., :, :2].flatten(2),
                      pixels[..., :, -2:].flatten(2)], dim=2)  # fmt: skip
    torch.testing.assert_close(found[:, :3].float(), pixels.mean(dim=(2, 3)))
    torch.testing.assert_close(found[:, 6:9].float(), ring.mean(dim=2))
    torch.testing.assert_close(found[:, 12:15].float(), pixels[..., :2, :].mean(dim=(2, 3)))


def test_the_regression_is_at_its_minimum_and_repeats_to_the_bit():
    rng = torch.Generator().manual_seed(0)
    features = torch.randn(80, 4, generator=rng, dtype=torch.float64)
    targets = (features[:, 0] + torch.randn(80, generator=rng, dtype=torch.float64) > 0).long()
    weights, bias = logistic_regression(features, targets, classes=2, ridge=0.7)
    # The gradient by hand: X'(p - onehot) + ridge W is zero at the minimum.
    residual = (features @ weights + bias).softmax(dim=1) - torch.nn.functional.one_hot(targets, 2)
    assert float((features.T @ residual + 0.7 * weights).abs().max()) < 1e-5
    assert float(residual.sum(dim=0).abs().max()) < 1e-5
    again, _ = logistic_regression(features, targets, classes=2, ridge=0.7)
    assert torch.equal(weights, again)
