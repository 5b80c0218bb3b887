"""On a real classifier and real photographs, the methods that only ask find what the classifier needs."""

from pathlib import Path

import pytest
import torch

from explainers.base import Targets
from explainers.black_box.lime import Lime
from explainers.black_box.occlusion import Occlusion
from explainers.black_box.rise import Rise
from explainers.black_box.segments import Grid
from explainers.inside.fields import receptive_fields
from explainers.inside.patches import strongest_places
from tests.real_subjects import real_index, real_subjects
from wolfhound.classifier import Classifier
from wolfhound.images import ImageSet
from wolfhound.loading import load_torchvision
from wolfhound.sources import Fit, imagenet_class_names, read_folder

pytestmark = pytest.mark.real

NAME, CHOSEN = "squeezenet1_1_torchvision", 6


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    stated = next(model for model in real_index()["models"] if model["name"] == NAME)["preprocessing"]
    weights = real_subjects() / "models" / f"{NAME}.pth"
    cache = tmp_path_factory.mktemp("cache")
    return load_torchvision("squeezenet1_1", cache=cache, weights=weights, mean=stated["mean"], std=stated["std"])


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    folder: Path = real_subjects() / "images" / "nips2017_dev"
    return read_folder(
        folder,
        cache=tmp_path_factory.mktemp("nips"),
        size=(224, 224),
        fit=Fit("squash"),
        labels="leading_index",
        class_names=imagenet_class_names(),
    )


def confident(classifier: Classifier, images: ImageSet) -> tuple[torch.Tensor, torch.Tensor]:
    """The first images of which the classifier is right and sure, and their classes."""
    pixels = images.load(slice(0, 60))
    labels = torch.from_numpy(images.labels[:60])
    with torch.no_grad():
        probabilities = torch.cat([classifier.logits(part) for part in pixels.split(20)]).softmax(dim=1)
    sure = (probabilities[torch.arange(60), labels] > 0.7).nonzero().flatten()[:CHOSEN]
    assert len(sure) == CHOSEN
    return pixels[sure], labels[sure]


@pytest.mark.parametrize(
    "method",
    [Lime(Grid(cells=7), samples=300), Occlusion(patch=32, stride=32), Rise(masks=300)],
    ids=lambda method: method.name,
)
def test_covering_what_a_method_names_costs_more_than_covering_as_much_elsewhere(method, squeezenet, photographs):
    """A fifth of each image in 7 x 7 cells: the cells of the largest mean value, against the same number drawn."""
    pixels, labels = confident(squeezenet, photographs)
    maps = method.explain(squeezenet, pixels, Targets(labels)).raw
    cells = torch.nn.functional.adaptive_avg_pool2d(maps[:, None], 7).flatten(1)
    named = cells.argsort(dim=1, descending=True)[:, :10]
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([torch.randperm(49, generator=generator)[:10] for _ in range(8 * CHOSEN)])

    def left(cells_of: torch.Tensor, images: torch.Tensor, classes: torch.Tensor) -> float:
        masks = torch.ones(len(images), 49).scatter(1, cells_of, 0.0).view(-1, 1, 7, 7)
        masks = torch.nn.functional.interpolate(masks, size=(224, 224), mode="nearest")
        with torch.no_grad():
            logits = squeezenet.logits(masks * images + (1 - masks) * 0.5)
        return float(logits.softmax(dim=1)[torch.arange(len(images)), classes].mean())

    after_named = left(named, pixels, labels)
    after_drawn = left(drawn, pixels.repeat(8, 1, 1, 1), labels.repeat(8))
    print(f"\n{method.name}: probability left {after_named:.3f}, after as many drawn cells {after_drawn:.3f}")
    assert after_named < after_drawn / 2


def test_strongest_patches_of_a_real_layer_answer_alone(squeezenet, photographs):
    images = photographs.subset(range(40))
    found = strongest_places(squeezenet, images, layer="features.6", channels=[3, 50, 90], most=5)
    assert found.fields.size == receptive_fields(squeezenet, "features.6").size
    window = found.window(0, 0)
    assert window.size == found.fields.size
    # What lies outside the window is black; the answer stays.
    image = images.load([int(found.images[0, 0])])
    kept = torch.zeros_like(image)
    top, left = max(window.top, 0), max(window.left, 0)
    kept[:, :, top : window.bottom, left : window.right] = image[:, :, top : window.bottom, left : window.right]
    outputs: list[torch.Tensor] = []
    handle = squeezenet.module.get_submodule("features.6").register_forward_hook(lambda *run: outputs.append(run[2]))
    with torch.no_grad():
        squeezenet.logits(kept)
    handle.remove()
    row, column = found.places[0, 0].tolist()
    assert float(outputs[0][0, 3, row, column]) == pytest.approx(float(found.values[0, 0]), rel=1e-4)
