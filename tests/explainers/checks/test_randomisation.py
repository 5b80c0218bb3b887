"""The check must fail an explainer that ignores the network and pass one that hangs on every weight."""

import copy
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import stats

from explainers.base import Targets, make_maps
from explainers.checks.randomisation import (
    randomisation_check,
    randomisation_checks,
    rank_correlations,
    shuffle_weights,
    structural_similarity,
)
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
class SignedBrightness:
    """Shows the image, bright or dark as the weights have it."""

    name: str = "signed brightness"

    def explain(self, classifier, pixels, targets=None, *, layer=None):
        sign = 1 if weights_seed(classifier) % 2 else -1
        raw = sign * (pixels.mean(dim=1) - 0.5)
        return make_maps(raw, size=(16, 16), layer=layer or "", method=self.name, targets=targets)


@dataclass(frozen=True)
class Centre:
    """Shows the centre, whatever image or network."""

    name: str = "centre"

    def explain(self, _classifier, pixels, targets=None, *, layer=None):
        steps = torch.linspace(-1, 1, 16)
        raw = -(steps[:, None] ** 2 + steps**2).expand(len(pixels), 16, 16)
        return make_maps(raw, size=(16, 16), layer=layer or "", method=self.name, targets=targets)


def weights_seed(classifier):
    """A number that changes with any weight."""
    weights = torch.cat([parameter.detach().flatten() for parameter in classifier.module.parameters()])
    return int((weights.double() * torch.arange(1, len(weights) + 1)).sum().abs() * 1e6)


@dataclass(frozen=True)
class WeightNoise:
    """Noise that is another one as soon as any weight is."""

    name: str = "weight noise"

    def explain(self, classifier, pixels, targets=None, *, layer=None):
        raw = torch.randn(len(pixels), 8, 8, generator=torch.Generator().manual_seed(weights_seed(classifier)))
        return make_maps(raw, size=(16, 16), layer=layer or "", method=self.name, targets=targets)


@dataclass(frozen=True)
class DiesWith:
    """Shows the image while the network is `living`, and nothing once another one is asked: a dead network's map."""

    living: int
    name: str = "dies"

    def explain(self, classifier, pixels, targets=None, *, layer=None):
        raw = pixels.mean(dim=1) * (weights_seed(classifier) == self.living)
        return make_maps(raw, size=(16, 16), layer=layer or "", method=self.name, targets=targets)


TARGETS = Targets.of([0, 1, 2, 3, 4, 0])


def check(method, classifier=None, **options):
    return randomisation_check(
        classifier or pooled_classifier(), random_pixels(6), TARGETS, explainer=method, seed=0, **options
    )


def test_an_explainer_that_shows_the_image_fails():
    found = check(Brightness())
    assert not found.passed
    assert found.kept.mean == pytest.approx(1)
    assert (found.stages["ssim"] > 0.999).all()
    assert "NOT shown" in found.text


def test_an_explainer_that_shows_the_image_with_a_sign_of_the_weights_fails():
    found = check(SignedBrightness(), draws=30)
    assert not found.passed
    assert abs(found.kept.mean) < 0.5
    assert found.image_specific.mean > 0.5


def test_an_explainer_that_shows_the_centre_of_every_image_fails():
    found = check(Centre())
    assert not found.passed
    assert found.kept.mean == pytest.approx(1)
    assert found.image_specific.mean == pytest.approx(0)


def test_a_check_whose_randomised_networks_give_no_map_to_compare_with_is_not_passed():
    classifier = pooled_classifier()
    found = check(DiesWith(weights_seed(classifier)), classifier, draws=3)
    assert found.kept.mean == 0
    assert not found.decidable
    assert not found.passed
    assert "18 of 18 maps of randomised networks are constant" in found.text


def test_an_explainer_that_hangs_on_every_weight_passes():
    found = check(WeightNoise())
    assert found.passed
    assert abs(found.kept.mean) < 0.2
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
    assert first.draws.equals(again.draws)
    assert first.stages.equals(again.stages)


def test_checks_that_share_passes_are_those_of_each_method_alone():
    classifier, pixels = pooled_classifier(), random_pixels(6)
    names = ("gradcam", "layercam")
    original = {name: explainer(name).explain(classifier, pixels, TARGETS) for name in names}

    def explained(copied):
        return {name: explainer(name).explain(copied, pixels, TARGETS, layer="features") for name in names}

    together = randomisation_checks(classifier, original, explained, seed=0, stages=3, draws=4)
    for name in names:
        alone = check(explainer(name), stages=3, draws=4)
        assert together[name].draws.equals(alone.draws)
        assert together[name].stages.equals(alone.stages)
        assert together[name].text == alone.text


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


def test_rank_correlations_are_scipys_for_every_pair():
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randint(0, 9, (3, 4, 5), generator=generator).float() for _ in range(2))
    found = rank_correlations(first, second)
    for i in range(3):
        for j in range(3):
            expected = stats.spearmanr(first[i].flatten(), second[j].flatten()).statistic
            assert found[i, j] == pytest.approx(expected)


def test_a_map_that_became_constant_has_kept_nothing():
    assert rank_correlations(torch.rand(1, 3, 3), torch.ones(1, 3, 3)) == 0


def test_the_last_stage_is_a_network_with_every_weight_shuffled():
    found = check(WeightNoise(), stages=1)
    classifier, pixels = pooled_classifier(), random_pixels(6)
    before = WeightNoise().explain(classifier, pixels, TARGETS).raw
    generator = torch.Generator().manual_seed(0)
    for name in ("head", "second", "norm", "first"):
        shuffle_weights(classifier.module.get_submodule(name), generator=generator)
    after = WeightNoise().explain(classifier, pixels, TARGETS).raw
    expected = [stats.spearmanr(one.flatten(), two.flatten()).statistic for one, two in zip(before, after, strict=True)]
    assert found.stages["spearman"].iloc[-1] == pytest.approx(np.mean(expected))


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
