"""torchvision's classifiers by name, with the preprocessing of their weights, and never untrained unasked."""

import hashlib
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.wolfhound.hub_server import Hub, hub_serving
from wolfhound.classifier import Preprocessing, state_digest
from wolfhound.errors import ModelError
from wolfhound.loading import classifier_names, load_torchvision, torchvision_door, torchvision_fit
from wolfhound.loading.download import fetch
from wolfhound.loading.torchvision_names import PublishedWeights, published, published_weights
from wolfhound.progress import silent
from wolfhound.sources import Fit, imagenet_class_names
from wolfhound.torchvision_import import torchvision

IMAGENET = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), (224, 224))
NAMES = tuple(f"class {index}" for index in range(7))


@pytest.fixture(autouse=True)
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep torch.hub's folder in the test, and the network out of it."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    plain = urllib.request.urlopen

    def unreachable(url: str, **options: Any) -> Any:
        if url.startswith(("file:", "http://127.0.0.1:")):
            return plain(url, **options)
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)


def build(architecture: str, **options: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        module: nn.Module = torchvision().models.get_model(architecture, **options)
    return module


def saved(module: nn.Module, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".safetensors":
        save_file(module.state_dict(), path)
    else:
        torch.save(module.state_dict(), path)
    return path


def pixels(side: int = 224) -> Tensor:
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1))


def publish(monkeypatch: pytest.MonkeyPatch, architecture: str, path: Path) -> PublishedWeights:
    """Let the file at `path` be the published weights of `architecture`."""
    entry = published_weights(architecture)[0]
    prefix = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    entry = replace(entry, url=f"https://example.invalid/{architecture}-{prefix}.pth")
    monkeypatch.setattr(torchvision_door, "published_weights", lambda _name: (entry,))
    monkeypatch.setattr(torchvision_door, "published", lambda _name, _weights: entry)
    return entry


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_local_file_gives_torchvisions_network(suffix: str, tmp_path: Path) -> None:
    module = build("squeezenet1_1", num_classes=7)
    path = saved(module, tmp_path / f"own{suffix}")
    classifier = load_torchvision("squeezenet1_1", cache=tmp_path, weights=path, class_names=NAMES)
    wanted = module.eval()(
        (pixels() - torch.tensor(IMAGENET.mean).view(3, 1, 1)) / torch.tensor(IMAGENET.std).view(3, 1, 1)
    )
    torch.testing.assert_close(classifier.logits(pixels()), wanted)
    assert classifier.weights_digest == state_digest(module.state_dict())
    assert classifier.preprocessing == IMAGENET
    assert classifier.architecture == "torchvision squeezenet1_1"
    assert "assumed" in classifier.provenance
    assert str(tmp_path) not in classifier.provenance


def test_stated_preprocessing_is_used_and_nothing_assumed(tmp_path: Path) -> None:
    path = saved(build("squeezenet1_1", num_classes=7), tmp_path / "own.pth")
    half = (0.5, 0.5, 0.5)
    classifier = load_torchvision(
        "squeezenet1_1", cache=tmp_path, weights=str(path), class_names=NAMES, mean=half, std=half, input_size=(96, 64)
    )
    assert classifier.preprocessing == Preprocessing(half, half, (96, 64))
    assert "assumed" not in classifier.provenance
    with pytest.raises(ModelError, match="mean and std together"):
        load_torchvision("squeezenet1_1", cache=tmp_path, weights=path, class_names=NAMES, mean=half)


def test_preprocessing_that_nobody_knows_must_be_stated(tmp_path: Path) -> None:
    path = saved(build("squeezenet1_1", num_classes=7), tmp_path / "own.pth")
    with pytest.raises(ModelError, match="is not known"):  # its published weights expect 224 or 384 pixels
        load_torchvision("vit_b_16", cache=tmp_path, weights=path, class_names=NAMES)
    untrained = load_torchvision("vit_b_16", cache=tmp_path, weights="random", class_names=NAMES)
    assert untrained.preprocessing == IMAGENET


def test_other_class_counts_are_refused_with_the_shapes(tmp_path: Path) -> None:
    path = saved(build("squeezenet1_1", num_classes=7), tmp_path / "own.pth")
    with pytest.raises(ModelError, match=r"squeezenet1_1 with 1000 classes; 2 difference(?s:.*)shape \[7, 512, 1, 1\]"):
        load_torchvision("squeezenet1_1", cache=tmp_path, weights=path)


def test_published_weights_are_recognised_by_their_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(build("squeezenet1_1"), tmp_path / "renamed.pth")
    publish(monkeypatch, "squeezenet1_1", path)
    classifier = load_torchvision("squeezenet1_1", cache=tmp_path, weights=path)
    assert classifier.provenance.startswith("torchvision's SqueezeNet1_1_Weights.IMAGENET1K_V1, file renamed.pth")
    assert "assumed" not in classifier.provenance
    assert classifier.class_names == imagenet_class_names()


