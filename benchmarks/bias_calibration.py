"""How often the bias probes find a shortcut that is there, and how often one that is not.

    python benchmarks/bias_calibration.py FOLDER [--seeds 37] [--fewer 10] [--training 300] [--probed 400]
                                          [--truth 1000] [--pictured 10]

Small networks are trained on composed wolves and huskies, 64 pixels (`bias_subjects.py`), in nine cells: the background
(grass with wolves in a share rho of the images, water with huskies) or a tint of the whole image (warm with wolves,
cold with huskies) at rho 0.5, 0.8, 0.95 and 1.0, and the object alone (backgrounds independent of the class, no tint).
Each network is asked by both probes, so each probe also meets networks whose shortcut is the other one. The tint probe
asks every network about tinted images, half of each class warm, and puts the other tint on.

Two truths stand side by side. By design: a network has the shortcut if its cell's rho says so. By measurement, because
a network may learn the animals although a shortcut was there, or take to a background that nobody planted: excess flips
on `--truth` further images on further backgrounds (background: other kind beyond the own kind; tint: the other tint,
without a placebo, because nothing else is changed). It relies on a cue if the interval of that excess lies above 5
points, does not if it lies below 2, and is neither in between. What heat maps alone would have said: "background" where
Grad-CAM's energy is not denser on the object than around it, or (second rule) not significantly denser than with masks
dealt out at random. One line a network goes to FOLDER/calibration.csv as soon as it is known; lines that are there are
not measured again. Networks draw their training images from one pool, and all are asked about the same images.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from bias_subjects import KINDS, USUAL, Cell, Pool, TintSwap, image_set, pool, tinted, trained, usual_way
from numpy.typing import NDArray
from torch import Tensor

from explainers.bias.evidence import EnergyInMask, grad_cam_evidence
from explainers.bias.probe import background_probe
from explainers.bias.sensitivity import SENSITIVE, sensitivity_probe
from explainers.bias.swap_flips import swap_flips, swap_ledger
from explainers.bias.verdict import BackgroundProbe, ProbeSettings
from wolfhound.classifier import Classifier
from wolfhound.images import ImageSet
from wolfhound.statistics import Rate

RELIES, RELIES_NOT = 0.05, 0.02
USES = "uses the confounder"
SHARES = (0.5, 0.8, 0.95, 1.0)
CELLS = (*(Cell(which, rho) for which in ("background", "tint") for rho in SHARES), Cell("object", 0.5))
GOALS = (Cell("background", 0.95), Cell("background", 1.0), *(Cell("tint", rho) for rho in (0.5, 0.95, 1.0)))
# The doses play no part in the verdict, and most of them would be computed for nothing.
SETTINGS = ProbeSettings(doses=(1.0,))


@dataclass(frozen=True, eq=False)
class Asked:
    """What every network is asked about."""

    training: Pool
    probed: ImageSet
    coloured: ImageSet
    swap: TintSwap
    plates: ImageSet
    truth: tuple[Tensor, Tensor, Tensor, Tensor]
    """Images, masks, and backgrounds of the own and of the other kind."""
    tints: tuple[Tensor, Tensor]
    """The same images with one tint and with the other."""


def asked(options: argparse.Namespace) -> Asked:
    """Return the images, drawn on first use."""
    drawn, made = options.folder / "drawn", options.folder / "made"
    held_out = pool(drawn, animals=options.probed, plates=100, seed=3000)
    more = pool(drawn, animals=options.truth, plates=200, seed=4000)
    probing, further = (pool(drawn, animals=2, plates=count, seed=seed) for count, seed in ((100, 5000), (200, 6000)))
    rng = np.random.default_rng(1)
    grass, warm = (usual_way(held_out.animals.labels, 0.5, rng) for _ in range(2))
    pixels = held_out.composed(np.arange(options.probed), grass, rng)
    coloured = image_set(made, "coloured", tinted(pixels, warm), held_out, grass)
    return Asked(
        training=pool(drawn, animals=options.pool, plates=500, seed=2000),
        probed=image_set(made, "probed", pixels, held_out, grass),
        coloured=coloured,
        swap=TintSwap(dict(zip(coloured.hashes, warm.tolist(), strict=True))),
        plates=probing.plates,
        **_truths(more, further, rng),
    )


def _truths(images: Pool, plates: Pool, rng: np.random.Generator) -> dict[str, tuple[Tensor, ...]]:
    grass, warm = (usual_way(images.animals.labels, 0.5, rng) for _ in range(2))
    own = images.composed(np.arange(len(grass)), grass, rng)
    kinds = np.array(plates.plates.groups)
    same, other = (
        plates.backgrounds[[int(rng.choice(np.flatnonzero(kinds == KINDS[0 if one else 1]))) for one in which]]
        for which in (grass, ~grass)
    )
    return {"truth": (own, images.masks, same, other), "tints": (tinted(own, warm), tinted(own, ~warm))}


def tint_truth(classifier: Classifier, tints: tuple[Tensor, Tensor]) -> tuple[float, float, float]:
    """Return the share of predictions that differ between one tint and the other, and its interval."""
    first, second = (predicted(classifier, pixels) for pixels in tints)
    changed = first != second
    bounds = Rate(int(changed.sum()), len(changed), "images").interval()
    return float(changed.mean()), bounds.low, bounds.high


def predicted(classifier: Classifier, pixels: Tensor) -> NDArray[np.int64]:
    """Return predictions `[N]` of pixels `[N,3,H,W]`."""
    with torch.no_grad():
        return torch.cat([classifier.logits(part).argmax(dim=1) for part in torch.split(pixels, 100)]).numpy()


def measure(cell: Cell, seed: int, given: Asked, options: argparse.Namespace) -> dict[str, object]:
    """Return one line of the study."""
    begun = time.process_time()
    classifier = trained(cell, given.training, count=options.training, seed=1000 * (1 + CELLS.index(cell)) + seed)
    probe = background_probe(
        classifier, given.probed, given.plates, classes=(0, 1), usual_background=USUAL, seed=seed, settings=SETTINGS
    )
    (reaction,) = sensitivity_probe(classifier, given.coloured, {"tint": given.swap}, seed=seed).reactions
    pictured = seed < options.pictured
    energy = _energy(classifier, given, probe, seed) if pictured else None
    background = swap_flips(swap_ledger(classifier, *given.truth, batch_size=100))
    tint, tint_low, tint_high = tint_truth(classifier, given.tints)
    return {
        "confounder": cell.confounder,
        "rho": cell.rho,
        "seed": seed,
        "accuracy": probe.accuracy["own"].share,
        "background_truth": background.difference,
        "background_low": background.interval.low,
        "background_high": background.interval.high,
        "tint_truth": tint,
        "tint_low": tint_low,
        "tint_high": tint_high,
        "background_found": probe.verdict == USES,
        "background_decided": probe.controls_null,
        "background_flips": probe.pooled.other.share,
        "placebo": probe.pooled.placebo.share,
        "artefact": probe.artefact.share,
        "effect": probe.effect.mean,
        "detectable": probe.pooled.detectable,
        "failed": "; ".join(one.name for one in probe.conditions if not one.met),
        "tint_found": reaction.verdict == SENSITIVE,
        "tint_decided": all(one.met for one in reaction.conditions if one.name.startswith("control")),
        "tint_flips": reaction.excess.other.share,
        "tint_placebo": reaction.excess.placebo.share,
        "tint_failed": "; ".join(one.name for one in reaction.conditions if not one.met),
        "pictured": pictured,
        "enrichment": energy and energy.enrichment,
        "heatmap_p": energy and energy.p_value,
        "seconds": round(time.process_time() - begun, 1),
    }


def _energy(classifier: Classifier, given: Asked, probe: BackgroundProbe, seed: int) -> EnergyInMask:
    return grad_cam_evidence(classifier, given.probed, given.plates, probe, checked=0, shown=2, seed=seed).energy


Says = Callable[[pd.DataFrame], "pd.Series[bool]"]
RULES: dict[str, tuple[str, Says]] = {
    "background probe": ("background", lambda rows: rows["background_found"]),
    "tint probe": ("tint", lambda rows: rows["tint_found"]),
    "heat map alone, enrichment <= 1": ("background", lambda rows: ~(rows["enrichment"] > 1)),
    "heat map alone, not above random masks": ("background", lambda rows: ~(rows["heatmap_p"] < 0.05)),
}


def by_design(lines: pd.DataFrame, cue: str) -> "pd.Series[str]":
    """Return what a network has by what it was trained with: "planted" from rho 0.95 on, "nothing", or "between"."""
    planted = lines["rho"].where(lines["confounder"] == cue, 0.5)
    found = planted.map(lambda rho: "nothing" if rho == 0.5 else "planted" if rho >= 0.95 else "between")
    # Networks that never saw a tint may react to one: nothing about tints was planted or kept out.
    return found.where((cue == "background") | (lines["confounder"] == "tint"), "unknown")


def by_measurement(lines: pd.DataFrame, cue: str) -> "pd.Series[str]":
    """Return what a network does by its measured reliance."""
    relies, does_not = lines[f"{cue}_low"] > RELIES, lines[f"{cue}_high"] < RELIES_NOT
    return pd.Series(np.where(relies, "relies", np.where(does_not, "does not", "neither")), index=lines.index)


def report(lines: pd.DataFrame) -> None:
    """Print every cell, and detection and false alarms of both probes and of the heat-map rules."""
    shown = ["accuracy", "background_truth", "placebo", "background_found", "background_decided", "tint_truth",
             "tint_placebo", "tint_found", "tint_decided", "enrichment"]  # fmt: skip
    cells = lines.groupby(["confounder", "rho"])
    print(cells[shown].mean().round(3).assign(networks=cells.size()).to_string())
    for name, (cue, says) in RULES.items():
        for truth, kinds in (("by design", by_design(lines, cue)), ("by measurement", by_measurement(lines, cue))):
            for kind in sorted(set(kinds) - {"unknown"}):
                chosen = lines[(kinds == kind) & (lines["pictured"] if "heat map" in name else True)]
                print(f"{name}, {truth}, {kind}: says yes to {Rate(int(says(chosen).sum()), len(chosen), kind).text}")
    for cue in ("background", "tint"):
        quiet = lines[(by_measurement(lines, cue) == "relies") & ~lines[f"{cue}_found"].astype(bool)]
        column = "failed" if cue == "background" else "tint_failed"
        print(f"{cue}: relies and not found, conditions that were not met:", quiet[column].value_counts().to_dict())
    print(f"{lines['seconds'].sum() / len(lines):.1f} CPU seconds a network")


def order(seeds: int, fewer: int) -> list[tuple[Cell, int]]:
    """Return every network, round by round, so that a study that is cut short has as many of each kind.

    The cells that the goals hang on get `seeds` networks, the others `fewer`, and rho 0.8 comes last, where no goal is
    stated. The tint at 0.5 gets twice as many, because no other networks saw tints of which nothing was planted, while
    the background probe has six cells of that kind.
    """
    rounds = []
    for turn in range(max(seeds, fewer)):
        for cell in CELLS:
            if cell.rho != 0.8 and turn < (seeds if cell in GOALS else fewer):
                rounds.append((cell, turn))
            if cell == Cell("tint", 0.5) and turn < seeds:
                rounds.append((cell, seeds + turn))
    return rounds + [(cell, turn) for turn in range(fewer) for cell in CELLS if cell.rho == 0.8]


def read_lines(path: Path) -> pd.DataFrame:
    """Return the study's lines; an empty "failed" means that every condition was met, and is no missing number."""
    empty = {name: [""] for name in ("detectable", "enrichment", "heatmap_p")}
    return pd.read_csv(path, keep_default_na=False, na_values=empty)


def main() -> None:
    """Run what is missing, then print everything."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=37)
    parser.add_argument("--fewer", type=int, default=10, help="networks of each other cell")
    parser.add_argument("--training", type=int, default=300)
    parser.add_argument("--pool", type=int, default=4000)
    parser.add_argument("--probed", type=int, default=400)
    parser.add_argument("--truth", type=int, default=1000)
    parser.add_argument("--pictured", type=int, default=10, help="networks of each cell whose heat maps are measured")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    path = options.folder / "calibration.csv"
    known = read_lines(path) if path.exists() else pd.DataFrame()
    done = {(row.confounder, row.rho, row.seed) for row in known.itertuples()}
    given = asked(options)
    for cell, seed in order(options.seeds, options.fewer):
        if (cell.confounder, cell.rho, seed) not in done:
            known = pd.concat([known, pd.DataFrame([measure(cell, seed, given, options)])], ignore_index=True)
            known.to_csv(path, index=False)
    report(read_lines(path))


if __name__ == "__main__":
    main()
