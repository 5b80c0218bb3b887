"""CPU time of the explainers beside pytorch-grad-cam (PyPI grad-cam), on the same network, images, classes and layer.

    python benchmarks/explainers_peer.py [PART ...]

PART is one of maps, eigencam, ablation, score, guided; none runs all. ResNet-18 of random weights, layer4, 224 pixels,
batches of 8 and 1.
Prints milliseconds of CPU time an image, the ratio, and the largest difference of the normalised maps. Without the
peer, ours alone.
"""

import copy
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

os.environ["TQDM_DISABLE"] = "1"  # read when the peer's progress bars are imported

from explainers.base import Targets
from explainers.cams.ablation import AblationCam
from explainers.cams.cam import RULES, SinglePassCam, cam_family
from explainers.cams.scorecam import ScoreCam
from explainers.pixels.saliency import RectifiedGradient
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

    def ours(self, explainer: Any, *, layer: str = LAYER) -> Work:
        return lambda: explainer.explain(self.classifier, self.pixels, self.targets, layer=layer)

    def peers(self, peer: Any, *names: str, layer: str = LAYER) -> Work:
        module = copy.deepcopy(self.classifier.module)  # the peer hooks and exchanges parts of what it is given
        cams = [getattr(peer, name)(module, [module.get_submodule(layer)]) for name in names]
        scores = [lambda logits, label=label: logits[label] for label in self.classes]
        return lambda: [cam(input_tensor=self.pixels, targets=scores) for cam in cams]


def cpu_milliseconds(*works: Work, repeats: int) -> list[float]:
    """Return the median CPU time of one call of each, taken in turns; the first of several does not count."""
    spent: list[list[float]] = [[] for _ in works]
    for _ in range(repeats + (repeats > 1)):
        for work, times in zip(works, spent, strict=True):
            start = time.process_time()
            work()
            times.append(1000 * (time.process_time() - start))
    return [median(times[-repeats:]) for times in spent]


def compare(title: str, ours: Work, theirs: Work | None, *, count: int, repeats: int = 5) -> None:
    """Print both sides, in milliseconds an image."""
    works = [ours] if theirs is None else [ours, theirs]
    spent = [total / count for total in cpu_milliseconds(*works, repeats=repeats)]
    line = f"{title}: {spent[0]:.1f} ms CPU an image"
    if theirs is not None:
        line += f"; pytorch-grad-cam {spent[1]:.1f} ms; ratio {spent[1] / spent[0]:.1f}"
    print(line, flush=True)


def subject(count: int, *, size: int = 224) -> Subject:
    """Return ResNet-18 with logits large enough that maps are no rounding, and `count` seeded images."""
    torch.manual_seed(0)
    module = torchvision().models.resnet18(weights=None).eval()
    with torch.no_grad():
        module.fc.weight.mul_(LOGIT_SCALE)
    classifier = Classifier(
        "resnet18", module, tuple(map(str, range(1000))), Preprocessing(input_size=(size, size)), "0" * 64
    )
    return Subject(classifier, torch.rand(count, 3, size, size), list(range(count)))


def measure_maps(peer: Any) -> None:
    for count in (8, 1):
        given = subject(count)

        def six(given: Subject = given) -> object:
            return cam_family(given.classifier, given.pixels, given.targets, layers=(LAYER,), methods=tuple(RULES))

        theirs = given.peers(peer, *SIX) if peer else None
        compare(f"six maps from one pass, batch {count}", six, theirs, count=count)


def measure_eigencam(peer: Any) -> None:
    """The whole call on layers of every depth, and the decomposition alone, which is where the two differ."""
    for count in (8, 1):
        given = subject(count)
        for layer in ("layer1", "layer2", "layer3", LAYER):
            theirs = given.peers(peer, "EigenCAM", layer=layer) if peer else None
            ours = given.ours(SinglePassCam("eigencam"), layer=layer)
            compare(f"EigenCAM of {layer}, batch {count}", ours, theirs, count=count)
    if peer:
        project = importlib.import_module("pytorch_grad_cam.utils.svd_on_activations").get_2d_projection
        activation = torch.rand(8, 512, 7, 7)
        decompose, stacked = RULES["eigencam"], activation.numpy()
        compare(
            "EigenCAM's decomposition alone, batch 8",
            lambda: decompose(activation, activation),
            lambda: project(stacked),
            count=8,
        )


def measure_passes(peer: Any, *, title: str, explainer: Any, name: str, counts: tuple[int, ...]) -> None:
    """A method of many passes: each side once."""
    for count in counts:
        given = subject(count)
        found: dict[str, Any] = {}
        ours, theirs = given.ours(explainer), given.peers(peer, name) if peer else None
        given.classifier.logits(given.pixels)  # the first pass of a network is slower, on either side

        def kept(side: str, work: Work, found: dict[str, Any] = found) -> Work:
            return lambda: found.update({side: work()})

        both = kept("ours", ours), theirs and kept("theirs", theirs)
        compare(f"{title}, batch {count}", *both, count=count, repeats=1)
        if theirs is not None:
            gap = np.abs(found["ours"].normalised.numpy() - found["theirs"][0]).max()
            print(f"  largest difference of the normalised maps: {gap:.1e}", flush=True)


def measure_guided(peer: Any) -> None:
    """The peer takes one image at a time."""
    for count in (8, 1):
        given = subject(count)

        def ours(given: Subject = given) -> Any:
            return RectifiedGradient().attribute(given.classifier, given.pixels, given.targets).values

        theirs = None
        if peer:
            model = peer.GuidedBackpropReLUModel(copy.deepcopy(given.classifier.module), "cpu")

            def theirs(given: Subject = given, model: Any = model) -> Any:
                return [
                    model(image[None], target_category=c) for image, c in zip(given.pixels, given.classes, strict=True)
                ]

        compare(f"guided backpropagation, batch {count}", ours, theirs, count=count)


def main(parts: list[str]) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
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
            peer, title="Ablation-CAM", explainer=AblationCam(relative=True), name="AblationCAM", counts=(8, 1)
        ),
        "score": lambda: measure_passes(peer, title="Score-CAM", explainer=ScoreCam(), name="ScoreCAM", counts=(8, 1)),
        "guided": lambda: measure_guided(peer),
    }
    for part in parts or list(works):
        works[part]()


if __name__ == "__main__":
    main(sys.argv[1:])
