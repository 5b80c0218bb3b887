"""The attacks of the standard ensemble beside torchattacks' ports of them: robust accuracy and CPU time.

    python benchmarks/attacks_standard.py REAL --subject cifar10_robust_resnet4b --epsilon 8 [--images 100]
        [--attacks apgd_ce apgd_t fab_t square] [--iterations 100] [--queries 5000] [--norm linf]

REAL is the folder of real classifiers (or $WOLFHOUND_REAL). Both sides attack the same CIFAR-10 JPEG images that are
right when clean, one attack at a time, with the same iterations, targets and queries, and are judged by our judge as
8-bit images. torchattacks' own defaults are 10 iterations and a rescaled schedule of the Square attack; here it is
given the standard ensemble's 100, and the schedule as it stands. Without torchattacks, ours alone. foolbox has none.
"""

import argparse
import importlib.util
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from attack_subjects import CIFAR10, preprocessing, real_folder

from attacks.base import ImageAttack
from attacks.judge import predict
from attacks.per_image.driver import attack_images
from attacks.registry import make_image
from attacks.threat import Threat
from wolfhound.classifier import Classifier
from wolfhound.images import ImageSet
from wolfhound.loading import load_factory
from wolfhound.sources import Fit, read_folder

SUBJECTS = {
    "cifar10_resnet20": ("CifarResNet", {"n": 3}),
    "cifar10_robust_resnet4b": ("RobustResNet", {"which": "4b"}),
}
ATTACKS = ("apgd_ce", "apgd_t", "fab_t", "square")


def pairs(iterations: int, queries: int) -> dict[str, tuple[dict[str, object], str, dict[str, object]]]:
    """Return for each attack our options, the peer's name and the peer's options."""
    steps, alike = {"iterations": iterations}, {"steps": iterations, "n_restarts": 1}
    return {
        "apgd_ce": (steps, "torchattacks:APGD", alike),
        "apgd_t": (steps, "torchattacks:APGDT", alike),
        "fab_t": (steps, "torchattacks:FAB", {**alike, "multi_targeted": True}),
        "square": ({"most_queries": queries}, "torchattacks:Square", {"n_queries": queries, "resc_schedule": False}),
    }


def subject(real: Path, name: str, *, cache: Path, count: int) -> tuple[Classifier, ImageSet]:
    """Return a classifier and `count` images that it classifies correctly, in the order of their hashes."""
    factory, arguments = SUBJECTS[name]
    classifier = load_factory(
        real / "archs.py",
        factory,
        arguments=arguments,
        weights=real / "models" / f"{name}.pth",
        preprocessing=preprocessing(real, name),
        class_names=CIFAR10,
        name=name,
    )
    folder = real / "images" / "cifar10_jpeg"
    images = read_folder(
        folder, cache=cache, size=(32, 32), fit=Fit("squash"), labels="leading_index", class_names=CIFAR10
    )
    right = np.flatnonzero(predict(classifier, images) == images.labels)
    ordered = sorted(right.tolist(), key=lambda position: images.hashes[position])
    return classifier, images.subset(ordered[:count])


def timed(attack: ImageAttack, classifier: Classifier, images: ImageSet, threat: Threat) -> tuple[pd.DataFrame, float]:
    """Return the ledger of one attack and the CPU seconds that it took."""
    start = time.process_time()
    result = attack_images(
        attack,
        classifier,
        images,
        images.labels,
        threat,
        generator=torch.Generator().manual_seed(0),
        batch_size=len(images),
    )
    return result.ledger, time.process_time() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", nargs="?")
    parser.add_argument("--subject", choices=sorted(SUBJECTS), default="cifar10_robust_resnet4b")
    parser.add_argument("--epsilon", type=float, default=8.0, help="levels of 1/255 (linf), or the radius (l2)")
    parser.add_argument("--norm", choices=("linf", "l2"), default="linf")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--attacks", nargs="*", choices=ATTACKS, default=ATTACKS)
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--queries", type=int, default=5000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    threat = Threat(options.norm, options.epsilon / (255 if options.norm == "linf" else 1))
    peers = importlib.util.find_spec("torchattacks") is not None
    stood = {"ours": np.ones(options.images, dtype=bool), "peer": np.ones(options.images, dtype=bool)}
    with tempfile.TemporaryDirectory() as cache:
        real = real_folder(options.real)
        classifier, images = subject(real, options.subject, cache=Path(cache), count=options.images)
        print(f"{classifier.name}, {threat.text}, {len(images)} images right when clean; peer: {peers}", flush=True)
        for name in options.attacks:
            ours, peer, theirs = pairs(options.iterations, options.queries)[name]
            sides = {"ours": make_image(name, ours)} | ({"peer": make_image(peer, theirs)} if peers else {})
            seconds, shares = {}, {}
            for side, attack in sides.items():
                ledger, seconds[side] = timed(attack, classifier, images, threat)
                failed = ~ledger["success"].to_numpy(dtype=bool)
                stood[side][: len(images)] &= failed
                shares[side] = 100 * failed.mean()
                print(
                    f"  {name:8} {side:5} {shares[side]:5.1f} % robust, {seconds[side]:7.1f} s CPU, "
                    f"{ledger['queries'].mean():8.1f} queries an image",
                    flush=True,
                )
            if peers:
                print(f"  {name:8} {seconds['peer'] / seconds['ours']:.2f} times the peer's speed", flush=True)
        for side in sides:
            print(f"  together {side:5} {100 * stood[side][: len(images)].mean():5.1f} % robust", flush=True)


if __name__ == "__main__":
    main()
