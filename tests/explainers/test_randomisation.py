"""The check must fail an explainer that ignores the network and pass one that hangs on every weight."""

import copy
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import stats

from explainers.base import Targets, make_maps
from explainers.randomisation import randomisation_check, shuffle_weights, structural_similarity
from explainers.registry import explainer
from tests.explainers.networks import pooled_classifier, random_pixels
from tests.explainers.test_contract import fingerprint


@dataclass(frozen=True)
class Brightness:
    """Shows the image and not the network."""

    name: str = "brightness"

    def explain(self, _classifier, pixels, targets=None, *, layer=None):
        return make_maps(pixels.mean(dim=1), size=(16, 16), layer=layer or "", method=self.name, targets=targets)


@dataclass(frozen=True)
class WeightNoise:
    """Noise that is another one as soon as any weight is."""

    name: str = "weight noise"

    def explain(self, classifier, pixels, targets=None, *, layer=None):
        weights = torch.cat([parameter.detach().flatten() for parameter in classifier.module.parameters()])
        seed = int((weights.double() * torch.arange(1, len(weights) + 1)).sum().abs() * 1e6)
        raw = torch.randn(len(pixels), 8, 8, generator=torch.Generator().manual_seed(seed))
        return make_maps(raw, size=(16, 16), layer=layer or "", method=self.name, targets=targets)


TARGETS = Targets.of([0, 1, 2, 3, 4, 0])


def check(method, classifier=None, **options):
    return randomisation_check(
        classifier or pooled_classifier(), random_pixels(6), TARGETS, explainer=method, seed=0, **options
    )


def test_an_explainer_that_shows_the_image_fails():
    found = check(Brightness())
    assert not found.passed
    assert found.similarity == pytest.approx(1)
    assert (found.stages["ssim"] > 0.999).all()
    assert "NOT shown" in found.text


def test_an_explainer_that_hangs_on_every_weight_passes():
    found = check(WeightNoise())
    assert found.passed
    assert found.similarity < 0.3
    assert found.compared == 6


def test_stages_go_from_the_output_down_to_all_layers():
    found = check(explainer("gradcam"), stages=4)
    assert found.stages["layers"].tolist() == [1, 2, 3, 4]
    assert found.stages["deepest"].tolist() == ["head", "second", "norm", "first"]


def test_eigencam_knows_no_class_so_the_head_does_not_matter_to_it():
    found = check(explainer("eigencam"), stages=4)
    assert found.stages["spearman"].iloc[0] == pytest.approx(1)
    assert found.stages["spearman"].iloc[-1] < 0.999


def test_the_classifier_itself_is_not_touched():
    classifier = pooled_classifier()
    before, state = fingerprint(classifier.module), copy.deepcopy(classifier.module.state_dict())
    check(explainer("gradcam"), classifier)
    assert fingerprint(classifier.module) == before
    assert all(torch.equal(value, state[key]) for key, value in classifier.module.state_dict().items())


def test_equal_seeds_give_equal_checks():
    first, again = (check(explainer("gradcam")) for _ in range(2))
    assert first.ledger.equals(again.ledger)


def test_shuffling_keeps_the_values_and_moves_them():
    layer = torch.nn.Linear(9, 7)
    before = layer.weight.detach().clone()
    shuffle_weights(layer, generator=torch.Generator().manual_seed(0))
    assert torch.equal(before.flatten().sort().values, layer.weight.detach().flatten().sort().values)
    assert not torch.equal(before, layer.weight)


def test_constant_maps_say_nothing_and_are_counted():
    pixels = random_pixels(4)
    pixels[1] = 0.5
    found = randomisation_check(
        pooled_classifier(), pixels, Targets.of([0, 1, 2, 3]), explainer=Brightness(), seed=0, stages=2
    )
    assert (found.compared, found.constant) == (3, 1)
    with pytest.raises(ValueError, match="at least 2 images"):
        randomisation_check(
            pooled_classifier(), torch.full((3, 3, 16, 16), 0.5), Targets.of([0, 1, 2]), explainer=Brightness(), seed=0
        )


def test_the_ledger_holds_scipys_rank_correlation_of_the_raw_maps():
    found = check(WeightNoise(), stages=1)
    classifier, pixels = pooled_classifier(), random_pixels(6)
    before = WeightNoise().explain(classifier, pixels, TARGETS).raw
    generator = torch.Generator().manual_seed(0)
    for name in ("head", "second", "norm", "first"):
        shuffle_weights(classifier.module.get_submodule(name), generator=generator)
    after = WeightNoise().explain(classifier, pixels, TARGETS).raw
    for row in found.ledger.itertuples():
        expected = stats.spearmanr(before[row.image].flatten(), after[row.image].flatten()).statistic
        assert row.spearman == pytest.approx(abs(expected))


def test_structural_similarity_is_its_formula_in_every_window():
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.rand(1, 9, 8, generator=generator, dtype=torch.float64) for _ in range(2))
    values = []
    for row in range(3):
        for column in range(2):
            one, two = (m[0, row : row + 7, column : column + 7].numpy().ravel() for m in (first, second))
            covariance = np.cov(one, two)
            top = (2 * one.mean() * two.mean() + 1e-4) * (2 * covariance[0, 1] + 9e-4)
            bottom = (one.mean() ** 2 + two.mean() ** 2 + 1e-4) * (covariance[0, 0] + covariance[1, 1] + 9e-4)
            values.append(top / bottom)
    assert float(structural_similarity(first, second)[0]) == pytest.approx(np.mean(values))
    assert float(structural_similarity(first, first)[0]) == pytest.approx(1)
