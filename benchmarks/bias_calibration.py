"""How often the bias probes find a shortcut that is there, and how often one that is not.

    python benchmarks/bias_calibration.py FOLDER [--seeds 5] [--training 1000] [--probed 200] [--truth 1000]
                                          [--architecture vgg_f] [--rho 0.5 0.8 0.95 1.0]

Small networks are trained on generated wolves and huskies, 64 pixels, with one of two confounders: the background (snow
with wolves in a share rho of the images, grass with huskies) or a tint of the whole image (warm with wolves, cold with
huskies, in a share rho). At rho 0.5 nothing but the object tells the classes apart. Each network is asked by both
probes, so each probe also meets networks whose shortcut is the other one.

What a network was trained on is not what it relies on: an end-to-end network may learn the animals although a shortcut
was there. So the truth is measured: excess flips on `--truth` further images (background: other kind beyond placebo;
tint: the other class's tint instead of the own). A network relies on it if the interval of that excess lies above 5
points, does not if it lies below 2, and is left out as neither in between. Detection is counted among the former, false
alarms among the latter, with Wilson intervals; the same by rho alone stands beside. What heat maps alone would have
said: "background" where Grad-CAM's energy is not denser on the object than around it, or (second rule) not
significantly denser than with masks dealt out at random. One line a network goes to FOLDER/calibration.csv as soon as
it is known; lines that are there are not measured again.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from explainers.bias.evidence import grad_cam_evidence
from explainers.bias.interventions import Change, Tint
from explainers.bias.probe import background_probe
from explainers.bias.sensitivity import SENSITIVE, sensitivity_probe
from wolfhound import demonstration
from wolfhound.classifier import Classifier
from wolfhound.demonstration.training import train
from wolfhound.images import ImageSet, PixelFile
from wolfhound.statistics import Rate

WARM, COLD = Tint(1.0, 0.75, 0.45, 0.35), Tint(0.45, 0.65, 1.0, 0.35)
OF_CLASS = (WARM, COLD)
USUAL = {0: "snow", 1: "grass"}
RELIES, RELIES_NOT = 0.05, 0.02
USES = "uses the confounder"


def tinted(images: ImageSet, folder: Path, *, rho: float, seed: int) -> ImageSet:
    """Return the images, each with the tint of its class (in a share rho) or of the other, as a set of its own."""
    rng = np.random.default_rng(seed)
    usual = np.zeros(len(images), dtype=bool)
    for label in (0, 1):
        members = rng.permutation(np.flatnonzero(images.labels == label))
        usual[members[: round(rho * len(members))]] = True
    path = folder / f"{images.fingerprint[:12]}-{rho:g}-{seed}.bin"
    pixels = torch.stack(
        [
            OF_CLASS[label if own else 1 - label](image[None], ())[0]
            for image, label, own in zip(images.load(), images.labels.tolist(), usual.tolist(), strict=True)
        ]
    )
    array = (pixels * 255).round().byte().numpy()
    array.tofile(path)
    return ImageSet(
        name=f"tinted {rho:g}",
        pixels=PixelFile(path, array.shape),
        rows=np.arange(len(images)),
        labels=images.labels,
        class_names=images.class_names,
        hashes=images.hashes,
    )


def training_set(confounder: str, rho: float, seed: int, count: int, folder: Path) -> ImageSet:
    """Return what a network of that cell is trained on."""
    confounding = rho if confounder == "background" else 0.5
    images = demonstration.wolf_husky_images(folder / "images", count=count, seed=seed, confounding=confounding)
    return tinted(images, folder, rho=rho, seed=seed) if confounder == "tint" else images


def background_truth(classifier: Classifier, images: ImageSet, plates: ImageSet) -> tuple[float, float, float]:
    """Return the excess of flips under the other kind of background and its interval."""
    found = background_probe(classifier, images, plates, classes=(0, 1), usual_background=USUAL, seed=99).pooled
    return found.difference, found.interval.low, found.interval.high


def tint_truth(classifier: Classifier, images: ImageSet) -> tuple[float, float, float]:
    """Return the share of predictions that differ between the own class's tint and the other's, and its interval."""
    with torch.no_grad():
        own, other = (predicted(classifier, images, swapped) for swapped in (False, True))
    changed = own != other
    bounds = Rate(int(changed.sum()), len(changed), "images").interval()
    return float(changed.mean()), bounds.low, bounds.high


def predicted(classifier: Classifier, images: ImageSet, swapped: bool) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Return predictions with the tint of each image's class, or of the other class."""
    found: list[Tensor] = []
    for positions, pixels in images.batches(100):
        labels = torch.from_numpy(images.labels[positions])
        warm = (labels == (1 if swapped else 0)).view(-1, 1, 1, 1)
        found.append(classifier.logits(torch.where(warm, WARM(pixels, ()), COLD(pixels, ()))).argmax(dim=1))
    return torch.cat(found).numpy()


