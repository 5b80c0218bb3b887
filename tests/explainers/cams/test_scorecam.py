"""Score-CAM against a literal replica, one masked image at a time."""

import math

import pytest
import torch
from torch import nn

from explainers.base import Targets
from explainers.cams.scorecam import ScoreCam, most_varied
from explainers.hooks import record
from tests.explainers.networks import pooled_classifier, random_pixels
from wolfhound.classifier import Classifier, Preprocessing


def scaled_classifier():
    """It normalises and resizes, its scores differ enough for the softmax to matter, and two channels are dead."""
    classifier = pooled_classifier()
    with torch.no_grad():
        classifier.module.head.weight.mul_(400)
        classifier.module.second.bias[2] = -100.0
        classifier.module.second.bias[5] = -100.0
    preprocessing = Preprocessing(mean=(0.4, 0.5, 0.3), std=(0.2, 0.3, 0.25), input_size=(12, 12))
    return Classifier("scaled", classifier.module, classifier.class_names, preprocessing, "0" * 64)


def literal_map(classifier, pixels, label, against, channels=None):
    """One image, one channel at a time; growing by hand-written bilinear sampling with aligned corners."""
    activation = record(classifier, pixels[None], layers=("features",)).activation("features")[0]
    image = classifier.preprocessing.apply(pixels[None])[0]
    chosen = list(range(len(activation))) if channels is None else channels
    scores = []
    for channel in chosen:
        grown = nn.UpsamplingBilinear2d(size=(12, 12))(activation[None, channel : channel + 1])[0, 0]
        mask = (grown - grown.min()) / (grown.max() - grown.min() + 1e-8)
        with torch.no_grad():
            logits = classifier.module((image * mask)[None])[0]
        scores.append(float(logits[label] - (0 if against is None else logits[against])))
    total = sum(math.exp(score - max(scores)) for score in scores)
    weights = [math.exp(score - max(scores)) / total for score in scores]
    assert max(weights) > 1.2 * min(weights)
    return sum(weight * activation[channel] for weight, channel in zip(weights, chosen, strict=True))


@pytest.mark.parametrize("against", [None, 2])
@pytest.mark.parametrize("rows", [1, 3, 32])
def test_the_map_is_the_softmax_of_the_masked_scores_times_the_channels(rows, against):
    classifier, pixels = scaled_classifier(), random_pixels(2)
    found = ScoreCam(rows=rows).explain(classifier, pixels, Targets.of([1, 3], against=against), layer="features")
    for image, label in enumerate([1, 3]):
        expected = literal_map(classifier, pixels[image], label, against)
        torch.testing.assert_close(found.raw[image], expected, rtol=1e-4, atol=1e-6)


def test_fewer_channels_are_those_that_vary_most_and_the_name_says_approximate():
    classifier, pixels, targets = scaled_classifier(), random_pixels(2), Targets.of([1, 3])
    method = ScoreCam(channels=3)
    found = method.explain(classifier, pixels, targets, layer="features")
    assert method.name == found.method == "scorecam-approximate-top3"
    for image, label in enumerate([1, 3]):
        activation = record(classifier, pixels[image][None], layers=("features",)).activation("features")[0]
        spread = [float(channel.var(unbiased=False)) for channel in activation]
        channels = sorted(sorted(range(8), key=lambda k: -spread[k])[:3])
        expected = literal_map(classifier, pixels[image], label, None, channels)
        torch.testing.assert_close(found.raw[image], expected, rtol=1e-4, atol=1e-6)


def test_all_channels_chosen_are_the_full_method():
    classifier, pixels, targets = scaled_classifier(), random_pixels(2), Targets.of([1, 3])
    full = ScoreCam().explain(classifier, pixels, targets, layer="features")
    torch.testing.assert_close(
        ScoreCam(channels=8).explain(classifier, pixels, targets, layer="features").raw, full.raw
    )


def test_of_equally_varied_channels_the_first_are_taken_and_more_than_there_are_refused():
    activation = torch.tensor([[[0.0, 1.0]], [[0.0, 5.0]], [[1.0, 0.0]], [[3.0, 3.0]]])
    assert most_varied(activation, 2).tolist() == [0, 1]
    with pytest.raises(ValueError, match="at most the layer's 4 channels"):
        most_varied(activation, 5)


@pytest.mark.parametrize("options", [{"channels": 0}, {"rows": 0}])
def test_settings_that_mean_nothing_are_refused(options):
    with pytest.raises(ValueError, match="at least 1"):
        ScoreCam(**options)
