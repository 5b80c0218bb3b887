"""A network from a Python file of the user's own, or from an installed package."""

import hashlib
import importlib
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import reduce
from importlib import metadata
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from wolfhound.classifier import Classifier, Preprocessing, state_digest
from wolfhound.errors import ModelError
from wolfhound.loading.finish import finish
from wolfhound.loading.weights import load_into, read_state
from wolfhound.store import file_sha256

# sys.modules and sys.path belong to the whole process.
_IMPORTING = threading.RLock()


def load_factory(
    origin: Path | str,
    callable: str,  # noqa: A002
    *,
    preprocessing: Preprocessing,
    class_names: Sequence[str],
    arguments: Mapping[str, Any] | None = None,
    weights: Path | None = None,
    allow_pickle_code: bool = False,
    name: str | None = None,
) -> Classifier:
    """Return the classifier around the network that a function or class makes. Runs the code that holds it.

    Args:
        origin: a Python file, as a Path: it may import its neighbours while it is imported and called, and gets its own
            ones, even where another factory has neighbours of the same names. Or a module of an installed package, as
            its name with dots: "my_company.networks".
        callable: what to call in it, with dots for attributes: "CifarResNet", "Zoo.small".
        preprocessing: channel means and deviations on the [0, 1] scale, and the input size.
        class_names: the classes, in the order of the network's scores.
        arguments: keyword arguments of the call.
        weights: a state dict (.pth, .pt, .safetensors); None if the factory loads them itself.
        allow_pickle_code: run the code that pickled weights ask for.
        name: what the classifier is called; `callable` by default.

    Raises:
        ModelError: the file, the module or the callable is missing or fails, makes no network, or its weights do not
            fit; or no weights were given and the network comes out different each time, so that it was never trained.
    """
    shown = _shown(callable, arguments)
    neighbours = neighbours_of(origin) if isinstance(origin, Path) else nullcontext()
    # A factory's initialisation must not move the caller's randomness.
    with neighbours, torch.random.fork_rng(devices=[]):
        holder = imported(origin) if isinstance(origin, Path) else _installed(origin)
        factory = attribute_of(holder, callable, str(origin))
        made = _made_by(factory, arguments, f"{shown} of {origin}", twice=weights is None)
    module, provenance = _with_weights(made, weights, shown, allow_pickle_code)
    return finish(
        module,
        name=name or callable,
        class_names=class_names,
        preprocessing=preprocessing,
        architecture=f"{shown} of {_identity(origin)}",
        provenance=provenance,
    )


def _installed(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except Exception as error:  # a user's code may raise anything
        raise ModelError(
            f"the module {module} cannot be imported ({type(error).__name__}: {error}); is its package installed "
            "beside wolfhound?"
        ) from error


def _identity(origin: Path | str) -> str:
    """Return what a report says of where a factory stands: a file by its digest, a module by its package's version."""
    return f"{origin.name}, SHA-256 {file_sha256(origin)}" if isinstance(origin, Path) else origin + _version_of(origin)


def _shown(callable_name: str, arguments: Mapping[str, Any] | None) -> str:
    return f"{callable_name}({', '.join(f'{key}={value!r}' for key, value in (arguments or {}).items())})"


def _version_of(module: str) -> str:
    """Return the version of the distribution that holds a module; nothing where it is not installed as one."""
    owners = metadata.packages_distributions().get(module.split(".")[0], [])
    return "".join(f", {owner} {metadata.version(owner)}" for owner in sorted(set(owners)))


def _made_by(factory: Any, arguments: Mapping[str, Any] | None, shown: str, *, twice: bool) -> nn.Module:
    """Return what `factory` makes. Without weights to load it is called twice, to see whether it is trained.

    Raises:
        ModelError: it fails, makes no network, or two calls give different weights.
    """
    module = _made(factory, dict(arguments or {}), shown)
    if twice:
        again = _made(factory, dict(arguments or {}), shown)
        if state_digest(again.state_dict()) != state_digest(module.state_dict()):
            raise ModelError(f"{shown} has random weights: no two calls give the same (say which weights to load)")
    return module


def _with_weights(
    module: nn.Module, weights: Path | None, shown: str, allow_pickle_code: bool
) -> tuple[nn.Module, str]:
    if weights is None:
        return module, "weights as its factory made them"
    state = read_state(weights, allow_pickle_code=allow_pickle_code)
    load_into(module, state, hint=f" of {shown}")
    return module, state.provenance


def attribute_of(module: ModuleType, callable_name: str, shown: str) -> Any:
    try:
        factory = reduce(getattr, callable_name.split("."), module)
    except AttributeError as error:
        public = sorted(name for name, value in vars(module).items() if callable(value) and not name.startswith("_"))
        raise ModelError(f"{shown} has no {callable_name} (it has {', '.join(public) or 'nothing to call'})") from error
    if not callable(factory):
        raise ModelError(f"expected {callable_name} of {shown} to be callable, got {type(factory).__name__}")
    return factory


def _made(factory: Any, arguments: Mapping[str, Any], shown: str) -> nn.Module:
    try:
        module = factory(**arguments)
    except Exception as error:  # a user's code may raise anything
        raise ModelError(f"{shown} fails: {type(error).__name__}: {error}") from error
    if not isinstance(module, nn.Module):
        raise ModelError(f"expected {shown} to return a torch.nn.Module, got {type(module).__name__}")
    return module


def imported(file: Path) -> ModuleType:
    """Return the module in `file`, read anew: bytecode caches may be older than an edit of the same second."""
    if not file.is_file():
        raise ModelError(f"expected a Python file at {file}, but there is none")
    name = "wolfhound_factory_" + hashlib.sha256(bytes(file.resolve())).hexdigest()[:16]
    loader = SourceFileLoader(name, str(file))
    module = module_from_spec(ModuleSpec(name, loader, origin=str(file)))
    module.__file__ = str(file)
    sys.modules[name] = module  # dataclasses and pickling look a class's module up there
    try:
        exec(loader.source_to_code(loader.get_data(str(file)), str(file)), vars(module))
    except Exception as error:  # a user's code may raise anything
        del sys.modules[name]
        raise ModelError(f"{file} cannot be imported: {type(error).__name__}: {error}") from error
    return module


@contextmanager
def neighbours_of(file: Path) -> Iterator[None]:
    """Let `import` find the files beside `file`, and only those: two folders may both hold a model.py.

    Modules of the same names from elsewhere are hidden, and the neighbours forgotten, when the context ends. What they
    defined lives on in the network.
    """
    folder = file.resolve().parent
    with _IMPORTING:
        names = {path.stem for path in folder.glob("*.py")} | {
            path.parent.name for path in folder.glob("*/__init__.py")
        }
        names -= sys.stdlib_module_names
        before = dict(sys.modules)
        for name in before:
            if name.split(".")[0] in names and not _lies_in(before[name], folder):
                del sys.modules[name]
        sys.path.insert(0, str(folder))
        try:
            yield
        finally:
            sys.path.remove(str(folder))
            for name, module in list(sys.modules.items()):
                if name.split(".")[0] in names and name not in before and _lies_in(module, folder):
                    del sys.modules[name]
            sys.modules.update({name: module for name, module in before.items() if name.split(".")[0] in names})


def _lies_in(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve().is_relative_to(folder)
