"""CPU time of LIME beside the lime package (PyPI lime), same masks, segments and classes, equal coefficients.

    python benchmarks/explainers_lime.py [cheap] [squeezenet1_1]

SqueezeNet 1.1 of random weights with an enlarged last layer, 224 pixels, 64 grid segments, 1000 samples, 3 classes.
Both ask the classifier in batches of 64 (the peer's default is 10). A second classifier that costs next to nothing
shows what is spent beside the forward passes. Sides take turns; without the peer, ours alone.
"""

import os
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

os.environ["TQDM_DISABLE"] = "1"  # read when the peer's progress bars are imported

from explainers.black_box import lime as ours
from explainers.black_box.lime import Lime, LimeExplanation
from explainers.black_box.segments import Grid
from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.torchvision_import import torchvision

SAMPLES, BATCH, SEGMENTS, SEED = 1000, 64, 64, 5


class Cheap(nn.Module):
    """Ten logits from the mean squares of a 2 x 2 division: the cost of everything but the forward passes remains."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(12, 10)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return logits `[B,10]`."""
        return 20 * self.head(pixels.square().view(len(pixels), 3, 2, 112, 2, 112).mean(dim=(3, 5)).flatten(1))


def classifiers() -> list[Classifier]:
    """Return the two classifiers."""
    torch.manual_seed(0)
    squeezenet = torchvision().models.squeezenet1_1(weights=None).eval()
    with torch.no_grad():
        squeezenet.classifier[1].weight *= 100
    return [
        Classifier("squeezenet1_1", squeezenet, tuple(map(str, range(1000))), Preprocessing(), "0" * 64),
        Classifier("cheap", Cheap().eval(), tuple(map(str, range(10))), Preprocessing(), "0" * 64),
    ]


def drawn_masks() -> Tensor:
    """Return the masks that the peer draws from its seed."""
    drawn = np.random.RandomState(SEED).randint(0, 2, SAMPLES * SEGMENTS).reshape(SAMPLES, SEGMENTS)
    drawn[0] = 1
    return torch.from_numpy(drawn.astype(bool))


def probable(classifier: Classifier, image: Tensor) -> list[int]:
    """Return the three most probable classes."""
    with torch.no_grad():
        return [int(index) for index in classifier.logits(image[None])[0].topk(3).indices]


def our_run(classifier: Classifier, image: Tensor, segments: Tensor) -> LimeExplanation:
    """Return our explanation."""
    lime = Lime(samples=SAMPLES, batch_size=BATCH)
    return lime.explain_image(
        classifier, image, segments=segments, classes=probable(classifier, image), generator=torch.Generator()
    )


def peer_run(lime_image: Any, classifier: Classifier, image: Tensor, segments: Tensor) -> Any:
    """Return the peer's explanation."""

    def probabilities(images: Any) -> Any:
        with torch.no_grad():
            pixels = torch.from_numpy(np.asarray(images)).permute(0, 3, 1, 2).float()
            return classifier.logits(pixels).softmax(dim=1).double().numpy()

    return lime_image.LimeImageExplainer(random_state=SEED, feature_selection="none").explain_instance(
        image.permute(1, 2, 0).double().numpy(),
        probabilities,
        labels=probable(classifier, image),
        top_labels=None,
        num_samples=SAMPLES,
        num_features=SEGMENTS,
        batch_size=BATCH,
        segmentation_fn=lambda _image: segments.numpy(),
        random_seed=0,
    )


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the CPU time of a call and its result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def main() -> None:
    """Measure and print."""
    try:
        from lime import lime_image
    except ModuleNotFoundError:
        lime_image = None
        print("lime is not installed: nothing to compare with (pip install lime)")
    masks = drawn_masks()
    ours.draw_masks = lambda *_, **__: masks  # the same masks for both
    coarse = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    image = functional.interpolate(coarse, size=(224, 224), mode="bicubic").clamp(0, 1)[0]
    segments = Grid(cells=8).segments(image)
    asked = sys.argv[1:]
    for classifier, repeats in zip(classifiers(), (2, 3), strict=True):
        if asked and classifier.name not in asked:
            continue
        our_times, peer_times = [], []
        for _ in range(repeats):
            spent, mine = cpu_seconds(lambda classifier=classifier: our_run(classifier, image, segments))
            our_times.append(spent)
            if lime_image is None:
                continue
            spent, theirs = cpu_seconds(lambda classifier=classifier: peer_run(lime_image, classifier, image, segments))
            peer_times.append(spent)
        print(f"{classifier.name}: ours {median(our_times):.2f} s CPU an image")
        if not peer_times:
            continue
        coefficients = [[dict(theirs.local_exp[label])[s] for s in range(SEGMENTS)] for label in mine.classes.tolist()]
        difference = float((mine.fit.coefficients - torch.tensor(coefficients)).abs().max())
        largest = float(mine.fit.coefficients.abs().max())
        ratio = median(peer_times) / median(our_times)
        print(f"  lime package {median(peer_times):.2f} s; ratio {ratio:.1f}; largest difference of a coefficient")
        print(f"  {difference:.1e} (largest coefficient {largest:.2e})")


if __name__ == "__main__":
    main()
