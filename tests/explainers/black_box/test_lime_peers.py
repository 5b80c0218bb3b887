"""Parity with the lime package (PyPI lime), the authors' own. Runs where it is installed."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from explainers.black_box.lime import Lime
from explainers.black_box.segments import Quickshift, Slic
from tests.explainers.networks import pooled_classifier, random_pixels

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def lime_image():
    return pytest.importorskip("lime.lime_image", reason="the optional peer lime is not installed")


def sharpened(size):
    """A network whose probabilities move enough to be explained."""
    classifier = pooled_classifier(size=size)
    with torch.no_grad():
        classifier.module.head.weight *= 150
    return classifier


def peer_explanation(lime_image, classifier, image, segments, *, samples, seed):
    """The peer's explanation of every class and the masks that it drew."""
    seen = []

    def probabilities(images):
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(image.dtype)
        seen.append(pixels)
        with torch.no_grad():
            return classifier.logits(pixels).softmax(dim=1).numpy()

    peer = lime_image.LimeImageExplainer(random_state=seed, feature_selection="none")
    found = peer.explain_instance(
        image.permute(1, 2, 0).double().numpy(),
        probabilities,
        labels=range(5),
        top_labels=None,
        num_samples=samples,
        random_seed=0,  # of the segmentation; None would draw it from the stream of the masks
        num_features=10**6,
        segmentation_fn=lambda _image: segments.numpy(),
    )
    return found, torch.cat(seen)


@pytest.mark.parametrize("segmenter", ["grid", "slic", "quickshift"])
def test_coefficients_equal_the_lime_packages_for_the_same_masks(lime_image, segmenter, monkeypatch):
    blots = functional.interpolate(random_pixels(1, size=5), size=(32, 32), mode="bicubic").clamp(0, 1)
    classifier, image = sharpened(32), (0.9 * blots + 0.1 * random_pixels(1, size=32))[0].double()
    classifier.module.double()
    made = {"grid": Lime().segmenter, "slic": Slic(count=20), "quickshift": Quickshift(kernel_size=1, max_dist=3)}[
        segmenter
    ]
    segments = made.segments(image)
    count, samples = int(segments.max()) + 1, 300
    assert count > 4
    peer, composed = peer_explanation(lime_image, classifier, image, segments, samples=samples, seed=5)
    drawn = np.random.RandomState(5).randint(0, 2, samples * count).reshape(samples, count).astype(bool)
    drawn[0] = True
    monkeypatch.setattr("explainers.black_box.lime.draw_masks", lambda *_, **__: torch.from_numpy(drawn))
    ours = Lime(samples=samples).explain_image(
        classifier, image, segments=segments, classes=range(5), generator=torch.Generator()
    )
    worst = largest = 0.0
    for label in range(5):
        theirs = dict(peer.local_exp[label])
        difference = max(abs(theirs[s] - float(ours.fit.coefficients[label, s])) for s in range(count))
        worst = max(worst, difference)
        largest = max(largest, *(abs(value) for value in theirs.values()))
        assert peer.intercept[label] == pytest.approx(float(ours.fit.intercept[label]), abs=1e-7)
    # The peer keeps one score and one local prediction, those of the class that it fitted last.
    assert peer.score == pytest.approx(float(ours.fit.score[4]), abs=1e-7)
    assert float(peer.local_pred[0]) == pytest.approx(float(ours.local_predictions[4]), abs=1e-7)
    print(f"\n{segmenter}: {count} segments, largest difference of a coefficient {worst:.1e} of {largest:.2g}")
    assert largest > 1e-3, "nothing would be compared"
    assert worst <= 1e-7
    assert composed.shape == (samples, 3, 32, 32)


def test_quickshift_gives_the_lime_packages_default_segments(lime_image):
    image = random_pixels(1, size=48, seed=3)[0].double()
    theirs = lime_image.SegmentationAlgorithm("quickshift", kernel_size=4, max_dist=200, ratio=0.2, random_seed=42)
    expected = theirs(image.permute(1, 2, 0).numpy())
    assert np.array_equal(
        Quickshift().segments(image).numpy(), np.unique(expected, return_inverse=True)[1].reshape(48, 48)
    )
