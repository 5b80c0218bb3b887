"""Our per-image attacks beside torchattacks and foolbox: CPU time at the same settings, success and sizes.

    python benchmarks/attacks_per_image.py [REAL] [--subject cifar10|robust|squeezenet] [--attacks PGD ...]

REAL is the folder of real classifiers (or $WOLFHOUND_REAL); without it, a network with random weights on random images
stands in, and the output says so. Ours and each peer take turns on the same images in one batch. Printed are medians of
CPU time and their ratio (peer over ours), twice: from the images and their labels to the adversarial images, and from
there on to a result, by our judge on both sides. Alone, ours does more than the peers: it asks about iterates as 8-bit
images, so that it knows which images are done; the peers return what they end at. Judged, both have answered the same
question. Success: as 8-bit images, and for the peers in floating point too. Every network is frozen, which spares
the peers the gradients of its weights.

Passes of a few milliseconds are measured best in a process that gives no memory back in between: put
MALLOC_TRIM_THRESHOLD_=1000000000 MALLOC_MMAP_THRESHOLD_=1000000000 into the environment (glibc).
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from attack_subjects import VARIABLE, cifar10, squeezenet
from per_image_peers import Pair, bounded_pairs, installed, run_peer, small_pairs
from torch import Tensor

from attacks.delivery import as_pixels, deliver
from attacks.judge import judge
from attacks.threat import Threat
from wolfhound.classifier import Classifier, Preprocessing, frozen
from wolfhound.torchvision_import import torchvision

BUDGETS = {"cifar10": (2 / 255, 0.25), "robust": (4 / 255, 0.5), "squeezenet": (2 / 255, 1.0)}
LOADERS = {"cifar10": cifar10, "robust": partial(cifar10, name="cifar10_robust_resnet4b"), "squeezenet": squeezenet}


def subject(name: str, real: str | None, *, images: int, cache: Path) -> tuple[Classifier, Tensor]:
    """Return the network and images on the 8-bit grid `[images,3,H,W]`, all right when clean where they are real."""
    folder = Path(real or os.environ.get(VARIABLE, ""))
    if not (folder / "index.json").is_file():
        print("no folder of real classifiers: a network with random weights on random images; only the speed counts")
        return _random_subject(name, images)
    classifier, splits = LOADERS[name](folder, cache=cache, craft=20, select=20, report=250)
    pixels = splits.report.load()
    with frozen(classifier.module), torch.no_grad():
        predicted = torch.cat([classifier.logits(part).argmax(dim=1) for part in pixels.split(50)])
    right = torch.from_numpy(np.flatnonzero(predicted.numpy() == splits.report.labels))
    return classifier, pixels[right[:images]]


def _random_subject(name: str, images: int) -> tuple[Classifier, Tensor]:
    side, classes = (224, 1000) if name == "squeezenet" else (32, 10)
    models = torchvision().models
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = (models.squeezenet1_1 if name == "squeezenet" else models.resnet18)(weights=None, num_classes=classes)
    names = tuple(str(i) for i in range(classes))
    classifier = Classifier("random weights", module, names, Preprocessing(input_size=(side, side)), "")
    levels = torch.randint(0, 256, (images, 3, side, side), generator=torch.Generator().manual_seed(0))
    return classifier, levels.float() / 255


def timed(work: Callable[[], Tensor]) -> tuple[Tensor, float]:
    """Return a result and its CPU seconds."""
    start = time.process_time()
    found = work()
    return found, time.process_time() - start


def success(classifier: Classifier, adversarial: Tensor, labels: Tensor) -> Tensor:
    """Return which images left their label."""
    with frozen(classifier.module), torch.no_grad():
        return torch.cat([classifier.logits(part).argmax(dim=1) for part in adversarial.split(50)]) != labels


def described(classifier: Classifier, pair: Pair, pixels: Tensor, adversarial: Tensor, labels: Tensor) -> str:
    """Return success as returned and as delivered, and the median size, in words."""
    delivered = as_pixels(deliver(pixels, adversarial - pixels, pair.threat))
    plain = 100 * float(success(classifier, adversarial, labels).double().mean())
    rounded = success(classifier, delivered, labels)
    text = f"success {plain:5.1f} %, in 8 bit {100 * float(rounded.double().mean()):5.1f} %"
    if not pair.small:
        return text
    norm = Threat(getattr(pair.ours, "norm", "l2"), 0.0)
    before, after = norm.size(adversarial - pixels), norm.size(delivered - pixels)
    return f"{text}, median size {float(before.median()):.4f}, in 8 bit {float(after.median()):.4f}"


def compare(classifier: Classifier, pair: Pair, pixels: Tensor, *, repeats: int) -> None:
    """Let ours and each peer take turns and print the medians."""
    with frozen(classifier.module), torch.no_grad():
        labels = torch.cat([classifier.logits(part).argmax(dim=1) for part in pixels.split(50)])
    seeds = torch.arange(len(pixels))

    def ours() -> Tensor:
        with frozen(classifier.module):
            return pair.ours.propose(classifier, pixels, labels, pair.threat, seeds=seeds).pixels

    def judged(adversarial: Tensor) -> Tensor:
        with frozen(classifier.module):
            return judge(classifier, pixels, adversarial, labels.numpy(), pair.threat, targeted=False).delivered

    sides: dict[str, Callable[[], Tensor]] = {"ours": ours}
    for name in (name for name in pair.peers if name in installed()):
        peer = pair.peers[name]
        sides[name] = partial(run_peer, peer, classifier, pixels, labels, targeted=False)
    found: dict[str, Tensor] = {}
    alone: dict[str, list[float]] = {name: [] for name in sides}
    whole: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, work in sides.items():
            found[name], spent = timed(work)
            alone[name].append(spent)
            whole[name].append(spent + timed(partial(judged, found[name]))[1])
    own, own_whole = statistics.median(alone["ours"]), statistics.median(whole["ours"])
    for name, adversarial in found.items():
        middle, total = statistics.median(alone[name]), statistics.median(whole[name])
        print(
            f"{pair.name:24} {name:13} {middle:7.3f} s CPU, ratio {middle / own:6.2f}; judged {total:7.3f} s, "
            f"ratio {total / own_whole:6.2f}; {described(classifier, pair, pixels, adversarial, labels)}",
            flush=True,
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", nargs="?")
    parser.add_argument("--subject", choices=sorted(BUDGETS), default="cifar10")
    parser.add_argument("--attacks", nargs="*", default=[""], help="only those whose name holds one of these")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--searches", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    linf, l2 = BUDGETS[options.subject]
    with tempfile.TemporaryDirectory() as cache:
        classifier, pixels = subject(options.subject, options.real, images=options.images, cache=Path(cache))
        print(
            f"{classifier.name}, {len(pixels)} images, {options.threads} thread(s), linf {255 * linf:g}/255, L2 {l2:g}"
        )
        small = small_pairs(searches=options.searches, classes=len(classifier.class_names))
        for pair in (*bounded_pairs(linf, l2, steps=options.steps), *small):
            if any(part in pair.name for part in options.attacks):
                compare(classifier, pair, pixels, repeats=options.repeats)


if __name__ == "__main__":
    main()
