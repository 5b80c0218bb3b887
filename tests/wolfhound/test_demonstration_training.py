"""Training of the demonstration's classifiers: repeatable, cached, honest, and good enough to audit."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from wolfhound.architectures.compact import COMPACT
from wolfhound.classifier import Classifier, state_digest
from wolfhound.demonstration import (
    TrainingRecipe,
    background_plates,
    demonstration_classifier,
    demonstration_images,
    train,
    wolf_husky_images,
)
from wolfhound.demonstration.training import measured_preprocessing
from wolfhound.errors import DataError, ModelError
from wolfhound.images import ImageSet
from wolfhound.progress import Advance

QUICK = TrainingRecipe(epochs=1, batch_size=20)


@pytest.fixture(scope="module")
def few_images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    return demonstration_images(tmp_path_factory.mktemp("few"), count=40, seed=6)


def _predictions(classifier: Classifier, pixels: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.cat([classifier.logits(batch).argmax(dim=1) for batch in pixels.split(200)])


@pytest.mark.parametrize("architecture", ["caffenet", "resnet152"])
def test_the_same_seed_trains_the_same_weights_and_another_seed_others(few_images: ImageSet, architecture: str) -> None:
    first, second = (train(architecture, few_images, seed=1, recipe=QUICK) for _ in range(2))
    assert first.weights_digest == second.weights_digest
    assert train(architecture, few_images, seed=2, recipe=QUICK).weights_digest != first.weights_digest


def test_training_leaves_the_global_random_state_alone(few_images: ImageSet, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    for _ in range(2):  # trained, then read back
        demonstration_classifier("vgg_f", tmp_path, few_images, seed=1, recipe=QUICK)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("architecture", list(COMPACT))
def test_a_cached_classifier_gives_the_very_same_logits(
    few_images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str
) -> None:
    trained = demonstration_classifier(architecture, tmp_path, few_images, seed=3, recipe=QUICK)
    monkeypatch.setattr("wolfhound.demonstration.classifiers.train", _never)
    cached = demonstration_classifier(architecture, tmp_path, few_images, seed=3, recipe=QUICK)
    pixels = few_images.load(slice(0, 8))
    assert torch.equal(trained.logits(pixels), cached.logits(pixels))
    assert cached.preprocessing == trained.preprocessing
    assert cached.weights_digest == trained.weights_digest == state_digest(cached.module.state_dict())
    assert (cached.name, cached.architecture, cached.provenance) == (
        trained.name,
        trained.architecture,
        trained.provenance,
    )


def _never(*_: object, **__: object) -> None:
    raise AssertionError("trained anew although the cache holds it")


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other"])
def test_a_damaged_cache_is_trained_anew_and_mended(few_images: ImageSet, tmp_path: Path, damage: str) -> None:
    sound = demonstration_classifier("caffenet", tmp_path, few_images, seed=3, recipe=QUICK)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    if damage == "other":
        demonstration_classifier("caffenet", tmp_path / "other", few_images, seed=4, recipe=QUICK)
        (other,) = (tmp_path / "other").iterdir()
        damaged = other.read_bytes()
    else:
        flipped = content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]
        damaged = {"flip": flipped, "cut": content[:-400], "empty": b""}[damage]
    path.write_bytes(damaged)
    mended = demonstration_classifier("caffenet", tmp_path, few_images, seed=3, recipe=QUICK)
    assert mended.weights_digest == sound.weights_digest
    assert path.read_bytes() == content


def test_the_cache_tells_seeds_recipes_images_and_architectures_apart(few_images: ImageSet, tmp_path: Path) -> None:
    half = few_images.subset(range(20))
    demonstration_classifier("caffenet", tmp_path, few_images, seed=1, recipe=QUICK)
    demonstration_classifier("caffenet", tmp_path, few_images, seed=2, recipe=QUICK)
    demonstration_classifier("caffenet", tmp_path, half, seed=1, recipe=QUICK)
    demonstration_classifier("vgg_f", tmp_path, few_images, seed=1, recipe=QUICK)
    longer = TrainingRecipe(epochs=2, batch_size=20)
    demonstration_classifier("caffenet", tmp_path, few_images, seed=1, recipe=longer)
    assert len(list(tmp_path.iterdir())) == 5


def test_a_trained_classifier_is_ready_to_be_audited_and_says_what_it_is(few_images: ImageSet) -> None:
    classifier = train("googlenet", few_images, seed=1, recipe=QUICK)
    assert not any(part.training for part in classifier.module.modules())
    assert not any(parameter.requires_grad for parameter in classifier.module.parameters())
    assert classifier.architecture.startswith("demonstration classifier, GoogLeNet family")
    assert "40 generated images" in classifier.provenance
    pixels = few_images.load(slice(0, 2)).requires_grad_(True)
    (gradient,) = torch.autograd.grad(classifier.logits(pixels).sum(), pixels)
    assert torch.isfinite(gradient).all()
    assert gradient.abs().max() > 0


def test_the_normalisation_is_the_mean_and_deviation_of_the_training_pixels(few_images: ImageSet) -> None:
    pixels = torch.from_numpy(few_images.pixels.read(few_images.rows))
    measured = measured_preprocessing(pixels)
    values = few_images.load().double().transpose(0, 1).flatten(1)
    assert measured.mean == pytest.approx(values.mean(dim=1).tolist(), abs=1e-7)
    assert measured.std == pytest.approx(values.std(dim=1, correction=0).tolist(), abs=1e-7)
    assert measured.input_size == (64, 64)


def test_progress_counts_every_step(few_images: ImageSet) -> None:
    seen: dict[str, int] = {}

    @contextmanager
    def counting(description: str, total: int) -> Iterator[Advance]:
        seen["total"] = total

        def advance(steps: int) -> None:
            seen[description] = seen.get(description, 0) + steps

        yield advance

    train("caffenet", few_images, seed=1, recipe=TrainingRecipe(epochs=3, batch_size=20), progress=counting)
    assert seen == {"total": 6, "training caffenet": 6}


def test_too_few_images_and_unknown_architectures_are_refused(few_images: ImageSet, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least 50 images"):
        train("vgg_f", few_images, seed=1)
    with pytest.raises(ModelError, match="got 'lenet'"):
        demonstration_classifier("lenet", tmp_path, few_images, seed=1)
    assert not list(tmp_path.iterdir())


def test_a_short_training_already_recognises_most_held_out_images(tmp_path: Path) -> None:
    images = demonstration_images(tmp_path, count=850, seed=1)
    held_out = images.subset(range(700, 850))
    classifier = train("caffenet", images.subset(range(700)), seed=0, recipe=TrainingRecipe(epochs=7, batch_size=25))
    right = _predictions(classifier, held_out.load()) == torch.from_numpy(held_out.labels)
    assert right.float().mean() >= 0.8


@pytest.mark.parametrize(("confounding", "fewest", "most"), [(1.0, 0.8, 1.0), (0.5, 0.0, 0.15)])
def test_only_the_confounded_classifier_follows_the_background(
    tmp_path: Path, confounding: float, fewest: float, most: float
) -> None:
    """Objects held fixed, backgrounds swapped: the share of predictions that change."""
    images = wolf_husky_images(tmp_path, count=500, seed=3, confounding=confounding)
    classifier = train("caffenet", images, seed=0, recipe=TrainingRecipe(epochs=5, batch_size=25))
    probed = wolf_husky_images(tmp_path, count=100, seed=99, confounding=0.5)
    plates = background_plates(tmp_path, per_background=100, seed=5)
    pixels, masks, bare = probed.load(), probed.load_masks(), plates.load()
    on = {name: masks * pixels + (1 - masks) * bare[label::2] for label, name in enumerate(plates.class_names)}
    flips = (_predictions(classifier, on["snow"]) != _predictions(classifier, on["grass"])).float().mean()
    assert fewest <= flips <= most
