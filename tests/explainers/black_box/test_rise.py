"""RISE against a literal sum over its masks, its expectation in closed form, and its standard errors."""

import pytest
import torch
from torch import nn

from explainers.base import Targets
from explainers.black_box.rise import Rise
from tests.explainers.networks import classifier_of, pooled_classifier, random_pixels


def literal(rise, classifier, image, label):
    """Importance by the paper's sum, one mask at a time, in Python floats; and the scores."""
    total = torch.zeros(image.shape[1:], dtype=torch.float64)
    scores = []
    for mask in torch.cat(list(rise.draw(image.shape[1:]))):
        shown = mask * image + (1 - mask) * torch.tensor(rise.colour)[:, None, None]
        with torch.no_grad():
            scores.append(float(classifier.logits(shown[None]).double().softmax(dim=1)[0, label]))
        total += scores[-1] * mask[0].double()
    return total, scores


def test_the_papers_estimate_is_its_sum_mask_by_mask():
    classifier, pixels = pooled_classifier(), random_pixels(2)
    rise = Rise(masks=90, keep=0.4, centred=False, batch_size=16)
    found = rise.estimate(classifier, pixels, Targets.of([3, 1]))
    for index, label in enumerate((3, 1)):
        total, scores = literal(rise, classifier, pixels[index], label)
        torch.testing.assert_close(found.importance[index], total / (90 * 0.4), atol=1e-7, rtol=1e-6)
        assert float(found.mean[index]) == pytest.approx(sum(scores) / 90, abs=1e-7)


def test_the_centred_estimate_is_the_covariance_with_the_masks():
    classifier, pixels = pooled_classifier(), random_pixels(1)
    rise = Rise(masks=70)
    found = rise.estimate(classifier, pixels, Targets.of([3]))
    _, scores = literal(rise, classifier, pixels[0], 3)
    masks = torch.cat(list(rise.draw((16, 16))))[:, 0].double()
    for row, column in ((0, 0), (7, 3), (15, 15)):
        covariance = torch.cov(torch.stack([torch.tensor(scores, dtype=torch.float64), masks[:, row, column]]))[0, 1]
        assert float(found.importance[0, row, column]) == pytest.approx(float(covariance) / 0.5, abs=1e-8)


def test_masks_lie_in_the_unit_range_with_the_stated_mean_everywhere():
    masks = torch.cat(list(Rise(masks=4000, keep=0.3).draw((20, 13))))
    assert masks.shape == (4000, 1, 20, 13)
    assert float(masks.min()) >= 0
    assert float(masks.max()) <= 1
    # The spread of a fair draw bounds that of a mixture of several: 5 standard errors everywhere.
    assert float((masks.mean(dim=0) - 0.3).abs().max()) < 5 * (0.3 * 0.7 / 4000) ** 0.5


class OnePixel(nn.Module):
    """The probability of class 1 is the red of one pixel (within 0.1 to 0.9)."""

    def forward(self, pixels):
        probability = 0.1 + 0.8 * pixels[:, 0, 5, 9]
        return torch.stack([torch.zeros_like(probability), torch.logit(probability)], dim=1)


def test_expectation_and_standard_error_are_those_of_a_classifier_that_reads_one_pixel():
    """f = 0.1 + 0.8 m there, so cov(f, M) / p = 0.8 cov(m, M) / p: estimates over many seeds must scatter around it."""
    classifier = classifier_of(OnePixel(), classes=2, size=16)
    pixels = torch.ones(1, 3, 16, 16)
    reference = torch.cat(list(Rise(masks=60000, cells=4, seed=123).draw((16, 16))))[:, 0].double()
    expected = 0.8 * ((reference - 0.5) * (reference[:, 5:6, 9:10] - 0.5)).mean(dim=0) / 0.5
    for centred, constant in ((True, 0.0), (False, 0.5)):
        runs = [
            Rise(masks=300, cells=4, colour=(0.0, 0.0, 0.0), seed=seed, centred=centred).estimate(
                classifier, pixels, Targets.of([1])
            )
            for seed in range(40)
        ]
        estimates = torch.stack([run.importance[0] for run in runs])
        stated = torch.stack([run.standard_error[0] for run in runs]).mean(dim=0)
        spread = estimates.std(dim=0)
        assert 0.85 < float((stated / spread).mean()) < 1.18
        deviations = (estimates.mean(dim=0) - expected - constant) / (spread / 40**0.5)
        assert float(deviations.abs().max()) < 5
        assert int(estimates.mean(dim=0).argmax()) == 5 * 16 + 9


def test_centring_takes_off_most_of_the_noise_of_a_high_score():
    """With a constant score of 0.9 the paper's estimate is all noise of coverage, the centred one exactly 0."""

    class Constant(nn.Module):
        def forward(self, pixels):
            return torch.tensor([[0.0, 2.1972246]]).expand(len(pixels), 2) + 0 * pixels.mean()

    classifier, pixels = classifier_of(Constant(), classes=2, size=16), random_pixels(1)
    centred, plain = (
        Rise(masks=200, centred=centred).estimate(classifier, pixels, Targets.of([1])) for centred in (True, False)
    )
    assert float(centred.importance.abs().max()) < 1e-6
    assert float(centred.standard_error.max()) < 1e-6
    assert float(plain.importance.std()) > 0.01
    assert float(plain.importance.mean()) == pytest.approx(0.9, abs=0.05)


def test_images_share_masks_and_seeds_change_them():
    classifier, pixels = pooled_classifier(), random_pixels(1)
    twice = Rise(masks=64).explain(classifier, pixels.repeat(2, 1, 1, 1), Targets.of([1, 1])).raw
    torch.testing.assert_close(twice[0], twice[1])
    other = Rise(masks=64, seed=1).explain(classifier, pixels, Targets.of([1])).raw
    assert not torch.allclose(twice[:1], other)


@pytest.mark.parametrize("settings", [{"masks": 1}, {"keep": 1.0}, {"cells": 0}, {"colour": (0.5, 0.5)}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError, match="expected"):
        Rise(**settings)
