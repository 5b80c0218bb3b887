"""Every universal method on one network at equal gradients: held-out fooling, gradients and CPU time.

    python benchmarks/attacks_universal.py REAL NETWORK [--gradients 6000] [--attacks df_uap ...] [--set step=0.2 ...]
        [--seeds 1 | --folds 5]

REAL is the folder of real classifiers, NETWORK one of its models. linf 10/255; the checkpoint is chosen on the select
split and judged on the report split, which are disjoint by content hash; of several seeds the strongest on the select
split is named, so that no held-out image has a say in it. DeepFool-UAP cannot be told its gradients
beforehand: it makes as many passes as its first one says are needed (later ones take fewer). The patch has a threat of
its own (5 % of the area, centre) and noise of its own to be held against. With --folds every image is held out once:
each fold crafts and selects on the others alone, and the rates of the folds are added.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import torch
from attack_subjects import CIFAR10_NETWORKS, all_photographs, load_network, photographs, real_folder

from attacks.base import UniversalAttack
from attacks.controls import noise_controls
from attacks.judge import fooling_rates, transfer_predictions, under
from attacks.registry import UNIVERSAL, make_universal
from attacks.threat import Threat
from attacks.universal.driver import UniversalResult, craft_universal
from wolfhound.classifier import Classifier
from wolfhound.images import ImageSet, Splits
from wolfhound.memory_layout import in_channels_last

PATCH = Threat("patch", 0.05)
MOST_PASSES = 200


@dataclass(frozen=True)
class Settings:
    """What a run of every method has in common."""

    gradients: int
    epsilon: float
    seeds: int
    options: dict[str, object]


def matched(name: str, images: int, settings: Settings) -> UniversalAttack:
    """Return the attack with as many passes as come nearest to the wanted gradients, at least one."""
    attack = make_universal(name, settings.options)
    if "passes" in settings.options or not attack.gradients_exact:
        return attack
    two = make_universal(name, {**settings.options, "passes": 2})
    a_pass = two.gradients(images) / 2
    passes = min(MOST_PASSES, max(1, round(settings.gradients / a_pass)))
    return make_universal(name, {**settings.options, "passes": passes})


def run(
    attack: UniversalAttack, classifier: Classifier, splits: Splits, threat: Threat, *, seed: int
) -> tuple[UniversalResult, float]:
    """Return what the attack found and its CPU seconds, checkpoint selection included."""
    start = time.process_time()
    generator = torch.Generator().manual_seed(seed)
    found = craft_universal(attack, classifier, splits.craft, splits.select, threat, generator=generator, batch_size=32)
    return found, time.process_time() - start


def deepfool(
    classifier: Classifier, splits: Splits, threat: Threat, settings: Settings, *, seed: int
) -> tuple[UniversalResult, float]:
    """Return DeepFool-UAP's result after as many passes as its first one says are needed for the wanted gradients."""
    options = {"enough": 1.0, **settings.options}
    first = run(make_universal("deepfool_uap", {**options, "passes": 1}), classifier, splits, threat, seed=seed)
    passes = math.ceil(settings.gradients / first[0].gradients)
    return run(make_universal("deepfool_uap", {**options, "passes": passes}), classifier, splits, threat, seed=seed)


def threat_for(name: str, settings: Settings) -> Threat:
    """Return what a method is crafted under."""
    return PATCH if name == "patch_uap" else Threat("linf", settings.epsilon)


def crafted(
    name: str, classifier: Classifier, splits: Splits, settings: Settings, *, seed: int
) -> tuple[UniversalResult, float]:
    """Return what a method found with about the wanted gradients, and its CPU seconds."""
    threat = threat_for(name, settings)
    if name == "deepfool_uap":
        return deepfool(classifier, splits, threat, settings, seed=seed)
    return run(matched(name, len(splits.craft), settings), classifier, splits, threat, seed=seed)


