"""DeepFool-UAP beside adversarial-robustness-toolbox's UniversalPerturbation(deepfool): CPU time and held-out fooling.

    python benchmarks/attacks_peer.py REAL [--seeds 3] [--threads 1] [--peer equal default]

REAL is the folder of real classifiers (or $WOLFHOUND_REAL). CIFAR-10 ResNet-20, linf 10/255, 200 crafting and 500
held-out JPEG images, both judged by our judge. "equal" gives the peer our DeepFool settings (10 steps, overshoot 0.02,
10 classes), "default" its own (100 steps, overshoot 1e-6); 3 passes each. Without the peer, ours alone.
"""

import argparse
import importlib.util
import tempfile
import time
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from attack_subjects import cifar10, real_folder
from torch import Tensor, nn

from attacks.controls import noise_controls
from attacks.judge import fooling_rates, predict, transfer_predictions, under
from attacks.registry import make_universal
from attacks.threat import Threat
from attacks.universal.driver import craft_universal
from wolfhound.classifier import Classifier, frozen
from wolfhound.images import ImageSet, Splits

THREAT = Threat("linf", 10 / 255)
PEER_SETTINGS = {"equal": {"max_iter": 10, "epsilon": 0.02, "nb_grads": 10}, "default": {}}
PASSES = 3


def fooling(classifier: Classifier, images: ImageSet, perturbations: dict[str, Tensor]) -> dict[str, float]:
    """Return the held-out fooling rate (percent) of each perturbation."""
    ledger = transfer_predictions(classifier, images, under(THREAT, perturbations))
    return {name: rate.percent for name, rate in fooling_rates(ledger).items()}


def ours(name: str, options: dict[str, int], classifier: Classifier, splits: Splits, seed: int) -> tuple[Tensor, float]:
    """Return our perturbation and the CPU seconds it took, checkpoint selection included."""
    start = time.process_time()
    generator = torch.Generator().manual_seed(seed)
    found = craft_universal(
        make_universal(name, options), classifier, splits.craft, splits.select, THREAT, generator=generator
    )
    return found.best, time.process_time() - start


def peers(settings: str, classifier: Classifier, images: ImageSet, seed: int) -> tuple[Tensor, float] | None:
    """Return the peer's perturbation and its CPU seconds, or None where it is not installed."""
    if importlib.util.find_spec("art") is None:
        return None
    from art.attacks.evasion import UniversalPerturbation
    from art.estimators.classification import PyTorchClassifier

    np.random.seed(seed)
    estimator = PyTorchClassifier(
        classifier.module,
        loss=nn.CrossEntropyLoss(),
        input_shape=(3, *images.size),
        nb_classes=len(classifier.class_names),
        clip_values=(0.0, 1.0),
        preprocessing=(np.array(classifier.preprocessing.mean), np.array(classifier.preprocessing.std)),
        device_type="cpu",
    )
    attack = UniversalPerturbation(
        estimator,
        attacker="deepfool",
        attacker_params={**PEER_SETTINGS[settings], "verbose": False},
        delta=0.2,
        max_iter=PASSES,
        eps=THREAT.epsilon,
        norm=np.inf,
        verbose=False,
    )
    start = time.process_time()
    labels = np.eye(len(classifier.class_names))[predict(classifier, images)]
    with frozen(classifier.module):
        attack.generate(images.load().numpy(), labels)
    return torch.from_numpy(np.asarray(attack.noise, dtype=np.float32)).view(
        3, *images.size
    ), time.process_time() - start


def show_ours(name: str, options: dict[str, int], classifier: Classifier, splits: Splits, seeds: int) -> None:
    """Measure one of our attacks over several seeds and print it."""
    found = [ours(name, options, classifier, splits, seed) for seed in range(seeds)]
    rates = fooling(classifier, splits.report, {str(i): delta for i, (delta, _) in enumerate(found)})
    seconds = mean(spent for _, spent in found)
    shown = ", ".join(f"{rate:.1f}" for rate in rates.values())
    title = f"ours {name} ({options or 'defaults'})"
    print(f"{title}: {seconds:.1f} s CPU, held-out fooling {mean(rates.values()):.1f} % ({shown})", flush=True)


def show_peer(settings: str, classifier: Classifier, splits: Splits) -> bool:
    """Measure the peer between two runs of ours, with as many passes and with one; False where there is no peer."""
    tried = (PASSES, 1)
    before = {passes: ours("deepfool_uap", {"passes": passes}, classifier, splits, seed=0) for passes in tried}
    found = peers(settings, classifier, splits.craft, seed=0)
    if found is None:
        print("the peer is not installed (pip install adversarial-robustness-toolbox): nothing to compare with")
        return False
    after = {passes: ours("deepfool_uap", {"passes": passes}, classifier, splits, seed=1) for passes in tried}
    rate = fooling(classifier, splits.report, {"peer": found[0]})["peer"]
    print(
        f"peer ({settings} settings, {PASSES} passes): {found[1]:.1f} s CPU, held-out fooling {rate:.1f} %", flush=True
    )
    for passes in tried:
        runs = before[passes], after[passes]
        rates = fooling(classifier, splits.report, {str(i): delta for i, (delta, _) in enumerate(runs)})
        seconds = mean(spent for _, spent in runs)
        print(
            f"  ours, {passes} pass(es): {seconds:.1f} s CPU, held-out fooling {mean(rates.values()):.1f} %: "
            f"{found[1] / seconds:.0f} times faster",
            flush=True,
        )
    return True


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real", nargs="?")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peer", nargs="*", choices=sorted(PEER_SETTINGS), default=["equal"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as cache:
        real = real_folder(options.real)
        classifier, splits = cifar10(real, cache=Path(cache), craft=200, select=100, report=500)
        noise = fooling(classifier, splits.report, noise_controls(THREAT, (32, 32), seeds=range(options.seeds)))
        print(f"{classifier.name}, {THREAT.text}; random sign noise fools {mean(noise.values()):.1f} %", flush=True)
        for name in ("deepfool_uap", "sgd_uap"):
            show_ours(name, {}, classifier, splits, options.seeds)
        for settings in options.peer:
            if not show_peer(settings, classifier, splits):
                break


if __name__ == "__main__":
    main()
