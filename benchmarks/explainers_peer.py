"""CPU time of the explainers beside pytorch-grad-cam (PyPI grad-cam), on the same network, images, classes and layer.

    python benchmarks/explainers_peer.py [PART ...]

PART is one of maps, eigencam, ablation, score, guided; none runs all. ResNet-18 of random weights, layer4, 224 pixels,
batches of 8 and 1 (Ablation-CAM's and Score-CAM's peers: 1, because they take images one after the other anyway).
Prints milliseconds of CPU time an image, the ratio, and the largest difference of the normalised maps. Without the
peer, ours alone.
"""

import importlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch

from explainers.ablation import AblationCam
from explainers.base import Targets
from explainers.cam import RULES, SinglePassCam, cam_family
from explainers.saliency import RectifiedGradient
from explainers.scorecam import ScoreCam
from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.torchvision_import import torchvision

LAYER, LOGIT_SCALE = "layer4", 20.0
SIX = ("GradCAM", "HiResCAM", "GradCAMPlusPlus", "XGradCAM", "LayerCAM", "EigenCAM")
Work = Callable[[], Any]


@dataclass(frozen=True)
class Subject:
    """What both sides are given."""

    classifier: Classifier
    pixels: torch.Tensor
    classes: list[int]

    @property
    def targets(self) -> Targets:
        return Targets.of(self.classes)

    def ours(self, explainer: Any) -> Work:
        return lambda: explainer.explain(self.classifier, self.pixels, self.targets, layer=LAYER)

    def peers(self, peer: Any, *names: str) -> Work:
        layers = [self.classifier.module.get_submodule(LAYER)]
        cams = [getattr(peer, name)(self.classifier.module, layers) for name in names]
        scores = [lambda logits, label=label: logits[label] for label in self.classes]
        # The peer hooks the layers and, for ablation, exchanges the layer: one object is kept for one method.
        return lambda: [cam(input_tensor=self.pixels, targets=scores) for cam in cams]


def cpu_milliseconds(*works: Work, repeats: int) -> list[float]:
    """Return the median CPU time of one call of each, taken in turns, after a first call that does not count."""
    spent: list[list[float]] = [[] for _ in works]
    for turn in range(repeats + 1):
        for work, times in zip(works, spent, strict=True):
            start = time.process_time()
            work()
            if turn or repeats == 1:
                times.append(1000 * (time.process_time() - start))
    return [median(times) for times in spent]


def compare(title: str, ours: Work, theirs: Work | None, *, counts: tuple[int, int], repeats: int) -> None:
    """Print both sides, in milliseconds an image."""
    works = [ours] if theirs is None else [ours, theirs]
    spent = [t / n for t, n in zip(cpu_milliseconds(*works, repeats=repeats), counts, strict=False)]
    line = f"{title}: {spent[0]:.1f} ms CPU an image"
    if theirs is not None:
        line += f"; pytorch-grad-cam {spent[1]:.1f} ms; ratio {spent[1] / spent[0]:.1f}"
    print(line, flush=True)


def subject(count: int) -> Subject:
    """Return ResNet-18 with logits large enough that maps are no rounding, and `count` seeded images."""
    torch.manual_seed(0)
    module = torchvision().models.resnet18(weights=None).eval()
    with torch.no_grad():
        module.fc.weight.mul_(LOGIT_SCALE)
    classifier = Classifier("resnet18", module, tuple(map(str, range(1000))), Preprocessing(), "0" * 64)
    return Subject(classifier, torch.rand(count, 3, 224, 224), list(range(count)))


def measure_maps(peer: Any) -> None:
    for count in (8, 1):
        given = subject(count)

        def six(given: Subject = given) -> object:
            return cam_family(given.classifier, given.pixels, given.targets, layers=(LAYER,), methods=tuple(RULES))

        theirs = given.peers(peer, *SIX) if peer else None
        compare(f"six maps from one pass, batch {count}", six, theirs, counts=(count, count), repeats=5)


def measure_eigencam(peer: Any) -> None:
    """The whole call, and the decomposition alone, which is where the two differ."""
    given = subject(8)
    theirs = given.peers(peer, "EigenCAM") if peer else None
    compare("EigenCAM, batch 8", given.ours(SinglePassCam("eigencam")), theirs, counts=(8, 8), repeats=5)
    if peer:
        project = importlib.import_module("pytorch_grad_cam.utils.svd_on_activations").get_2d_projection
        activation = torch.rand(8, 512, 7, 7)
        ours, stacked = RULES["eigencam"], activation.numpy()
        compare(
            "EigenCAM's decomposition alone, batch 8",
            lambda: ours(activation, activation),
            lambda: project(stacked),
            counts=(8, 8),
            repeats=5,
        )


def measure_passes(peer: Any, *, title: str, explainer: Any, name: str, repeats: int) -> None:
    """A method of many passes: the peer on one image, ours on the same one and on a batch of 8."""
    one, eight = subject(1), subject(8)
    theirs = one.peers(peer, name) if peer else None
    compare(f"{title}, batch 1", one.ours(explainer), theirs, counts=(1, 1), repeats=repeats)
    if explainer.name != "scorecam":
        compare(f"{title}, batch 8", eight.ours(explainer), None, counts=(8, 8), repeats=3)
    if theirs is not None:
        gap = np.abs(one.ours(explainer)().normalised.numpy() - theirs()[0]).max()
        print(f"  largest difference of the normalised maps: {gap:.1e}", flush=True)


def measure_guided(peer: Any) -> None:
    """The peer takes one image at a time."""
    for count in (8, 1):
        given = subject(count)

        def ours(given: Subject = given) -> Any:
            return RectifiedGradient().attribute(given.classifier, given.pixels, given.targets).values

        theirs = None
        if peer:
            model = peer.GuidedBackpropReLUModel(given.classifier.module, "cpu")

            def theirs(given: Subject = given, model: Any = model) -> Any:
                return [
                    model(image[None], target_category=c) for image, c in zip(given.pixels, given.classes, strict=True)
                ]

        compare(f"guided backpropagation, batch {count}", ours, theirs, counts=(count, count), repeats=5)


def main(parts: list[str]) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    os.environ["TQDM_DISABLE"] = "1"
    torchvision()
    try:
        peer = importlib.import_module("pytorch_grad_cam")
    except ModuleNotFoundError:
        peer = None
        print("pytorch-grad-cam is not installed: nothing to compare with (pip install grad-cam)")
    works: dict[str, Work] = {
        "maps": lambda: measure_maps(peer),
        "eigencam": lambda: measure_eigencam(peer),
        "ablation": lambda: measure_passes(
            peer, title="Ablation-CAM", explainer=AblationCam(relative=True), name="AblationCAM", repeats=2
        ),
        "score": lambda: measure_passes(peer, title="Score-CAM", explainer=ScoreCam(), name="ScoreCAM", repeats=2),
        "guided": lambda: measure_guided(peer),
    }
    for part in parts or list(works):
        works[part]()


if __name__ == "__main__":
    main(sys.argv[1:])
