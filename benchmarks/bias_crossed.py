"""Cost of a crossed design over the cost of its bare forward passes; the goal is at most 1.1.

    python benchmarks/bias_crossed.py [vgg_f | squeezenet1_1 | resnet18] [--size 24] [--repeats 7]

Bare: the same number of images, already composed in one block of memory, through the same classifier in the same
batches. Crossed: objects, masks and plates read from disk and composed on the fly, answers kept. CPU time; sides take
turns; the ratio is that of the medians, and the range that of the pairs.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from explainers.bias.crossed import crossed_answers
from explainers.bias.probe import Asker
from explainers.bias.verdict import Question
from wolfhound import demonstration
from wolfhound.architectures.compact import compact_network
from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.torchvision_import import torchvision

BATCH = 64


def made(name: str) -> tuple[Classifier, int]:
    """Return the classifier and the size of its images."""
    torch.manual_seed(0)
    if name == "vgg_f":
        network, size, classes = compact_network("vgg_f", num_classes=2).eval(), 64, 2
    else:
        network, size, classes = getattr(torchvision().models, name)(weights=None).eval(), 224, 1000
    preprocessing = Preprocessing((0.5,) * 3, (0.25,) * 3, (size, size))
    return Classifier(name, network, tuple(map(str, range(classes))), preprocessing, "0" * 64), size


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of one call."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main() -> None:
    """Print both costs and their ratio."""
    parser = argparse.ArgumentParser()
    parser.add_argument("network", nargs="?", default="vgg_f")
    parser.add_argument("--size", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    classifier, pixels = made(options.network)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        images = demonstration.wolf_husky_images(Path(folder), count=options.size, seed=1, size=pixels, confounding=0.5)
        plates = demonstration.background_plates(
            Path(folder), per_background=(options.size + 1) // 2, seed=2, size=pixels
        )
        every, scenes = np.arange(options.size), np.arange(options.size)
        ask = Asker(classifier, Question((0, 1), ("a", "b"), ("snow", "grass")), True, lambda _: None)
        block = images.load()[torch.arange(BATCH) % len(images)]

        def bare() -> None:
            for start in range(0, options.size**2, BATCH):
                classifier.logits(block[: min(BATCH, options.size**2 - start)])

        def crossed() -> None:
            crossed_answers(ask, images, plates, every, scenes, batch_size=BATCH)

        bare(), crossed()
        pairs = [(seconds(bare), seconds(crossed)) for _ in range(options.repeats)]
    first, second = median(b for b, _ in pairs), median(c for _, c in pairs)
    ratios = sorted(c / b for b, c in pairs)
    print(
        f"{options.network}, {options.size} x {options.size}, {pixels} pixels: bare {first:.3f}, crossed {second:.3f} s"
    )
    print(f"ratio of medians {second / first:.3f}; of the pairs {ratios[0]:.3f} to {ratios[-1]:.3f}")


if __name__ == "__main__":
    main()
