"""CPU time of six class activation maps from one pass, beside six calls of pytorch-grad-cam (PyPI grad-cam).

    python benchmarks/explainers_single_pass.py

ResNet-18 of random weights, layer4, 224 pixels, batches of 8 and 1. Prints milliseconds of CPU time an image and the
ratio; without the peer, ours alone.
"""

import time
from collections.abc import Callable
from statistics import median

import torch

from explainers.base import Targets
from explainers.cam import RULES, cam_family
from wolfhound.classifier import Classifier, Preprocessing
from wolfhound.torchvision_import import torchvision

LAYER, REPEATS = "layer4", 7
PEERS = ("GradCAM", "HiResCAM", "GradCAMPlusPlus", "XGradCAM", "LayerCAM", "EigenCAM")


def cpu_milliseconds(work: Callable[[], object]) -> float:
    """Return the median CPU time of one call, after a first one that does not count."""
    work()
    spent = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        spent.append(1000 * (time.process_time() - start))
    return median(spent)


def six_peer_calls(classifier: Classifier, pixels: torch.Tensor, classes: list[int]) -> Callable[[], object] | None:
    """Return the peer's six calls, or None where it is not installed."""
    try:
        import pytorch_grad_cam as peer
    except ModuleNotFoundError:
        return None
    layer = [classifier.module.get_submodule(LAYER)]
    targets = [lambda logits, label=label: logits[label] for label in classes]
    cams = [getattr(peer, name)(classifier.module, layer) for name in PEERS]
    return lambda: [cam(input_tensor=classifier.preprocessing.apply(pixels), targets=targets) for cam in cams]


def main() -> None:
    """Measure and print."""
    torch.manual_seed(0)
    module = torchvision().models.resnet18(weights=None).eval()
    classifier = Classifier("resnet18", module, tuple(map(str, range(1000))), Preprocessing(), "0" * 64)
    for count in (8, 1):
        pixels, classes = torch.rand(count, 3, 224, 224), list(range(count))
        targets = Targets.of(classes)

        def ours(pixels: torch.Tensor = pixels, targets: Targets = targets) -> object:
            return cam_family(classifier, pixels, targets, layers=(LAYER,), methods=tuple(RULES))

        spent = cpu_milliseconds(ours) / count
        print(f"batch {count}: {len(RULES)} maps from one pass: {spent:.1f} ms CPU an image")
        theirs = six_peer_calls(classifier, pixels, classes)
        if theirs is None:
            print("  pytorch-grad-cam is not installed: nothing to compare with (pip install grad-cam)")
            continue
        peers = cpu_milliseconds(theirs) / count
        print(f"  pytorch-grad-cam, six calls: {peers:.1f} ms CPU an image; ratio {peers / spent:.1f}")


if __name__ == "__main__":
    main()
