"""Which network of the user's it is: the section of the plan that opens it, and what it says of its images."""

import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flows.draft_wanted import Section, Wanted
from wolfhound import loading
from wolfhound.errors import ModelError, PlanError
from wolfhound.loading.endpoint_client import EndpointSettings
from wolfhound.loading.torchvision_door import OWN
from wolfhound.sources.fit import Fit

Shape = tuple[Fit | None, tuple[int, int] | None]
"""How pictures are prepared, and height and width of the images; None for what is not stated."""

_ADDRESS = re.compile(r"^(https?://[^/]+(?:/.*?)?)/v2/models/([^/]+)(?:/versions/([^/]+))?(?:/infer)?/?$")
_WEIGHTS = (".pth", ".pt", ".th", ".bin", ".safetensors", ".ckpt")
_FORMS = (
    "a classifier of torchvision, timm:NAME, hf:FOLDER or hf:NAME, FILE.py:FUNCTION, PACKAGE.MODULE:FUNCTION, a .pt "
    "(TorchScript), .pt2 or .onnx file, or http://HOST/v2/models/NAME"
)


@dataclass(frozen=True)
class FoundModel:
    """A network that was recognised.

    Attributes:
        section: what the plan says of it, without preprocessing.
        carries: whether its weights bring their own preprocessing.
        opened: whether it is opened for the draft; published weights are fetched by the doctor and the run alone.
        imagenet: whether its classes are likely ImageNet's.
        shape: returns what it says of its images.
    """

    section: Section
    carries: bool
    opened: bool
    imagenet: bool
    shape: Callable[[], Shape]


def find_model(wanted: Wanted, *, cache: Path) -> FoundModel:
    """Return which network `wanted.model` is.

    Raises:
        PlanError: it is none, or could be two; says how to tell them apart.
        ModelError: a file holds something else than its name says.
    """
    given = wanted.model
    if re.match("https?://", given):
        return _endpoint(wanted)
    for prefix, found in (("torchvision:", _torchvision), ("timm:", _timm)):
        if given.startswith(prefix):
            return found(wanted, given.removeprefix(prefix))
    if given.startswith("hf:"):
        return _huggingface(wanted, given.removeprefix("hf:"), cache)
    path, named = Path(given), given in loading.classifier_names() or given in OWN
    if named and path.exists():
        raise PlanError(
            f"expected one network, got {given}, torchvision's and a file (say torchvision:{given} or ./{given})"
        )
    if named:
        return _torchvision(wanted, given)
    if path.is_file():
        return _file(wanted, path)
    if path.is_dir():
        return _folder(wanted, path, cache)
    return _called(wanted)


def _torchvision(wanted: Wanted, name: str) -> FoundModel:
    weights = wanted.weights or "DEFAULT"
    published = "DEFAULT" if Path(weights).suffix else weights
    fit, size = loading.torchvision_fit(name, weights=published)
    section: Section = {"name": name, "source": "torchvision", "architecture": name, **_given(wanted)}
    return FoundModel(section, True, False, True, lambda: (fit, size))


def _timm(wanted: Wanted, name: str) -> FoundModel:
    shape = loading.timm_fit(name)
    section: Section = {"name": _name(name), "source": "timm", "architecture": name, **_given(wanted)}
    # Weights of one's own are there; published ones are fetched from the hub when they are needed.
    return FoundModel(section, True, wanted.weights is not None, True, lambda: shape)


def _huggingface(wanted: Wanted, name: str, cache: Path) -> FoundModel:
    folder = Path(name)
    local = folder.is_dir()
    place, _ = loading.huggingface_place(folder=folder if local else None, model=None if local else name, cache=cache)
    section: Section = {
        "name": _name(name),
        "source": "huggingface",
        **({"folder": folder} if local else {"model": name}),
    }
    _no_weights(wanted, "which has its own")
    stated = loading.huggingface_fit(place)
    return FoundModel(section, stated is not None, True, False, lambda: stated or (None, None))


