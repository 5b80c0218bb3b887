"""Weights from files, without ever running code that a file brings along."""

import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from wolfhound.errors import ModelError, fault_list
from wolfhound.store import file_sha256

# Under which keys training scripts keep the state dict of the network, in this order.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params")
# What DataParallel and torch.compile put before every key.
_PREFIXES = ("module.", "_orig_mod.")
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class StateFile:
    """A state dict read from a file, with the SHA-256 of the file and what was unwrapped on the way."""

    path: Path
    sha256: str
    tensors: Mapping[str, Tensor] = field(repr=False)
    notes: tuple[str, ...] = ()

    @property
    def provenance(self) -> str:
        """The file by name and digest, as reports print it."""
        return ", ".join([f"file {self.path.name}, SHA-256 {self.sha256}", *self.notes])


def read_state(path: Path, *, allow_pickle_code: bool = False) -> StateFile:
    """Return the state dict in a .safetensors file, or in a .pth or .pt file read with `weights_only=True`.

    With `allow_pickle_code`, a pickle that asks for code is read by running it, and the provenance says so.

    Raises:
        ModelError: the file is missing or damaged, holds something else, or could only be read by running its code.
    """
    if not path.is_file():
        raise ModelError(f"expected weights at {path}, but there is no such file")
    digest = file_sha256(path)
    if path.suffix == ".safetensors":
        return StateFile(path, digest, *_checked(path, _load_safetensors(path)))
    loaded, notes = _load_pickle(path, allow_pickle_code)
    tensors, unwrapped = _checked(path, loaded)
    return StateFile(path, digest, tensors, (*notes, *unwrapped))


def _load_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        tensors: dict[str, Tensor] = load_file(path, device="cpu")
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read as safetensors: {error}") from error
    return tensors


def _load_pickle(path: Path, allow_code: bool) -> tuple[object, tuple[str, ...]]:
    if _holds_program(path):
        raise ModelError(
            f"{path} holds a whole exported network (TorchScript or torch.export), not a state dict; save "
            "network.state_dict() with torch.save or safetensors, and name the architecture or its factory"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True), ()
    except Exception as error:  # the reader of damaged files raises nearly anything
        if not allow_code or not isinstance(error, pickle.UnpicklingError):
            raise ModelError(_reading_fault(path, error)) from error
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=False)
    except Exception as error:  # code from a file may raise anything
        raise ModelError(f"{path} fails while its code is run: {type(error).__name__}: {error}") from error
    return _state_of(loaded), ("read by running code that the file asks for, as the plan allows",)


def _state_of(loaded: object) -> object:
    """Return the state dict of a pickled network, alone or under a usual key; anything else as it is."""
    if isinstance(loaded, nn.Module):
        return loaded.state_dict()
    if isinstance(loaded, Mapping):
        return {key: value.state_dict() if isinstance(value, nn.Module) else value for key, value in loaded.items()}
    return loaded


def _reading_fault(path: Path, error: Exception) -> str:
    """Return why torch's restricted unpickler gave up: the file asks for code, or is damaged or no such file at all."""
    wanted = re.search(r"GLOBAL (\S+) was not an allowed", str(error))
    if wanted is None:
        reason = " ".join(line.strip() for line in str(error).splitlines() if "Error" in line or "Unsupp" in line)
        return f"{path} cannot be read as a PyTorch file; damaged? ({type(error).__name__}: {reason or error})"
    return (
        f"{path} can only be read by running code that it asks for ({wanted[1]}), which Wolfhound does only where "
        f"the plan says allow_pickle_code: true. If you "
        f'trust its origin, better convert it once: python -c "import torch; '
        f"w = torch.load('{path.name}', weights_only=False); "
        "w = w.state_dict() if hasattr(w, 'state_dict') else w.get('state_dict', w.get('model', w)); "
        "torch.save(w, 'weights.pth')\""
    )


def _holds_program(path: Path) -> bool:
    """Whether the file is an archive with a network's program: TorchScript has constants.pkl, torch.export a graph."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False
    return any(name.endswith(("constants.pkl", "archive_format", "serialized_exported_program.json")) for name in names)


def _checked(path: Path, loaded: object) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    tensors, notes = _unwrapped(path, loaded)
    tensors, stripped = _without_prefixes(tensors)
    broken = [name for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise ModelError(fault_list(f"{path} holds weights that are not finite:", broken, most=20))
    return tensors, (*notes, *stripped)


def _unwrapped(path: Path, loaded: object) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    if (state := _as_state(loaded)) is not None:
        return state, ()
    if isinstance(loaded, Mapping):
        for key in _WRAPPERS:
            if (state := _as_state(loaded.get(key))) is not None:
                return state, (f'under its key "{key}"',)
    keys = sorted(map(str, loaded)) if isinstance(loaded, Mapping) else []
    shown = f"a mapping with the keys {keys[:10]}" if keys else type(loaded).__name__
    raise ModelError(
        f"{path}: expected a state dict (names to tensors), alone or under one of {list(_WRAPPERS)}, got {shown}"
    )


def _as_state(value: object) -> dict[str, Tensor] | None:
    if not isinstance(value, Mapping) or not value:
        return None
    named = all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in value.items())
    return dict(value) if named else None


def _without_prefixes(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    notes: list[str] = []
    while prefix := next((p for p in _PREFIXES if all(name.startswith(p) for name in tensors)), None):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        notes.append(f'without the prefix "{prefix}" of its keys')
    return tensors, tuple(notes)


def load_into(module: nn.Module, state: StateFile, *, hint: str = "") -> None:
    """Copy the weights of `state` into `module`, name by name and shape by shape.

    The batch counters of normalisation layers may be absent, as they are from old files; evaluation never reads them.

    Raises:
        ModelError: lists every key that is missing, unexpected or of another shape.
    """
    wanted, given = module.state_dict(), state.tensors
    faults = [f"missing: {name} {list(wanted[name].shape)}" for name in wanted if name not in given]
    faults = [fault for fault in faults if _COUNTER not in fault]
    faults += [f"unexpected: {name} {list(given[name].shape)}" for name in given if name not in wanted]
    faults += [
        f"{name}: the file has shape {list(given[name].shape)}, the network {list(wanted[name].shape)}"
        for name in wanted
        if name in given and given[name].shape != wanted[name].shape
    ]
    if faults:
        headline = f"{state.path} does not fit the network{hint}; {len(faults)} difference(s):"
        raise ModelError(fault_list(headline, faults, most=30))
    module.load_state_dict({name: given.get(name, tensor) for name, tensor in wanted.items()})