@pytest.mark.parametrize("folder", ["hub/hub/checkpoints", "cache/weights"])
def test_a_published_file_on_this_machine_is_found(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = build("squeezenet1_1")
    entry = publish(monkeypatch, "squeezenet1_1", saved(module, tmp_path / "w.pth"))
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "w.pth").rename(tmp_path / folder / entry.file_name)
    classifier = load_torchvision("squeezenet1_1", cache=tmp_path / "cache")
    assert classifier.weights_digest == state_digest(module.state_dict())
    (tmp_path / folder / entry.file_name).write_bytes(b"half of it")
    with pytest.raises(ModelError, match="is not what its name says"):
        load_torchvision("squeezenet1_1", cache=tmp_path / "cache")


@pytest.mark.parametrize("weights", ["DEFAULT", "IMAGENET1K_V1", None])
def test_without_network_the_error_says_how_to_give_the_file(weights: str | None, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        load_torchvision("googlenet", cache=tmp_path, weights=weights)
    message = str(caught.value)
    assert "GoogLeNet_Weights.IMAGENET1K_V1" in message
    assert "no network" in message
    assert "weights: PATH/TO/googlenet-1378be20.pth" in message
    assert str(tmp_path / "hub" / "hub" / "checkpoints") in message


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_serving(Hub()) as served:
        yield served


def offer(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[nn.Module, str]:
    """Let the hub publish weights of SqueezeNet 1.1; return the network that has them, and their file's name."""
    module = build("squeezenet1_1")
    path = saved(module, tmp_path / "published" / "w.pth")
    entry = publish(monkeypatch, "squeezenet1_1", path)
    served = replace(entry, url=f"{hub.url}/{entry.file_name}")
    monkeypatch.setattr(torchvision_door, "published", lambda _name, _weights: served)
    hub.files = {entry.file_name: path.read_bytes()}
    return module, entry.file_name


def test_published_weights_are_downloaded_once(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, name = offer(hub, monkeypatch, tmp_path)
    for _ in range(2):
        found = load_torchvision("squeezenet1_1", cache=tmp_path / "cache")
        assert found.weights_digest == state_digest(module.state_dict())
    assert hub.asked == [name]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("cut", r"the connection was closed after \d+ of \d+ bytes"),
        ("altered", "expected a SHA-256 that begins with [0-9a-f]{8}, got"),
        ("refused", "HTTP Error 503"),
        ("missing", "HTTP Error 404"),
    ],
)
def test_a_download_that_fails_is_said_and_leaves_nothing(
    fault: str, reason: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, name = offer(hub, monkeypatch, tmp_path)
    if fault in ("cut", "altered"):
        setattr(hub, fault, {name})
    elif fault == "refused":
        hub.refused = 503
    else:
        hub.files = {}
    with pytest.raises(ModelError, match=f"{reason}.*weights: PATH/TO/{name}"):
        load_torchvision("squeezenet1_1", cache=tmp_path / "cache")
    assert list((tmp_path / "cache" / "weights").iterdir()) == []


def test_random_weights_come_only_by_that_word_and_by_seed(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    first, second, other = (
        load_torchvision("squeezenet1_1", cache=tmp_path, weights="random", seed=seed) for seed in (1, 1, 2)
    )
    assert first.weights_digest == second.weights_digest != other.weights_digest
    assert first.provenance == "random weights (never trained), seed 1"
    assert first.preprocessing == IMAGENET
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("architecture", "weights", "message"),
    [
        ("squeezenet9", "DEFAULT", "expected a classifier of torchvision.*squeezenet1_1"),
        ("squeezenet9", "random", "expected a classifier of torchvision"),
        ("vgg16", "IMAGENET1K_FEATURES", "expected weights of vgg16 to be DEFAULT, IMAGENET1K_V1, random or a file"),
        ("vgg16", "imagenet", "random or a file, got 'imagenet'"),
        ("vgg_f", "DEFAULT", "vgg_f has no published weights"),
        ("vgg16", "gone.pth", "no such file"),
    ],
)
def test_unknown_names_are_refused(architecture: str, weights: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message):
        load_torchvision(architecture, cache=tmp_path, weights=weights)


def googlenet(**options: Any) -> nn.Module:
    return build("googlenet", init_weights=False, num_classes=7, **options)


def test_published_googlenet_turns_the_normalisation_into_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = googlenet(aux_logits=True, transform_input=True)
    path = saved(module, tmp_path / "own.pth")
    publish(monkeypatch, "googlenet", path)
    classifier = load_torchvision("googlenet", cache=tmp_path, weights=path, class_names=NAMES)
    # The two normalisations together are (p - 0.5) / 0.5.
    plain = googlenet(aux_logits=True, transform_input=False)
    plain.load_state_dict(module.state_dict())
    torch.testing.assert_close(classifier.logits(pixels()), plain.eval()(pixels() * 2 - 1), rtol=1e-3, atol=1e-4)
    assert not any(name.startswith("aux") for name in classifier.module.state_dict())


def test_googlenet_files_with_and_without_side_heads_are_the_same_classifier(tmp_path: Path) -> None:
    module = googlenet(aux_logits=True)
    full = saved(module, tmp_path / "full.pth")
    kept = {name: tensor for name, tensor in module.state_dict().items() if not name.startswith("aux")}
    torch.save(kept, tmp_path / "bare.pth")
    first, second = (
        load_torchvision("googlenet", cache=tmp_path, weights=path, class_names=NAMES)
        for path in (full, tmp_path / "bare.pth")
    )
    assert first.weights_digest == second.weights_digest == state_digest(kept)


def test_own_googlenet_weights_with_stated_means_leave_the_input_alone(tmp_path: Path) -> None:
    path = saved(googlenet(aux_logits=False), tmp_path / "own.pth")
    half = (0.5, 0.5, 0.5)
    stated = load_torchvision("googlenet", cache=tmp_path, weights=path, class_names=NAMES, mean=half, std=half)
    usual = load_torchvision("googlenet", cache=tmp_path, weights=path, class_names=NAMES)
    # Usual: published normalisation, turned by the network; in effect the same means.
    torch.testing.assert_close(stated.logits(pixels()), usual.logits(pixels()), rtol=1e-3, atol=1e-4)
    assert stated.module.transform_input is False
    assert usual.module.transform_input is True


def test_usual_means_stated_for_own_googlenet_weights_must_be_explained(tmp_path: Path) -> None:
    options: dict[str, Any] = {"mean": IMAGENET.mean, "std": IMAGENET.std, "class_names": NAMES, "cache": tmp_path}
    path = saved(googlenet(aux_logits=False), tmp_path / "own.pth")
    with pytest.raises(ModelError, match="transform_input"):
        load_torchvision("googlenet", weights=path, **options)
    for answer in (True, False):
        classifier = load_torchvision("googlenet", weights=path, arguments={"transform_input": answer}, **options)
        assert classifier.module.transform_input is answer


def test_densenet_files_with_old_layer_names_are_read(tmp_path: Path) -> None:
    module = build("densenet121", num_classes=7)
    old = {
        name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2.") if "denselayer" in name else name: tensor
        for name, tensor in module.state_dict().items()
    }
    assert any("denselayer1.norm.1.weight" in name for name in old)
    torch.save(old, tmp_path / "old.pth")
    classifier = load_torchvision("densenet121", cache=tmp_path, weights=tmp_path / "old.pth", class_names=NAMES)
    assert classifier.weights_digest == state_digest(module.state_dict())


def test_vgg_f_takes_a_local_file(tmp_path: Path) -> None:
    made = load_torchvision("vgg_f", cache=tmp_path, weights="random", class_names=NAMES)
    path = saved(made.module, tmp_path / "vgg_f.pth")
    classifier = load_torchvision("vgg_f", cache=tmp_path, weights=path, class_names=NAMES)
    assert classifier.weights_digest == made.weights_digest
    assert classifier.architecture == "vgg_f"
    assert classifier.preprocessing.input_size == (224, 224)


def test_every_torchvision_classifier_has_usable_metadata() -> None:
    assert {"googlenet", "vgg16", "vgg19", "resnet152", "vit_b_16"} <= set(classifier_names())
    for name in classifier_names():
        for entry in published_weights(name):
            assert entry.class_names == imagenet_class_names()
            assert len(entry.hash_prefix) >= 8
            entry.fit.check(entry.preprocessing.input_size)
            assert published(name, entry.name) == published(name, entry.title) == entry


def test_the_recommended_fit_is_that_of_the_weights() -> None:
    assert torchvision_fit("googlenet") == (Fit("crop", shorter_side=256), (224, 224))
    assert torchvision_fit("resnet152") == (Fit("crop", shorter_side=232), (224, 224))
    assert torchvision_fit("resnet152", weights="IMAGENET1K_V1") == (Fit("crop", shorter_side=256), (224, 224))
    assert torchvision_fit("efficientnet_b3") == (
        Fit("crop", shorter_side=320, interpolation="bicubic"),
        (300, 300),
    )


def test_a_download_is_whole_and_right_or_not_there(tmp_path: Path) -> None:
    source = tmp_path / "w.pth"
    source.write_bytes(b"weights" * 1000)
    target = tmp_path / "cache" / "w.pth"
    right = hashlib.sha256(source.read_bytes()).hexdigest()[:8]
    with pytest.raises(OSError, match="begins with 00000000"):
        fetch(source.as_uri(), target, hash_prefix="00000000", progress=silent)
    assert list(target.parent.iterdir()) == []
    fetch(source.as_uri(), target, hash_prefix=right, progress=silent)
    assert target.read_bytes() == source.read_bytes()
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["googlenet", "vgg16", "vgg19", "resnet152", "vgg_f", "caffenet"])
def test_each_network_of_the_2017_table_is_built_by_name(architecture: str, tmp_path: Path) -> None:
    classifier = load_torchvision(architecture, cache=tmp_path, weights="random")
    assert classifier.name == architecture
    assert len(classifier.class_names) == 1000