def show(name: str, classifier: Classifier, splits: Splits, settings: Settings) -> None:
    """Measure one method over the seeds and print it."""
    threat = threat_for(name, settings)
    results = [crafted(name, classifier, splits, settings, seed=seed) for seed in range(settings.seeds)]
    perturbations = {str(seed): found.best for seed, (found, _) in enumerate(results)}
    noise = noise_controls(threat, splits.report.size, seeds=range(3))
    rates = fooling_rates(transfer_predictions(classifier, splits.report, under(threat, {**perturbations, **noise})))
    found, seconds = results[0][0], mean(spent for _, spent in results)
    selected = [float(max(point.share for point in result.history)) for result, _ in results]
    strongest = rates[str(selected.index(max(selected)))]
    by_seed = ", ".join(f"{rates[str(seed)].text} (select {100 * on:.1f} %)" for seed, on in enumerate(selected))
    average, by_noise = (mean(rates[key].percent for key in keys) for keys in (perturbations, noise))
    print(
        f"{name}: {average:.1f} % of held-out images fooled, mean of {settings.seeds} seed(s); {strongest.text} by the "
        f"strongest on the select images; by noise {by_noise:.1f} %; {found.gradients} gradients, {seconds:.1f} s CPU\n"
        f"    by seed: {by_seed}\n    {dict(found.options)}",
        flush=True,
    )


def folded(images: ImageSet, folds: int, select: int) -> Iterator[Splits]:
    """Yield splits whose report sets are all images together, in an order drawn with seed 0."""
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0)).tolist()
    for fold in range(folds):
        held = order[fold::folds]
        rest = [position for position in order if position not in set(held)]
        parts = {"craft": rest[select:], "select": rest[:select], "report": held}
        yield Splits(**{name: images.subset(sorted(part), name=name) for name, part in parts.items()})


def show_folds(name: str, classifier: Classifier, parts: Sequence[Splits], settings: Settings) -> None:
    """Measure one method on every fold and print it as the folds come in."""
    threat, rates = threat_for(name, settings), []
    for seed, splits in enumerate(parts):
        found, seconds = crafted(name, classifier, splits, settings, seed=seed)
        fooled = under(threat, {"it": found.best})
        rates.append(fooling_rates(transfer_predictions(classifier, splits.report, fooled))["it"])
        print(f"{name}, fold {seed}: {rates[-1].text}; {found.gradients} gradients, {seconds:.1f} s CPU", flush=True)
    print(f"{name}, all folds: {sum(rates[1:], rates[0]).text}\n    {dict(found.options)}", flush=True)


def value(text: str) -> object:
    """Return a number or a word of the command line."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("real")
    parser.add_argument("network")
    parser.add_argument("--gradients", type=int, default=6000)
    parser.add_argument("--attacks", nargs="*", choices=sorted(UNIVERSAL), default=sorted(UNIVERSAL))
    parser.add_argument("--set", nargs="*", default=[], help="options, as in step=0.2")
    parser.add_argument("--epsilon", type=float, default=10, help="in levels of 1/255")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folds", type=int, help="hold every image out once, in so many parts")
    parser.add_argument("--craft", type=int)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    small = options.network in CIFAR10_NETWORKS
    sizes = (options.craft or 500, 100, 400) if small else (options.craft or 220, 60, 120)
    pairs = (part.split("=", 1) for part in options.set)
    settings = Settings(
        options.gradients, options.epsilon / 255, options.seeds, {key: value(text) for key, text in pairs}
    )
    with tempfile.TemporaryDirectory() as folder:
        real, cache = real_folder(options.real), Path(folder)
        classifier = load_network(real, options.network, cache=cache)
        splits = photographs(real, options.network, cache=cache, craft=sizes[0], select=sizes[1], report=sizes[2])
        laid = in_channels_last(classifier, splits.select.load(slice(16)))  # as audits run it
        classifier = laid.classifier
        whole = all_photographs(real, options.network, cache=cache) if options.folds else None
        parts = [splits] if whole is None else list(folded(whole, options.folds, sizes[1]))
        said = f"{len(parts[0].craft)} crafting, {len(parts[0].select)} select, {len(parts[0].report)} report images"
        print(f"{classifier.name}, {laid.text}: {said}", flush=True)
        for name in options.attacks:
            if whole is None:
                show(name, classifier, splits, settings)
            else:
                show_folds(name, classifier, parts, settings)


if __name__ == "__main__":
    main()
