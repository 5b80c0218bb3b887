"""SGD-UAP and the transfer table beside the bare loops that they cannot beat.

    python benchmarks/attacks_throughput.py [--threads 1] [--repeats 7]

Ours and the bare loop take turns on the same network and images; printed are the medians of CPU time and their ratio
(bare over ours: 1.00 would be no overhead at all; the goal is 0.90). The weights are random: the speed does not mind.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from attacks.controls import noise_controls
from attacks.judge import transfer_predictions, under
from attacks.threat import Threat
from attacks.universal.sgd import SgdUniversal
from wolfhound.classifier import Classifier, Preprocessing, frozen
from wolfhound.images import ImageSet, PixelFile
from wolfhound.torchvision_import import torchvision

THREAT = Threat("linf", 10 / 255)
PERTURBATIONS = 6


def random_images(count: int, side: int, *, folder: Path) -> ImageSet:
    """Return an image set of random pixels on disk."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 3, side, side), dtype=np.uint8)
    path = folder / f"{count}x{side}.raw"
    pixels.tofile(path)
    rows = np.arange(count, dtype=np.int64)
    names = tuple(str(i) for i in range(10))
    return ImageSet("random", PixelFile(path, pixels.shape), rows, rows % 10, names, tuple(f"{i:064x}" for i in rows))


def bare_steps(classifier: Classifier, images: ImageSet, batch: int) -> None:
    """Forward, cross-entropy and input gradient over images that already lie in memory as floats."""
    pixels, labels = images.load(), torch.from_numpy(images.labels)
    for start in range(0, len(images), batch):
        at = pixels[start : start + batch].requires_grad_()
        loss = functional.cross_entropy(classifier.logits(at), labels[start : start + batch])
        torch.autograd.grad(loss, at)


def our_steps(classifier: Classifier, images: ImageSet, batch: int) -> None:
    """One pass of SGD-UAP, reading included."""
    attack = SgdUniversal(passes=1, images_per_update=batch, labels="given")
    generator = torch.Generator().manual_seed(0)
    for _ in attack.proposals([classifier], images, THREAT, generator=generator, chunk=batch, advance=lambda _: None):
        pass


def bare_table(classifier: Classifier, images: ImageSet, batch: int) -> None:
    """As many forward passes as the table has columns, over images that already lie in memory as floats."""
    pixels = images.load()
    with torch.no_grad():
        for start in range(0, len(images), batch):
            for _ in range(PERTURBATIONS + 2):
                classifier.logits(pixels[start : start + batch])


def our_table(classifier: Classifier, images: ImageSet, batch: int) -> None:
    """The ledger of one target: clean, six perturbations and a noise control."""
    perturbations = noise_controls(THREAT, images.size, seeds=range(PERTURBATIONS + 1))
    transfer_predictions(classifier, images, under(THREAT, perturbations), batch_size=batch)


def cpu_seconds(work: Callable[[], None]) -> float:
    """Return the CPU time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def compare(name: str, classifier: Classifier, images: ImageSet, *, batch: int, repeats: int) -> None:
    """Let ours and the bare loop take turns and print the ratios."""
    with frozen(classifier.module):
        for title, ours, bare in (("SGD-UAP step", our_steps, bare_steps), ("transfer table", our_table, bare_table)):
            times: dict[str, list[float]] = {"ours": [], "bare": []}
            for _ in range(repeats + 1):
                times["ours"].append(cpu_seconds(lambda work=ours: work(classifier, images, batch)))
                times["bare"].append(cpu_seconds(lambda work=bare: work(classifier, images, batch)))
            mine, limit = (statistics.median(times[key][1:]) / len(images) * 1000 for key in ("ours", "bare"))
            print(f"{name:28} {title:15} bare {limit:7.2f} ms, ours {mine:7.2f} ms an image, ratio {limit / mine:.2f}")


def small_network() -> nn.Module:
    """A few convolutions for 32x32 images: the worst case, where the work around the network weighs most."""
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 32)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 16, 10))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    models = torchvision().models
    names = tuple(str(i) for i in range(10))
    with tempfile.TemporaryDirectory() as folder:
        for name, module, side, count, batch in (
            ("three convolutions, 32x32", small_network(), 32, 256, 32),
            ("squeezenet1_1, 224x224", models.squeezenet1_1(weights=None, num_classes=10), 224, 32, 16),
            ("resnet18, 224x224", models.resnet18(weights=None, num_classes=10), 224, 16, 16),
        ):
            mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
            classifier = Classifier(name, module, names, Preprocessing(mean, std, (side, side)), "")
            images = random_images(count, side, folder=Path(folder))
            compare(name, classifier, images, batch=batch, repeats=options.repeats)


if __name__ == "__main__":
    main()