def measure(confounder: str, rho: float, seed: int, options: argparse.Namespace) -> dict[str, object]:
    """Return one line of the study."""
    folder, begun = options.folder, time.process_time()
    trained_on = training_set(confounder, rho, 100 + seed, options.training, folder)
    classifier = train(options.architecture, trained_on, seed=seed)

    def drawn(count: int, base: int) -> ImageSet:
        return demonstration.wolf_husky_images(folder / "images", count=count, seed=base + seed, confounding=0.5)

    plates = demonstration.background_plates(folder / "images", per_background=40, seed=5000 + seed)
    more = demonstration.background_plates(folder / "images", per_background=150, seed=6000 + seed)
    probed, further = drawn(options.probed, 3000), drawn(options.truth, 4000)
    probe = background_probe(classifier, probed, plates, classes=(0, 1), usual_background=USUAL, seed=seed)
    tints: dict[str, Change] = {"warm": WARM, "cold": COLD}
    # Networks that were trained on tinted images are asked about such, balanced, as a held-out set would be.
    coloured = tinted(probed, folder, rho=0.5, seed=3000 + seed) if confounder == "tint" else probed
    reactions = sensitivity_probe(classifier, coloured, tints, seed=seed).reactions
    evidence = grad_cam_evidence(classifier, probed, plates, probe, checked=0, shown=2, seed=seed)
    energy = evidence.energy
    return {
        "confounder": confounder,
        "rho": rho,
        "seed": seed,
        "accuracy": probe.accuracy["own"].share,
        **dict(zip(("background_truth", "b_low", "b_high"), background_truth(classifier, further, more), strict=True)),
        **dict(zip(("tint_truth", "t_low", "t_high"), tint_truth(classifier, further), strict=True)),
        "background_found": probe.verdict == USES,
        "failed": "; ".join(one.name for one in probe.conditions if not one.met),
        "placebo": probe.pooled.placebo.share,
        "artefact": probe.artefact.share,
        "excess": probe.pooled.difference,
        "detectable": probe.pooled.detectable,
        "tint_found": any(one.verdict == SENSITIVE for one in reactions),
        "tint_failed": " | ".join("; ".join(c.name for c in one.conditions if not c.met) for one in reactions),
        "tint_flips": max(one.excess.other.share for one in reactions),
        "tint_placebo": max(one.excess.placebo.share for one in reactions),
        "enrichment": energy.enrichment,
        "heatmap_p": energy.p_value,
        "seconds": round(time.process_time() - begun, 1),
    }


def truth(line: pd.Series, low: str, high: str) -> str:
    """Return what a network does by its measured reliance."""
    return "relies" if line[low] > RELIES else "does not" if line[high] < RELIES_NOT else "neither"


def report(lines: pd.DataFrame) -> None:
    """Print detection and false alarms of both probes and of the heat-map rules."""
    print(lines.drop(columns=["failed", "tint_failed"]).to_string(index=False))
    rules: dict[str, tuple[str, str, Callable[[pd.DataFrame], pd.Series]]] = {
        "background probe": ("b_low", "b_high", lambda rows: rows["background_found"]),
        "tint intervention": ("t_low", "t_high", lambda rows: rows["tint_found"]),
        "heat map alone, enrichment <= 1": ("b_low", "b_high", lambda rows: rows["enrichment"] <= 1),
        "heat map alone, not above random masks": ("b_low", "b_high", lambda rows: rows["heatmap_p"] >= 0.05),
    }
    for name, (low, high, says) in rules.items():
        kinds = lines.apply(truth, axis="columns", low=low, high=high)
        for what, of in (("detected", "relies"), ("false alarms", "does not"), ("said yes", "neither")):
            chosen = lines[kinds == of]
            print(f"{name}: {what} {Rate(int(says(chosen).sum()), len(chosen), of).text} (networks: {of})")
    for (confounder, rho), rows in lines.groupby(["confounder", "rho"]):
        said = f"background {int(rows['background_found'].sum())}, tint {int(rows['tint_found'].sum())} of {len(rows)}"
        relied = f"truth: background {rows['background_truth'].mean():.3f}, tint {rows['tint_truth'].mean():.3f}"
        print(f"{confounder} at rho {rho:g}: said yes: {said}; mean {relied}")


def main() -> None:
    """Run what is missing, then print everything."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--training", type=int, default=1000)
    parser.add_argument("--probed", type=int, default=200)
    parser.add_argument("--truth", type=int, default=1000)
    parser.add_argument("--architecture", default="vgg_f")
    parser.add_argument("--rho", type=float, nargs="+", default=[0.5, 0.8, 0.95, 1.0])
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    path = options.folder / "calibration.csv"
    known = (
        pd.read_csv(path, keep_default_na=False, na_values={"detectable": [""]}) if path.exists() else pd.DataFrame()
    )
    cells = [(which, rho, seed) for seed in range(options.seeds) for rho in options.rho for which in CONFOUNDERS]
    done = {(row.confounder, row.rho, row.seed) for row in known.itertuples()}
    for cell in sorted(cells, key=lambda one: one[2]):
        if cell not in done:
            line = pd.DataFrame([measure(*cell, options)])
            known = pd.concat([known, line], ignore_index=True)
            known.to_csv(path, index=False)
    report(known)


CONFOUNDERS = ("background", "tint")

if __name__ == "__main__":
    main()