def _folder(wanted: Wanted, path: Path, cache: Path) -> FoundModel:
    if not (path / "config.json").is_file():
        raise PlanError(f"expected a folder with config.json and weights at {path} (transformers' layout), got another")
    return _huggingface(wanted, str(path), cache)


def _endpoint(wanted: Wanted) -> FoundModel:
    matched = _ADDRESS.match(wanted.model)
    if matched:
        url, model, version = matched.groups()
    else:
        url, version = wanted.model.rstrip("/").removesuffix("/v2"), None
        model = wanted.ask(f"What is the model called at {url}?", (), f"--model {url}/v2/models/NAME")
    _no_weights(wanted, "which is asked where it runs")
    section: Section = {"name": _name(model), "source": "endpoint", "url": url, "model": model}
    if version:
        section["version"] = version
    settings = EndpointSettings(url, model, version=version, retries=1)
    return FoundModel(section, False, True, False, lambda: (None, loading.endpoint_input_size(settings)))


def _file(wanted: Wanted, path: Path) -> FoundModel:
    if path.suffix == ".py":
        raise PlanError(f"expected what to call in {path} (say --model {path}:FUNCTION)")
    if path.suffix == ".onnx":
        kind, shape = "onnx", lambda: (None, loading.onnx_input_size(path))
    elif _entries(path, "models/model.json", "serialized_exported_program.json"):
        kind, shape = "exported", lambda: (None, loading.exported_input_size(path))
    elif _entries(path, "constants.pkl"):
        kind, shape = "torchscript", lambda: (None, None)
    elif path.suffix in _WEIGHTS:
        raise ModelError(
            f"expected a network, got {path}, which holds weights alone (say --weights {path}, and with --model what "
            "they belong to: a name of torchvision's, timm:NAME, or FILE.py:FUNCTION)"
        )
    else:
        raise PlanError(f"expected {_FORMS}, got the file {path}")
    _no_weights(wanted, "which has its own")
    section: Section = {"name": _name(path.name.removesuffix(path.suffix)), "source": kind, "file": path}
    return FoundModel(section, False, True, False, shape)


def _entries(path: Path, *endings: str) -> bool:
    """Return whether a file is an archive with an entry that ends so."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(endings) for name in archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


def _called(wanted: Wanted) -> FoundModel:
    """Return what FILE.py:FUNCTION or PACKAGE.MODULE:FUNCTION names."""
    origin, colon, name = wanted.model.rpartition(":")
    if not colon or not re.fullmatch(r"[A-Za-z_][\w.]*", name):
        hint = f" (did you mean hf:{wanted.model}?)" if re.fullmatch(r"[\w.-]+/[\w.-]+", wanted.model) else ""
        raise PlanError(f"expected {_FORMS}, got {wanted.model!r}, and there is no such file{hint}")
    place: Section = {"file": Path(origin)} if origin.endswith(".py") else {"module": origin}
    section: Section = {"name": _name(name), "source": "factory", **place, "callable": name}
    if wanted.arguments:
        section["arguments"] = dict(wanted.arguments)
    if wanted.weights:
        section["weights"] = Path(wanted.weights)
    return FoundModel(section, False, True, False, lambda: (None, None))


def _given(wanted: Wanted) -> Section:
    weights = wanted.weights or "DEFAULT"
    arguments = {"arguments": dict(wanted.arguments)} if wanted.arguments else {}
    return {"weights": Path(weights) if Path(weights).suffix else weights, **arguments}


def _no_weights(wanted: Wanted, why: str) -> None:
    for flag, given in (("--weights", wanted.weights), ("--argument", wanted.arguments)):
        if given:
            raise PlanError(f"expected no {flag} beside {wanted.model}, {why}")


def _name(text: str) -> str:
    """Return a name that a plan can give to a classifier.

    >>> _name("microsoft/resnet-50"), _name("Zoo.small"), _name("my net (2)")
    ('resnet-50', 'Zoo.small', 'my-net-2')
    """
    tidy = re.sub(r"[^A-Za-z0-9._+-]+", "-", text.rstrip("/").rpartition("/")[2]).strip("-._+")
    return tidy[:64] or "classifier"
