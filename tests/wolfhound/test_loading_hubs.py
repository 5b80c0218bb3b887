"""Classifiers of timm and transformers come with their own preprocessing and names; a hub that is away is said fast."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.extras import needed
from tests.wolfhound.hub_server import COMMIT, Hub, hub_serving
from wolfhound.classifier import Classifier
from wolfhound.errors import ModelError
from wolfhound.loading import load_huggingface, load_timm

NOWHERE = "http://127.0.0.1:9"
"""A port of this machine at which nobody listens: connections are refused at once."""

pytestmark = pytest.mark.extras


def test_a_timm_network_has_timms_preprocessing_and_repeats_from_its_file(tmp_path: Path) -> None:
    timm = needed("timm")
    made = timm.create_model("resnet10t", pretrained=False, num_classes=3).eval()
    torch.save({"state_dict": made.state_dict()}, tmp_path / "w.pth")
    found = load_timm("resnet10t", cache=tmp_path, weights=tmp_path / "w.pth", class_names=["a", "b", "c"])
    stated = timm.data.resolve_model_data_config(made)
    assert found.preprocessing.mean == stated["mean"]
    assert found.preprocessing.std == stated["std"]
    assert found.preprocessing.input_size == stated["input_size"][1:]
    pixels = torch.rand(2, 3, *found.preprocessing.input_size, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.logits(pixels), made(found.preprocessing.apply(pixels)))
    assert "SHA-256" in found.provenance


def test_timms_faults_are_said(tmp_path: Path) -> None:
    needed("timm")
    with pytest.raises(ModelError, match=r"got 'resnet18x' \(close ones"):
        load_timm("resnet18x", cache=tmp_path)
    with pytest.raises(ModelError, match="say class_names"):
        load_timm("vit_tiny_patch16_224.augreg_in21k", cache=tmp_path, weights="random")
    with pytest.raises(ModelError, match="cannot be built"):
        load_timm("resnet10t", cache=tmp_path, weights="random", arguments={"colour": "green"})
    with pytest.raises(ModelError, match=r"mean and preprocessing\.std together"):
        load_timm("resnet10t", cache=tmp_path, weights="random", mean=(0.0, 0.0, 0.0))


def test_random_timm_weights_repeat_and_leave_the_callers_randomness_alone(tmp_path: Path) -> None:
    needed("timm")
    before = torch.random.get_rng_state()
    first, again = (load_timm("resnet10t", cache=tmp_path, weights="random") for _ in range(2))
    assert first.weights_digest == again.weights_digest
    assert torch.equal(before, torch.random.get_rng_state())


def saved(folder: Path, *, names: dict[int, str] | None = None, **processor: Any) -> Path:
    transformers = needed("transformers")
    settings: dict[str, Any] = {"num_channels": 3, "embedding_size": 4, "hidden_sizes": [4, 8], "depths": [1, 1]}
    labels = {} if names is None else {"id2label": names, "label2id": {name: i for i, name in names.items()}}
    config = transformers.ResNetConfig(**settings, layer_type="basic", num_labels=3, **labels)
    transformers.ResNetForImageClassification(config).eval().save_pretrained(folder)
    stated = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4], "size": {"height": 16, "width": 12}}
    (folder / "preprocessor_config.json").write_text(json.dumps({**stated, **processor}))
    return folder


def load(folder: Path, **options: Any) -> Classifier:
    return load_huggingface(folder=folder, cache=folder / "cache", **options)


def test_a_local_model_comes_with_its_names_and_preprocessing(tmp_path: Path) -> None:
    found = load(saved(tmp_path, names={0: "cat", 1: "dog", 2: "owl"}))
    assert found.class_names == ("cat", "dog", "owl")
    assert found.preprocessing.input_size == (16, 12)
    transformers = needed("transformers")
    network = transformers.AutoModelForImageClassification.from_pretrained(tmp_path)
    pixels = torch.rand(2, 3, 16, 12, generator=torch.Generator().manual_seed(0))
    mean, std = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1), torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1)
    with torch.no_grad():
        wanted = network(pixel_values=(pixels - mean) / std).logits
    torch.testing.assert_close(found.logits(pixels), wanted)


@pytest.mark.parametrize(
    ("processor", "wanted"),
    [
        ({}, (0.7 - 0.5) / 0.2),
        ({"do_normalize": False}, 0.7),
        ({"rescale_factor": 1 / 127.5}, (1.4 - 0.5) / 0.2),
        ({"do_rescale": False}, (255 * 0.7 - 0.5) / 0.2),
        ({"do_rescale": False, "do_normalize": False}, 255 * 0.7),
    ],
)
def test_the_processors_arithmetic_is_followed(processor: dict[str, Any], wanted: float, tmp_path: Path) -> None:
    found = load(saved(tmp_path, names={0: "a", 1: "b", 2: "c"}, **processor))
    red = found.preprocessing.apply(torch.full((1, 3, 16, 12), 0.7))[0, 0]
    torch.testing.assert_close(red, torch.full((16, 12), wanted))


@pytest.mark.parametrize(
    ("processor", "wanted"),
    [
        ({"size": 20}, (20, 20)),
        ({"size": {"shortest_edge": 24}}, (24, 24)),
        ({"do_center_crop": True, "crop_size": {"height": 8, "width": 8}}, (8, 8)),
    ],
)
def test_the_input_size_is_what_the_processor_leaves(processor: Any, wanted: tuple[int, int], tmp_path: Path) -> None:
    assert load(saved(tmp_path, names={0: "a", 1: "b", 2: "c"}, **processor)).preprocessing.input_size == wanted


def test_classes_that_nobody_named_are_those_of_the_set_or_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    assert load(tmp_path, unnamed=("x", "y", "z")).class_names == ("x", "y", "z")
    with pytest.raises(ModelError, match="3 scores but 0 class names"):
        load(tmp_path)


def test_missing_weights_are_never_filled_with_random_numbers(tmp_path: Path) -> None:
    saved(tmp_path, names={0: "a", 1: "b", 2: "c"})
    state = load_file(tmp_path / "model.safetensors")
    head = next(name for name in state if name.startswith("classifier"))
    del state[head]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"(?s)do not fit its config.*missing keys: classifier"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("config.json", None, "no config.json"),
        ("config.json", "{", "cannot be loaded"),
        ("model.safetensors", "no tensors", "cannot be loaded"),
        ("preprocessor_config.json", None, "no preprocessor_config.json"),
        ("preprocessor_config.json", "[1]", "expected a JSON object"),
        ("preprocessor_config.json", '{"size": 8}', "no image_mean"),
    ],
)
def test_broken_folders_are_refused(file: str, content: str | None, reason: str, tmp_path: Path) -> None:
    saved(tmp_path, names={0: "a", 1: "b", 2: "c"})
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_text(content)
    with pytest.raises(ModelError, match=reason):
        load(tmp_path)


def test_a_hub_that_is_away_is_said_with_what_to_do_instead(tmp_path: Path) -> None:
    needed("transformers")
    with pytest.raises(ModelError, match=r"127.0.0.1:9 cannot be reached for a/b .*say folder: PATH"):
        load_huggingface(model="a/b", hub=NOWHERE, cache=tmp_path)
    needed("timm")
    with pytest.raises(ModelError, match=r"127.0.0.1:9 cannot be reached for timm/resnet10t.* say weights: PATH"):
        load_timm("resnet10t", hub=NOWHERE, cache=tmp_path)


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A hub on loopback that holds one small network of transformers."""
    made = Hub()
    (tmp_path / "held").mkdir()
    made.hold(saved(tmp_path / "held", names={0: "cat", 1: "dog", 2: "owl"}))
    with hub_serving(made):
        yield made


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client of the hub wait for nothing between its tries."""
    monkeypatch.setattr("time.sleep", lambda _: None)


@pytest.mark.parametrize("by", ["plan", "environment"])
def test_a_network_is_fetched_from_the_hub_and_known_by_its_commit(
    by: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "environment":
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
    address = {"hub": hub.url} if by == "plan" else {}
    found = load_huggingface(model="owner/net", cache=tmp_path / "cache", **address)
    local = load(tmp_path / "held")
    assert found.provenance == f"owner/net, commit {COMMIT}"
    assert (found.weights_digest, found.class_names) == (local.weights_digest, ("cat", "dog", "owl"))
    assert found.preprocessing == local.preprocessing


def test_a_commit_that_was_fetched_once_needs_no_hub_and_a_branch_does(hub: Hub, tmp_path: Path) -> None:
    load_huggingface(model="owner/net", hub=hub.url, cache=tmp_path / "cache")
    named = {"model": "owner/net", "hub": NOWHERE, "cache": tmp_path / "cache"}
    assert load_huggingface(revision=COMMIT, **named).provenance.endswith(COMMIT)
    with pytest.raises(ModelError, match="cannot be reached for owner/net"):
        load_huggingface(revision="main", **named)


@pytest.mark.usefixtures("patient")
def test_a_download_that_breaks_off_is_said_and_succeeds_the_next_time(hub: Hub, tmp_path: Path) -> None:
    hub.cut = {"model.safetensors"}
    with pytest.raises(ModelError, match=r"the download of owner/net from http.* broke off .*Run again"):
        load_huggingface(model="owner/net", hub=hub.url, cache=tmp_path / "cache")
    hub.cut = set()
    assert load_huggingface(model="owner/net", hub=hub.url, cache=tmp_path / "cache").class_names[0] == "cat"


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_a_file_of_the_right_size_and_other_bytes_is_refused_and_not_kept(file: str, hub: Hub, tmp_path: Path) -> None:
    hub.altered = {file}
    with pytest.raises(ModelError, match=f"{file} is not the file that the hub states: expected .*it was deleted"):
        load_huggingface(model="owner/net", hub=hub.url, cache=tmp_path / "cache")
    hub.altered = set()
    assert load_huggingface(model="owner/net", hub=hub.url, cache=tmp_path / "cache").class_names[0] == "cat"


@pytest.mark.parametrize(
    ("model", "revision", "refused", "reason"),
    [
        ("owner/other", None, None, r"there is no model 'owner/other' on http://127\.0\.0\.1"),
        ("owner/net", None, 503, "cannot be reached for owner/net .*503"),
        ("no name", None, None, "there is no model 'no name'"),
    ],
)
def test_what_a_hub_refuses_is_said(
    model: str, revision: str | None, refused: int | None, reason: str, hub: Hub, tmp_path: Path
) -> None:
    hub.refused = refused
    with pytest.raises(ModelError, match=reason):
        load_huggingface(model=model, revision=revision, hub=hub.url, cache=tmp_path / "cache")


def test_timms_published_weights_are_fetched_from_the_hub_that_timm_names(hub: Hub, tmp_path: Path) -> None:
    timm = needed("timm")
    made = timm.create_model("resnet10t", pretrained=False).eval()
    save_file(made.state_dict(), tmp_path / "model.safetensors")
    hub.files = {"model.safetensors": (tmp_path / "model.safetensors").read_bytes()}
    stated = timm.models.get_pretrained_cfg("resnet10t").to_dict()
    hub.repository = f"{stated['hf_hub_id']}resnet10t" if stated["hf_hub_id"].endswith("/") else stated["hf_hub_id"]
    found = load_timm("resnet10t", hub=hub.url, cache=tmp_path / "cache", class_names=[str(i) for i in range(1000)])
    pixels = torch.rand(1, 3, *found.preprocessing.input_size, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.logits(pixels), made(found.preprocessing.apply(pixels)))
    assert f"commit {COMMIT}" in found.provenance
    hub.files = {}
    with pytest.raises(ModelError, match=r"holds no model\.safetensors"):
        load_timm("resnet10t", hub=hub.url, cache=tmp_path / "empty", class_names=[str(i) for i in range(1000)])
